"""tag and tag-type: names, ids, lives (contract 5.10), and which tags an object may have together (2.6)."""

import asyncio
from contextlib import nullcontext
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from resource_client import DOMAIN, Client, to

import schema
from api_server.errors import ApiError, BadRequest, Conflict
from api_server.resources.body import read_create
from api_server.resources.tags import PREDEFINED, SEVERAL, Tag, value_pools
from api_server.store import Store
from api_server.store.objects import Object

MESSAGE = "Tag type 'application' cannot be set multiple times on the same Virtual Network resource type"


@pytest.fixture
async def network(client: Client) -> Object:
    return await client.create("virtual-network", (DOMAIN, "p1", "vn"))


@pytest.fixture
async def project(client: Client) -> Object:
    return await client.find("project", (DOMAIN, "p1"))


async def tag_type(client: Client, name: str) -> Object | None:
    return await client.call(lambda tx: tx.get(tx.find("tag-type", (name,)) or ""))


async def test_a_tag_is_named_by_its_type_and_value(client: Client) -> None:
    tag = await client.create("tag", ["whatever"], tag_type_name="Role", tag_value="Web", display_name="mine")
    assert tag.fq_name == ("role=Web",)
    named = {name: tag.properties[name] for name in ("tag_type_name", "tag_value", "display_name")}
    assert named == {"tag_type_name": "role", "tag_value": "Web", "display_name": "role=Web"}


async def test_a_value_may_be_empty(client: Client) -> None:
    """As the value of a Kubernetes label may."""
    assert (await client.tag("role", "")).fq_name == ("role=",)


async def test_a_tag_of_a_known_type_has_an_id_of_it(client: Client) -> None:
    ids = [(await client.tag("tier", value)).properties["tag_id"] for value in ("web", "db")]
    assert ids == ["0x00020000", "0x00020001"]
    found = await tag_type(client, "tier")
    assert found is not None
    assert found.properties["tag_type_id"] == "0x0002"


async def test_a_new_type_comes_with_its_first_tag(client: Client) -> None:
    tag = await client.tag("role", "web")
    found = await tag_type(client, "role")
    assert found is not None
    assert (found.properties["tag_type_id"], tag.properties["tag_id"]) == ("0x00ff", "0x00ff0000")
    assert found.properties["id_perms"]["user_visible"] is False
    assert [(link.uuid, link.fq_name) for link in tag.references["tag_type_refs"]] == [(found.uuid, ("role",))]
    assert (await client.tag("zone", "east")).properties["tag_id"] == "0x01000000"


async def test_a_type_goes_with_its_last_tag(client: Client) -> None:
    first, second = await client.tag("role", "web"), await client.tag("role", "db")
    await client.delete(first)
    assert await tag_type(client, "role") is not None
    await client.delete(second)
    assert await tag_type(client, "role") is None
    assert (await client.tag("other", "x")).properties["tag_id"] == "0x00ff0000"


async def test_known_types_stay(client: Client) -> None:
    await client.delete(await client.tag("tier", "web"))
    assert await tag_type(client, "tier") is not None
    assert (await client.tag("tier", "db")).properties["tag_id"] == "0x00020000"


async def test_one_tag_of_a_name_in_each_scope(client: Client, project: Object) -> None:
    other = await client.create("project", (DOMAIN, "p2"))
    tags = [await client.tag("tier", "web", scope) for scope in (None, project, other)]
    assert len({tag.properties["tag_id"] for tag in tags}) == 3
    for scope in (None, project, other):
        with pytest.raises(Conflict, match="already exists with uuid"):
            await client.tag("TIER", "web", scope)


async def test_the_name_counts_before_anything_it_could_clash_with(client: Client) -> None:
    """The name is derived before duplicates are looked for (contract 2.2): the one the client sent is free."""
    await client.tag("tier", "web")
    await client.create("tag", ["tier=web"], tag_type_name="tier", tag_value="other")


def test_receiving_a_body_twice_is_as_once() -> None:
    """A group of writes may be run again with the same bodies."""
    body = read_create(
        schema.load().types["tag"], {"tag": {"fq_name": ["x"], "tag_type_name": "Tier", "tag_value": "W"}}
    )
    for _ in range(2):
        Tag().receive(body)
        assert (body.fq_name, body.properties["tag_type_name"]) == (("tier=W",), "tier")


async def test_two_servers_give_no_id_twice(postgres_url: str) -> None:
    stores = [await Store.open(postgres_url) for _ in range(2)]
    try:
        clients = [Client(store) for store in stores]
        await clients[0].start("p1")
        wanted = [(kind, str(number)) for number in range(20) for kind in ("role", "zone")]
        tags = await asyncio.gather(*(clients[turn % 3 % 2].tag(*one) for turn, one in enumerate(wanted)))
        ids = {tag.properties["tag_id"] for tag in tags}
        assert len(ids) == len(wanted)
        assert {tag_id[:6] for tag_id in ids} == {"0x00ff", "0x0100"}
    finally:
        for store in stores:
            await store.close()


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"tag_value": "web"}, "Tag must be created with a type and a value"),
        ({"tag_type_name": "tier"}, "Tag must be created with a type and a value"),
        ({"tag_type_name": "", "tag_value": "web"}, "Tag must be created with a type and a value"),
        ({"tag_type_name": "a=b", "tag_value": "web"}, "Tag type must not have a '='"),
        ({"tag_type_name": "tier", "tag_value": "a:b"}, "name has one of invalid chars {':'}"),
        ({"tag_type_name": "tier", "tag_value": "a\x01"}, "illegal xml characters"),
        ({"tag_type_name": "tier", "tag_value": "web", "tag_id": "0x00020007"}, "only for user defined tags"),
        ({"tag_type_name": "tier", "tag_value": "web", "tag_id": "0x0002x"}, "must be in hexadecimal"),
        ({"tag_type_name": "tier", "tag_value": "web", "tag_id": "0x00038007"}, "not of tag type tier"),
        ({"tag_type_name": "role", "tag_value": "web", "tag_id": "0x00ff8007"}, "only with user defined id"),
        ({"tag_type_name": "role", "tag_value": "web", "tag_id": "0xdead00011"}, "only for user defined tags"),
        ({"tag_type_name": "role", "tag_value": "web", "tag_id": "0xdeadbeef1"}, "only with user defined id"),
        ({"tag_type_name": "tier", "tag_value": "web", "tag_type_refs": [{"to": ["tier"]}]}, "is not setable"),
    ],
)
async def test_bad_tags_are_refused(client: Client, fields: dict[str, Any], text: str) -> None:
    with pytest.raises(BadRequest) as refusal:
        await client.create("tag", ["x"], **fields)
    assert text in refusal.value.text
    assert await tag_type(client, "role") is None


async def test_a_client_may_choose_ids_of_the_upper_half(client: Client) -> None:
    tag = await client.tag("role", "web", tag_id="0xDEADBEEF")
    assert tag.properties["tag_id"] == "0xdeadbeef"
    with pytest.raises(BadRequest, match="already allocated"):
        await client.tag("role", "db", tag_id="0xDEADBEEF")
    assert (await client.tag("role", "db")).properties["tag_id"] == "0xdead0000"
    assert (await client.tag("role", "cache", tag_id="0x8001")).properties["tag_id"] == "0xdead8001"
    await client.delete(tag)
    await client.tag("role", "again", tag_id="0xDEADBEEF")
    with pytest.raises(BadRequest, match="Tag Type with same Id already exists"):
        await client.tag("zone", "x", tag_id="0xDEAD8000")


@pytest.mark.parametrize(
    "fields",
    [
        {"tag_type_name": "tier"}, {"tag_value": "db"}, {"tag_id": "0x00ff8000"}, {"display_name": "mine"},
        {"tag_type_refs": []}, {"tag_type_refs": [{"to": ["tier"]}]},
    ],
)  # fmt: skip
async def test_a_tag_stays_what_it_is(client: Client, fields: dict[str, Any]) -> None:
    tag = await client.tag("role", "web")
    with pytest.raises(BadRequest, match="cannot be updated"):
        await client.update(tag, **fields)
    await client.update(tag, tag_value="web", id_perms={"description": "of the web servers"})


async def test_a_tag_in_use_stays(client: Client, network: Object) -> None:
    tag = await client.tag("tier", "web")
    await client.set_tag(network, tier={"value": "web", "is_global": True})
    with pytest.raises(Conflict, match="Delete when resource still referred"):
        await client.delete(tag)


async def test_types_can_be_made_by_themselves(client: Client) -> None:
    found = await client.create("tag-type", ["role"], display_name="mine")
    assert (found.properties["tag_type_id"], found.properties["display_name"]) == ("0x00ff", "role")
    chosen = await client.create("tag-type", ["zone"], tag_type_id="0xBEEF")
    assert chosen.properties["tag_type_id"] == "0xbeef"
    tag = await client.tag("zone", "east")
    assert tag.properties["tag_id"] == "0xbeef0000"
    for fields in ({"tag_type_id": "0x8001"}, {"display_name": "mine"}):
        with pytest.raises(BadRequest, match="Tag Type value or ID cannot be updated"):
            await client.update(chosen, **fields)
    with pytest.raises(Conflict, match="Delete when resource still referred"):
        await client.delete(chosen)
    await client.delete(tag)
    assert await client.get(chosen) is None


@pytest.mark.parametrize(
    ("name", "id", "status"),
    [("zone", "0x0eef", 400), ("zone", "0xbeef", 400), ("zone", "beefy", 400), ("role", "0x8eef", 409)],
)
async def test_bad_types_are_refused(client: Client, name: str, id: str, status: int) -> None:
    await client.create("tag-type", ["role"], tag_type_id="0xbeef")
    with pytest.raises(ApiError) as refusal:
        await client.create("tag-type", [name], tag_type_id=id)
    assert refusal.value.status == status


async def test_one_tag_of_a_type(client: Client, network: Object) -> None:
    tags = [await client.tag("application", value) for value in "ab"]
    other = await client.tag("tier", "a")
    with pytest.raises(BadRequest, match=MESSAGE):
        await client.update(network, tag_refs=[to(each) for each in tags])
    network = await client.update(network, tag_refs=[to(tags[0]), to(other)])
    with pytest.raises(BadRequest, match=MESSAGE):
        await client.ref_update(network, "ADD", tags[1])
    with pytest.raises(BadRequest, match=MESSAGE):
        await client.create("virtual-network", (DOMAIN, "p1", "vn2"), tag_refs=[to(each) for each in tags])
    await client.update(network, tag_refs=[to(tags[1])])


@pytest.mark.parametrize("several", sorted(SEVERAL))
async def test_several_of_some(client: Client, network: Object, several: str) -> None:
    tags = [await client.tag(several, value) for value in "ab"]
    network = await client.update(network, tag_refs=[to(each) for each in tags])
    assert len(network.references["tag_refs"]) == 2


async def test_an_address_group_has_labels_only(client: Client) -> None:
    group = await client.create("address-group", (DOMAIN, "p1", "g"), parent_type="project")
    with pytest.raises(BadRequest, match="Invalid tag type tier for object type address_group"):
        await client.update(group, tag_refs=[to(await client.tag("tier", "web"))])
    await client.update(group, tag_refs=[to(await client.tag("label", "red"))])


TYPES = ("role", "zone", "tier", "label")
steps = st.lists(
    st.one_of(
        st.tuples(st.just("create"), st.sampled_from(TYPES), st.sampled_from("ab"), st.booleans()),
        st.tuples(st.just("set"), st.sampled_from(TYPES), st.sampled_from("ab"), st.booleans()),
        st.tuples(st.just("unset"), st.sampled_from(TYPES), st.just(""), st.just(value=False)),
        st.tuples(st.just("delete"), st.sampled_from(TYPES), st.sampled_from("ab"), st.booleans()),
    ),
    max_size=30,
)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=steps)
async def test_any_lives_of_tags(
    client: Client, network: Object, project: Object, steps: list[tuple[str, str, str, bool]]
) -> None:
    """Whatever happens: ids are unique, a type is there as long as its tags, a number is free when its tag is gone,
    and a tag is in use as long as an object has it."""
    tags: dict[tuple[str, str, bool], Object] = {}
    held: dict[str, set[tuple[str, str, bool]]] = {kind: set() for kind in TYPES}  # those of the network
    for step, kind, value, is_global in steps:
        key = (kind, value, is_global)
        refused = {"create": key in tags, "set": key not in tags, "unset": False, "delete": key in held[kind]}
        with pytest.raises(ApiError) if refused[step] else nullcontext():
            match step:
                case "create":
                    tags[key] = await client.tag(kind, value, None if is_global else project)
                case "set":
                    network = await client.set_tag(network, **{kind: {"value": value, "is_global": is_global}})
                    held[kind] = held[kind] | {key} if kind in SEVERAL else {key}
                case "unset":
                    network = await client.set_tag(network, **{kind: None})
                    held[kind] = set()
                case "delete" if key in tags:
                    await client.delete(tags[key])
                    del tags[key]
        assert {tags[key].uuid for kind in TYPES for key in held[kind]} == set(network.targets("tag"))
        assert len({tag.properties["tag_id"] for tag in tags.values()}) == len(tags)
        await types_match(client, [kind for kind, _, _ in tags])
    network = await client.set_tag(network, **dict.fromkeys(TYPES))
    for tag in tags.values():
        await client.delete(tag)
    await types_match(client, [])


async def types_match(client: Client, kinds: list[str]) -> None:
    """kinds: of the tags there are."""
    for kind in TYPES:
        assert (await tag_type(client, kind) is not None) == (kind in kinds or kind in PREDEFINED)
        assert await client.call(lambda tx, kind=kind: tx.taken(value_pools(kind)[0])) == kinds.count(kind)  # type: ignore[misc]
