"""Create, read, update and delete of any type, as contract section 2 has them."""

import re
from typing import Any

import httpx
import pytest
from serverlab import PROJECT, create, read

import schema

POOL = {"loadbalancer_pool_properties": {"protocol": "TCP", "loadbalancer_method": "ROUND_ROBIN"}}
UUID = "8ecb5fb8-8982-4ef5-8979-cc8ad364c390"


async def test_create_answers_with_names_and_links_only(client: httpx.AsyncClient) -> None:
    created = await create(client, "loadbalancer", "lb", parent_type="project", uuid=UUID, display_name="shown")
    project = created["parent_uuid"]
    assert created == {
        "name": "lb",
        "fq_name": [*PROJECT, "lb"],
        "uuid": UUID,
        "href": f"http://test:8082/loadbalancer/{UUID}",
        "parent_type": "project",
        "parent_uuid": project,
        "parent_href": f"http://test:8082/project/{project}",
    }


async def test_read_shows_what_the_server_set(client: httpx.AsyncClient) -> None:
    properties = {"vip_address": "10.9.0.252", "admin_state": True}
    await create(client, "loadbalancer", "lb", uuid=UUID, loadbalancer_properties=properties, unknown="dropped")
    found = await read(client, "loadbalancer", UUID)
    created = found["id_perms"].pop("created")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}", created)
    assert found["id_perms"].pop("last_modified") == created
    project = found.pop("parent_uuid")
    assert found == {
        "uuid": UUID,
        "fq_name": [*PROJECT, "lb"],
        "name": "lb",
        "display_name": "lb",
        "parent_type": "project",
        "href": f"http://test:8082/loadbalancer/{UUID}",
        "parent_href": f"http://test:8082/project/{project}",
        "id_perms": {
            "permissions": {
                "owner": "cloud-admin", "owner_access": 7,
                "group": "cloud-admin-group", "group_access": 7, "other_access": 7,
            },
            "uuid": {"uuid_mslong": 0x8ECB5FB889824EF5, "uuid_lslong": 0x8979CC8AD364C390},
            "enable": True, "description": None, "user_visible": True, "creator": None,
        },
        "perms2": {"owner": "cloud-admin", "owner_access": 7, "global_access": 0, "share": []},
        "loadbalancer_properties": properties,
    }  # fmt: skip


async def test_links_are_shown_from_both_ends(client: httpx.AsyncClient) -> None:
    lb = await create(client, "loadbalancer", "lb")
    listener = await create(client, "loadbalancer-listener", "ls", loadbalancer_refs=[{"to": lb["fq_name"]}])
    pool = await create(
        client, "loadbalancer-pool", "pool", loadbalancer_listener_refs=[{"uuid": listener["uuid"]}], **POOL
    )
    member = await create(client, "loadbalancer-member", [*pool["fq_name"], "m"])
    to_lb = {"to": lb["fq_name"], "uuid": lb["uuid"], "href": lb["href"], "attr": None}
    assert (await read(client, "loadbalancer-listener", listener["uuid"]))["loadbalancer_refs"] == [to_lb]
    to_listener = {"to": listener["fq_name"], "uuid": listener["uuid"], "href": listener["href"], "attr": None}
    assert (await read(client, "loadbalancer", lb["uuid"]))["loadbalancer_listener_back_refs"] == [to_listener]
    to_member = {"to": member["fq_name"], "uuid": member["uuid"], "href": member["href"]}
    assert (await read(client, "loadbalancer-pool", pool["uuid"]))["loadbalancer_members"] == [to_member]


async def test_what_is_read_can_be_chosen(client: httpx.AsyncClient) -> None:
    pool = await create(client, "loadbalancer-pool", "pool", **POOL)
    await create(client, "loadbalancer-member", [*pool["fq_name"], "m"])
    common = {"uuid", "fq_name", "name", "parent_type", "parent_uuid", "href", "parent_href", "id_perms", "perms2"}
    uuid = pool["uuid"]
    everything = common | {"display_name", "loadbalancer_pool_properties", "loadbalancer_members"}
    cases: list[tuple[dict[str, str], set[str]]] = [
        ({}, everything),
        ({"exclude_children": "False"}, everything - {"loadbalancer_members"}),
        ({"exclude_back_refs": ""}, everything),
        ({"exclude_hrefs": "1"}, everything - {"href", "parent_href"}),
        ({"fields": ""}, common),
        ({"fields": "display_name,nonsense"}, common | {"display_name"}),
        ({"fields": "loadbalancer_members", "exclude_children": "1"}, common | {"loadbalancer_members"}),
    ]
    for query, expected in cases:
        found = await read(client, "loadbalancer-pool", uuid, **query)
        assert found.keys() == expected, query
        if "exclude_hrefs" in query:
            assert found["loadbalancer_members"][0].keys() == {"to", "uuid"}


async def test_etag_changes_with_the_object_and_only_then(client: httpx.AsyncClient) -> None:
    pool = await create(client, "loadbalancer-pool", "pool", **POOL)
    path = f"/loadbalancer-pool/{pool['uuid']}"
    first = await client.get(path)
    etag = first.headers["etag"]
    assert etag == f'"{first.json()["loadbalancer-pool"]["id_perms"]["last_modified"]}"'
    for given in (etag, etag.strip('"'), f"W/{etag}", f'"other", {etag}', "*"):
        same = await client.get(path, headers={"If-None-Match": given})
        assert (same.status_code, same.content) == (304, b"")
    await create(client, "loadbalancer-member", [*pool["fq_name"], "m"])
    assert (await client.get(path, headers={"If-None-Match": etag})).status_code == 304
    assert (await client.put(path, json={"loadbalancer-pool": {"display_name": "pool"}})).status_code == 200
    later = await client.get(path, headers={"If-None-Match": etag})
    assert later.status_code == 200
    assert later.headers["etag"] > etag


async def test_update_replaces_whole_values_and_leaves_the_rest(client: httpx.AsyncClient) -> None:
    lb = await create(client, "loadbalancer", "lb", loadbalancer_provider="native",
                      loadbalancer_properties={"vip_address": "10.0.0.1", "admin_state": True})  # fmt: skip
    path = f"/loadbalancer/{lb['uuid']}"
    before = await read(client, "loadbalancer", lb["uuid"])
    sent_back = {**before, "fq_name": ["x"], "uuid": "x", "loadbalancer_properties": {"vip_address": "10.0.0.2"}}
    answer = await client.put(path, json={"loadbalancer": sent_back})
    assert answer.json() == {"loadbalancer": {"uuid": lb["uuid"], "href": lb["href"]}}
    found = await read(client, "loadbalancer", lb["uuid"])
    assert found["loadbalancer_properties"] == {"vip_address": "10.0.0.2"}
    assert found["loadbalancer_provider"] == "native"
    assert (found["fq_name"], found["uuid"]) == (before["fq_name"], before["uuid"])
    assert found["id_perms"]["created"] == before["id_perms"]["created"]
    await client.put(path, json={"loadbalancer": {"loadbalancer_properties": None, "display_name": ""}})
    found = await read(client, "loadbalancer", lb["uuid"])
    assert "loadbalancer_properties" not in found
    assert found["display_name"] == ""


@pytest.mark.parametrize("body", [b"", b"{}", b"null", b"[]", b'{"loadbalancer": {}}', b'{"loadbalancer": null}'])
async def test_an_update_that_asks_for_nothing_changes_nothing(client: httpx.AsyncClient, body: bytes) -> None:
    lb = await create(client, "loadbalancer", "lb")
    before = await read(client, "loadbalancer", lb["uuid"])
    answer = await client.put(f"/loadbalancer/{lb['uuid']}", content=body)
    assert (answer.status_code, answer.content) == (200, b"")
    assert await read(client, "loadbalancer", lb["uuid"]) == before


@pytest.mark.parametrize("field", ["unknown", "fq_name", "uuid", "parent_uuid", "loadbalancer_listener_back_refs"])
async def test_an_update_of_ignored_fields_alone_is_one(client: httpx.AsyncClient, field: str) -> None:
    lb = await create(client, "loadbalancer", "lb")
    before = await read(client, "loadbalancer", lb["uuid"])
    answer = await client.put(f"/loadbalancer/{lb['uuid']}", json={"loadbalancer": {field: "x"}})
    assert answer.json() == {"loadbalancer": {"uuid": lb["uuid"], "href": lb["href"]}}
    found = await read(client, "loadbalancer", lb["uuid"])
    assert found["id_perms"].pop("last_modified") > before["id_perms"].pop("last_modified")
    assert found == before


async def test_id_perms_and_perms2_are_mostly_the_servers(client: httpx.AsyncClient) -> None:
    lb = await create(client, "loadbalancer", "lb",
                      id_perms={"description": "d", "enable": False, "permissions": {"owner": "me"}, "created": "x"},
                      perms2={"owner": "tenant", "global_access": 5})  # fmt: skip
    found = await read(client, "loadbalancer", lb["uuid"])
    assert (found["id_perms"]["description"], found["id_perms"]["enable"]) == ("d", False)
    assert found["id_perms"]["permissions"]["owner"] == "cloud-admin"
    assert found["perms2"] == {"owner": "tenant", "owner_access": 7, "global_access": 5, "share": []}
    path = f"/loadbalancer/{lb['uuid']}"
    await client.put(path, json={"loadbalancer": {"id_perms": {"description": "e", "creator": "me"}}})
    await client.put(path, json={"loadbalancer": {"perms2": {"owner": "other"}}})
    found = await read(client, "loadbalancer", lb["uuid"])
    assert (found["id_perms"]["description"], found["id_perms"]["creator"]) == ("e", None)
    assert found["perms2"] == {"owner": "other", "owner_access": 7, "global_access": 5, "share": []}


async def test_references_are_replaced_as_a_kind(client: httpx.AsyncClient) -> None:
    lbs = [await create(client, "loadbalancer", name) for name in ("a", "b")]
    listener = await create(client, "loadbalancer-listener", "ls", loadbalancer_refs=[{"to": lbs[0]["fq_name"]}])
    path = f"/loadbalancer-listener/{listener['uuid']}"

    async def put(references: Any) -> list[str]:
        answer = await client.put(path, json={"loadbalancer-listener": {"loadbalancer_refs": references}})
        assert answer.status_code == 200, answer.text
        found = await read(client, "loadbalancer-listener", listener["uuid"])
        return [reference["to"][-1] for reference in found.get("loadbalancer_refs", ())]

    assert await put([{"to": lbs[1]["fq_name"]}]) == ["b"]
    assert sorted(await put([{"uuid": lbs[0]["uuid"]}, {"uuid": lbs[1]["uuid"]}])) == ["a", "b"]
    assert await put([]) == []
    assert await put([{"to": lbs[1]["fq_name"]}]) == ["b"]
    assert await put(None) == []


async def test_a_same_type_reference_stands_on_both_sides(client: httpx.AsyncClient) -> None:
    a = await create(client, "virtual-network", "a", is_provider_network=True)
    b = await create(client, "virtual-network", "b", virtual_network_refs=[{"to": a["fq_name"]}])
    for one, other in ((a, b), (b, a)):
        found = await read(client, "virtual-network", one["uuid"])
        assert [reference["uuid"] for reference in found["virtual_network_refs"]] == [other["uuid"]]
        assert "virtual_network_back_refs" not in found
    assert (await client.delete(f"/virtual-network/{a['uuid']}")).status_code == 200
    assert "virtual_network_refs" not in await read(client, "virtual-network", b["uuid"])


async def test_delete_is_refused_while_in_use(client: httpx.AsyncClient) -> None:
    lb = await create(client, "loadbalancer", "lb")
    listener = await create(client, "loadbalancer-listener", "ls", loadbalancer_refs=[{"to": lb["fq_name"]}])
    pool = await create(client, "loadbalancer-pool", "pool", **POOL)
    member = await create(client, "loadbalancer-member", [*pool["fq_name"], "m"])
    cases = [
        (lb, "loadbalancer", f"Delete when resource still referred: ['{listener['href']}']"),
        (pool, "loadbalancer-pool", f"Delete when children still present: ['{member['href']}']"),
    ]
    for used, kind, text in cases:
        refused = await client.delete(f"/{kind}/{used['uuid']}")
        assert (refused.status_code, refused.text) == (409, text)
    for kind, uuid in (
        ("loadbalancer-member", member["uuid"]),
        ("loadbalancer-pool", pool["uuid"]),
        ("loadbalancer-listener", listener["uuid"]),
        ("loadbalancer", lb["uuid"]),
    ):
        answer = await client.delete(f"/{kind}/{uuid}")
        assert (answer.status_code, answer.content) == (200, b"")
        assert (await client.get(f"/{kind}/{uuid}")).status_code == 404


async def test_a_referrer_is_named_once(client: httpx.AsyncClient) -> None:
    """However many of the objects that would go it refers to: default-named children go with their parent."""
    project = await create(client, "project", ["default-domain", "p"])
    names = [[*project["fq_name"], f"default-{kind}"] for kind in ("virtual-network", "security-group")]
    await create(client, "virtual-network", names[0])
    await create(client, "security-group", names[1])
    references = {"virtual_network_refs": [{"to": names[0]}], "security_group_refs": [{"to": names[1]}]}
    interface = await create(client, "virtual-machine-interface", "vmi", parent_type="project", **references)
    refused = await client.delete(f"/project/{project['uuid']}")
    assert refused.status_code == 409
    assert refused.text == f"Delete when resource still referred: ['{interface['href']}']"


async def test_removing_a_reference_to_what_is_gone_is_no_error(client: httpx.AsyncClient) -> None:
    listener = await create(client, "loadbalancer-listener", "ls")
    asked = {"type": "loadbalancer-listener", "uuid": listener["uuid"], "ref-type": "loadbalancer", "ref-uuid": UUID}
    answer = await client.post("/ref-update", json=asked | {"operation": "DELETE"})
    assert (answer.status_code, answer.json()) == (200, {"uuid": listener["uuid"]})
    assert (await client.post("/ref-update", json=asked | {"operation": "ADD"})).status_code == 404


@pytest.mark.parametrize("action", ["prop-collection-update", "useragent-kv", "start-profile"])
async def test_an_action_without_an_answer_is_typed_as_text(client: httpx.AsyncClient, action: str) -> None:
    lb = await create(client, "loadbalancer", "lb")
    body = {"uuid": lb["uuid"], "updates": [], "operation": "STORE", "key": "k", "value": "v"}
    answer = await client.post(f"/{action}", json=body)
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-type"] == "text/html; charset=UTF-8"


async def test_every_object_of_the_first_start_can_be_sent_back_as_it_is_read(client: httpx.AsyncClient) -> None:
    """Some clients change an object by reading it, and sending all of it back."""
    for kind in schema.load().types.values():
        for item in (await client.get(f"/{kind.plural}")).json()[kind.plural]:
            before = (await client.get(f"/{kind.name}/{item['uuid']}")).json()
            answer = await client.put(f"/{kind.name}/{item['uuid']}", json=before)
            assert answer.status_code == 200, answer.text
            after = (await client.get(f"/{kind.name}/{item['uuid']}")).json()
            for found in (before, after):
                del found[kind.name]["id_perms"]["last_modified"]
            assert after == before


async def test_every_type_is_served(client: httpx.AsyncClient) -> None:
    for kind in schema.load().types.values():
        assert (await client.get(f"/{kind.plural}")).json().keys() == {kind.plural}
        assert (await client.get(f"/{kind.name}/{UUID}")).text == f"Unknown id: {UUID}"


async def test_revisions_grow_with_every_write(client: httpx.AsyncClient) -> None:
    first = await client.post("/loadbalancers", json={"loadbalancer": {"fq_name": [*PROJECT, "a"]}})
    second = await client.post("/loadbalancers", json={"loadbalancer": {"fq_name": [*PROJECT, "b"]}})
    seen = await client.get("/loadbalancers")
    revisions = [int(answer.headers["x-revision"]) for answer in (first, second, seen)]
    assert revisions[0] + 1 == revisions[1] == revisions[2]
