"""POST /set-tag, without HTTP (contract 4.12)."""

from typing import Any

import pytest
from resource_client import DOMAIN, Client

import schema
from api_server.errors import ApiError, BadRequest, NotFound
from api_server.resources.tagging import read_set_tag
from api_server.store.objects import Object

MODEL = schema.load()


@pytest.fixture
async def network(client: Client) -> Object:
    return await client.create("virtual-network", (DOMAIN, "p1", "vn"))


@pytest.fixture
async def project(client: Client) -> Object:
    return await client.find("project", (DOMAIN, "p1"))


def tags(object: Object) -> set[str]:
    return {":".join(tag.fq_name) for tag in object.references.get("tag_refs", ())}


async def test_a_type_holds_one_value(client: Client, network: Object, project: Object) -> None:
    await client.tag("tier", "web")
    await client.tag("tier", "db", project)
    network = await client.set_tag(network, tier={"is_global": True, "value": "web"})
    assert tags(network) == {"tier=web"}
    network = await client.set_tag(network, tier={"value": "db"})
    assert tags(network) == {"default-domain:p1:tier=db"}
    assert tags(await client.set_tag(network, tier=None)) == set()


async def test_the_scope_is_part_of_what_is_asked(client: Client, network: Object, project: Object) -> None:
    for scope in (None, project):
        await client.tag("tier", "web", scope)
    network = await client.set_tag(network, tier={"value": "web"})
    assert tags(network) == {"default-domain:p1:tier=web"}
    assert tags(await client.set_tag(network, tier={"value": "web", "is_global": True})) == {"tier=web"}


async def test_labels_hold_several(client: Client, network: Object) -> None:
    for value in "abc":
        await client.tag("label", value)
    network = await client.set_tag(network, label={"is_global": True, "value": "a", "add_values": ["b"]})
    assert tags(network) == {"label=a", "label=b"}
    wish = {"is_global": True, "add_values": ["c", "b"], "delete_values": ["a", "nothing"]}
    network = await client.set_tag(network, label=wish)
    assert tags(network) == {"label=b", "label=c"}
    assert tags(await client.set_tag(network, label={"value": None, "add_values": None})) == {"label=b", "label=c"}
    assert tags(await client.set_tag(network, label=None)) == set()


async def test_types_are_set_together_and_leave_others_alone(client: Client, network: Object) -> None:
    for kind in ("tier", "site", "role"):
        await client.tag(kind, "x")
    network = await client.set_tag(network, tier={"is_global": True, "value": "x"})
    both = {"ROLE": {"is_global": True, "value": "x"}, "site": {"is_global": True, "value": "x"}}
    network = await client.set_tag(network, **both)
    assert tags(network) == {"tier=x", "role=x", "site=x"}
    network = await client.set_tag(network, tier=None, site=None, deployment=None)
    assert tags(network) == {"role=x"}


async def test_what_is_set_already_is_not_written_again(client: Client, network: Object) -> None:
    await client.tag("tier", "web")
    network = await client.set_tag(network, tier={"is_global": True, "value": "web"})
    for wish in ({"is_global": True, "value": "web"}, {"is_global": True, "value": "web", "more": 1}):
        assert (await client.set_tag(network, tier=wish)).revision == network.revision
    assert (await client.set_tag(network, site=None)).revision == network.revision


async def test_a_projects_tags_are_those_of_all_below_it(client: Client, project: Object) -> None:
    await client.tag("tier", "web", project)
    pool = await client.create("loadbalancer-pool", (DOMAIN, "p1", "pool"))
    member = await client.create("loadbalancer-member", (*pool.fq_name, "m"))
    for tagged in (project, pool, member):
        assert tags(await client.set_tag(tagged, tier={"value": "web"})) == {"default-domain:p1:tier=web"}


async def test_what_stands_alone_has_the_tags_of_its_owner(client: Client, project: Object) -> None:
    await client.tag("tier", "web", project)
    machine = await client.create("virtual-machine", ["vm"])
    with pytest.raises(NotFound, match="Not able to determine the scope of the tag 'tier=web'"):
        await client.set_tag(machine, tier={"value": "web"})
    machine = await client.update(machine, perms2={"owner": project.uuid.replace("-", "")})
    assert tags(await client.set_tag(machine, tier={"value": "web"})) == {"default-domain:p1:tier=web"}
    machine = await client.update(machine, perms2={"owner": machine.uuid})
    with pytest.raises(NotFound, match=f"Cannot find virtual-machine {machine.uuid} owner"):
        await client.set_tag(machine, tier={"value": "web"}, site=None)


async def test_refused_wishes_change_nothing(client: Client, network: Object) -> None:
    await client.tag("tier", "web")
    for wishes, status, text in (
        ({"site": {"value": "x"}}, 404, "Tag with FQName ['default-domain', 'p1', 'site=x'] not found"),
        ({"site": {"value": "x", "is_global": True}}, 404, "Tag with FQName ['site=x'] not found"),
    ):
        with pytest.raises(ApiError) as refusal:
            await client.set_tag(network, tier={"is_global": True, "value": "web"}, **wishes)
        assert (refusal.value.status, refusal.value.text) == (status, text)
    assert await client.get(network) == network


async def test_a_tag_is_not_set_on_itself(client: Client) -> None:
    tag = await client.tag("tier", "web")
    with pytest.raises(BadRequest, match="itself"):
        await client.set_tag(tag, tier={"is_global": True, "value": "web"})


async def test_an_object_that_is_not_there(client: Client, network: Object) -> None:
    with pytest.raises(NotFound, match=r"^Unknown id: nobody$"):
        await client.set_tag(Object("virtual-network", "nobody", ()), tier=None)
    with pytest.raises(NotFound, match=f"No project object found for id {network.uuid}"):
        await client.set_tag(Object("project", network.uuid, ()), tier=None)


@pytest.mark.parametrize(
    ("wish", "text"),
    [
        ({"obj_uuid": None}, "Object type and UUID must be specified"),
        ({"obj_type": None}, "Object type and UUID must be specified"),
        ({"obj_type": "foo"}, "Invalid Contrail resource type: foo"),
        ({"obj_type": ["foo"]}, "Invalid Contrail resource type: ['foo']"),
        ({"obj_uuid": 7}, "obj_uuid must be text: 7"),
        ({"tier": {}}, "No valid value provided for tag type tier"),
        ({"tier": {"value": None}}, "No valid value provided for tag type tier"),
        ({"Tier": {"value": ["web"]}}, "No valid value provided for tag type tier"),
        ({"label": {"value": 5}}, "No valid value provided for tag type label"),
        ({"tier": {"value": "a", "add_values": ["b"]}}, "Tag type tier cannot be set multiple times on a same object."),
        ({"tier": {"delete_values": ["b"]}}, "Tag type tier cannot be set multiple times on a same object."),
        ({"tier": "web"}, "Tag type tier needs an object with values, or null: web"),
        ({"tier": {"value": "a", "is_global": "no"}}, "is_global of tag type tier must be true or false: no"),
        ({"label": {"add_values": "a"}}, "add_values of tag type label must be a list of texts: a"),
        ({"label": {"delete_values": [1]}}, "delete_values of tag type label must be a list of texts: [1]"),
        ({"obj_type": "address_group", "tier": {"value": "a"}}, "Invalid tag type tier for object type address_group"),
    ],
)
def test_bad_requests(wish: dict[str, Any], text: str) -> None:
    with pytest.raises(BadRequest) as refusal:
        read_set_tag(MODEL, {"obj_type": "virtual_network", "obj_uuid": "u"} | wish)
    assert refusal.value.text == text
