"""Whole changes: `?dry_run=true` on every write, `POST /transaction`, `If-Match`."""

from typing import Any

import httpx
import pytest
from serverlab import PROJECT, create, read

IPAM = {"to": [*PROJECT, "default-network-ipam"],
        "attr": {"ipam_subnets": [{"subnet": {"ip_prefix": "10.9.0.0", "ip_prefix_len": 24}}]}}  # fmt: skip


def network(name: str, **fields: Any) -> dict[str, Any]:
    return {"virtual-network": {"fq_name": [*PROJECT, name], "parent_type": "project", **fields}}


def post(path: str, body: Any, **more: Any) -> dict[str, Any]:
    return {"method": "POST", "path": path, "body": body, **more}


def instance_ip(name: str, of: str) -> dict[str, Any]:
    return {"instance-ip": {"fq_name": [name], "virtual_network_refs": [{"to": [*PROJECT, of]}]}}


async def everything(client: httpx.AsyncClient) -> dict[str, Any]:
    """All objects by type, and the revision."""
    found = {}
    for kind in ("virtual-network", "routing-instance", "instance-ip", "loadbalancer-pool", "project"):
        answer = await client.get(f"/{kind}s", params={"detail": "true"})
        found[kind] = answer.json()
        found["revision"] = answer.headers["x-revision"]
    return found


# --- dry run


async def test_a_rehearsed_create_says_what_it_would_do_and_does_nothing(client: httpx.AsyncClient) -> None:
    before = await everything(client)
    answer = await client.post("/virtual-networks?dry_run=true", json=network("n", network_ipam_refs=[IPAM]))
    assert answer.status_code == 200
    told = answer.json()
    assert told["dry_run"] is True
    assert told["answer"]["virtual-network"]["fq_name"] == [*PROJECT, "n"]
    assert [(one["operation"], one["type"], one["fq_name"]) for one in told["changes"]] == [
        ("create", "virtual-network", [*PROJECT, "n"]),
        ("create", "routing-instance", [*PROJECT, "n", "n"]),
    ]
    number = told["changes"][0]["object"]["virtual_network_network_id"]
    assert await everything(client) == before
    real = await create(client, "virtual-network", "n", parent_type="project", network_ipam_refs=[IPAM])
    found = await read(client, "virtual-network", real["uuid"])
    assert found["virtual_network_network_id"] == number, "a rehearsal consumed a number"


async def test_a_rehearsed_address_is_not_consumed(client: httpx.AsyncClient) -> None:
    await create(client, "virtual-network", "n", parent_type="project", network_ipam_refs=[IPAM])
    for _ in range(3):
        answer = await client.post("/instance-ips?dry_run", json=instance_ip("a", "n"))
        assert answer.json()["changes"][0]["object"]["instance_ip_address"] == "10.9.0.252"
    real = await create(client, "instance-ip", ["a"], virtual_network_refs=[{"to": [*PROJECT, "n"]}])
    assert (await read(client, "instance-ip", real["uuid"]))["instance_ip_address"] == "10.9.0.252"


async def test_every_kind_of_write_can_be_rehearsed(client: httpx.AsyncClient) -> None:
    pool = await create(client, "loadbalancer-pool", "pool", parent_type="project")
    uuid = pool["uuid"]
    before = await everything(client)
    annotate = {"field": "annotations", "operation": "set", "value": {"key": "k", "value": "v"}}
    asked = [
        ("PUT", f"/loadbalancer-pool/{uuid}", {"loadbalancer-pool": {"display_name": "x"}}, ["display_name"]),
        ("DELETE", f"/loadbalancer-pool/{uuid}", None, None),
        ("POST", "/prop-collection-update", {"uuid": uuid, "updates": [annotate]}, ["annotations"]),
        ("POST", "/chown", {"uuid": uuid, "owner": "6ba7b810-9dad-41d1-80b4-00c04fd430c8"}, ["perms2"]),
        ("POST", "/ref-update", {"uuid": uuid, "type": "loadbalancer-pool", "ref-type": "loadbalancer-listener",
                                 "ref-fq-name": [*PROJECT, "ls"], "operation": "ADD"}, ["loadbalancer_listener_refs"]),
    ]  # fmt: skip
    await create(client, "loadbalancer-listener", "ls", parent_type="project")
    before = await everything(client)
    for method, path, body, fields in asked:
        answer = await client.request(method, path, params={"dry_run": "true"}, json=body)
        assert answer.status_code == 200, (path, answer.text)
        assert [change["fields"] for change in answer.json()["changes"]] == [fields], path
    kept = {"operation": "STORE", "key": "k", "value": "v"}
    answer = await client.post("/useragent-kv?dry_run=true", json=kept)
    assert answer.json() == {"dry_run": True, "answer": None, "changes": []}
    assert (await client.post("/useragent-kv", json={"operation": "RETRIEVE", "key": "k"})).status_code == 404
    assert await everything(client) == before


async def test_a_rehearsal_is_refused_as_the_write_would_be(client: httpx.AsyncClient) -> None:
    answer = await client.post("/virtual-networks?dry_run=true", json=network("n", parent_type="domain"))
    assert (answer.status_code, answer.text) == (400, "Invalid parent type: domain. Allowed types: ['project']")
    answer = await client.post("/virtual-networks?dry_run=perhaps", json=network("n"))
    assert (answer.status_code, answer.text) == (400, "Bad Request, dry_run must be true or false: perhaps")
    assert (await client.get("/virtual-networks?fq_names=default-domain:default-project:n")).json() == {
        "virtual-networks": []
    }
    assert (await client.post("/virtual-networks?dry_run=false", json=network("n"))).status_code == 200
    assert (await client.get("/virtual-networks?fq_names=default-domain:default-project:n")).json()["virtual-networks"]


# --- several operations


async def test_operations_see_each_other_and_are_one_revision(client: httpx.AsyncClient) -> None:
    before = await everything(client)
    answer = await client.post("/transaction", json={"operations": [
        post("/virtual-networks", network("n", network_ipam_refs=[IPAM])),
        post("/instance-ips", instance_ip("a", "n")),
        post("/instance-ips", instance_ip("b", "n")),
        post("/useragent-kv", {"operation": "STORE", "key": "k", "value": "v"}),
    ]})  # fmt: skip
    assert answer.status_code == 200, answer.text
    answers = answer.json()["answers"]
    assert [one["status"] for one in answers] == [200] * 4
    assert answers[3]["body"] is None
    assert int(answer.headers["x-revision"]) == int(before["revision"]) + 1
    address = (await read(client, "instance-ip", answers[2]["body"]["instance-ip"]["uuid"]))["instance_ip_address"]
    assert address == "10.9.0.251"
    answer = await client.post("/transaction", json={"operations": [
        {"method": "DELETE", "path": f"/instance-ip/{answers[1]['body']['instance-ip']['uuid']}"},
        {"method": "delete", "path": f"/instance-ip/{answers[2]['body']['instance-ip']['uuid']}"},
        {"method": "DELETE", "path": f"/virtual-network/{answers[0]['body']['virtual-network']['uuid']}"},
    ]})  # fmt: skip
    assert answer.status_code == 200, answer.text
    assert {**await everything(client), "revision": 0} == {**before, "revision": 0}


WRONG = [
    (post("/foos", {}), 404, "operation 2: Not found: '/foos'"),
    (post("/virtual-networks", network("n")), 409, "operation 2: ['default-domain', 'default-project', 'n'] already"),
    (post("/instance-ips", instance_ip("a", "no")), 400, "operation 2: Unknown reference in resource create"),
    ({"method": "GET", "path": "/virtual-networks"}, 405, "operation 2: Method not allowed."),
    ({"method": "GET", "path": "/chown"}, 405, "operation 2: Method not allowed."),
    ({"method": "PUT", "path": "/virtual-network/x", "body": network("n", mtu="x")}, 400, "operation 2: Bad property"),
    ({"method": "DELETE", "path": "/virtual-network/x"}, 404, "operation 2: ID x does not exist"),
    ({"method": "POST"}, 400, "operation 2: Bad Request, an operation needs a method"),
    ({"method": "POST", "path": "/chown", "url": ""}, 400, "operation 2: Bad Request, an operation has no member url"),
    ("x", 400, "operation 2: Bad Request, an operation must be an object with method, path and body: x"),
    (post("/transaction", {"operations": []}), 400, "operation 2: Bad Request, a transaction cannot be an operation"),
    (post("/useragent-kv", {"operation": "RETRIEVE", "key": "k"}), 400, "operation 2: Error: RETRIEVE changes nothing"),
    (post("/chown", {"uuid": "x", "owner": "x"}), 400, "operation 2: Bad Request, invalid resource UUID"),
]


@pytest.mark.parametrize(("operation", "status", "text"), WRONG)
async def test_all_or_nothing(client: httpx.AsyncClient, operation: Any, status: int, text: str) -> None:
    before = await everything(client)
    answer = await client.post(
        "/transaction", json={"operations": [post("/virtual-networks", network("n")), operation]}
    )
    assert (answer.status_code, answer.text[: len(text)]) == (status, text)
    assert await everything(client) == before


@pytest.mark.parametrize("body", [{}, {"operations": []}, {"operations": {}}, [], {"operations": [{}] * 1001}])
async def test_what_is_no_transaction(client: httpx.AsyncClient, body: Any) -> None:
    answer = await client.post("/transaction", json=body)
    assert answer.status_code == 400
    assert "operations" in answer.text or "object" in answer.text


async def test_a_transaction_can_be_rehearsed(client: httpx.AsyncClient) -> None:
    before = await everything(client)
    operations = [
        post("/virtual-networks", network("n", network_ipam_refs=[IPAM])),
        post("/instance-ips", instance_ip("a", "n")),
    ]
    answer = await client.post("/transaction?dry_run=true", json={"operations": operations})
    told = answer.json()
    assert [one["status"] for one in told["answer"]["answers"]] == [200, 200]
    assert [change["type"] for change in told["changes"]] == ["virtual-network", "routing-instance", "instance-ip"]
    assert await everything(client) == before


# --- versions


async def test_if_match_keeps_a_change_from_being_lost(client: httpx.AsyncClient) -> None:
    uuid = (await create(client, "loadbalancer-pool", "pool", parent_type="project"))["uuid"]
    path = f"/loadbalancer-pool/{uuid}"
    seen = (await client.get(path)).headers["etag"]
    change = {"loadbalancer-pool": {"display_name": "mine"}}
    assert (await client.put(path, json=change, headers={"if-match": f'"other", {seen}'})).status_code == 200
    late = await client.put(path, json={"loadbalancer-pool": {"display_name": "late"}}, headers={"if-match": seen})
    now = (await client.get(path)).headers["etag"]
    assert late.status_code == 412
    assert f"loadbalancer-pool {uuid} has changed: its version is now {now}" in late.text
    assert (await read(client, "loadbalancer-pool", uuid))["display_name"] == "mine"
    assert (await client.delete(path, headers={"if-match": seen})).status_code == 412
    chown = {"uuid": uuid, "owner": "6ba7b810-9dad-41d1-80b4-00c04fd430c8"}
    assert (await client.post("/chown", json=chown, headers={"if-match": seen})).status_code == 412
    assert (await client.put(path, json=change, headers={"if-match": "*"})).status_code == 200
    assert (await client.put("/loadbalancer-pool/x", json=change, headers={"if-match": seen})).status_code == 404
    now = (await client.get(path)).headers["etag"]
    assert (await client.delete(path, headers={"if-match": now})).status_code == 200


async def test_if_match_in_a_transaction(client: httpx.AsyncClient) -> None:
    uuid = (await create(client, "loadbalancer-pool", "pool", parent_type="project"))["uuid"]
    seen = (await client.get(f"/loadbalancer-pool/{uuid}")).headers["etag"]
    change = {
        "method": "PUT",
        "path": f"/loadbalancer-pool/{uuid}",
        "body": {"loadbalancer-pool": {"display_name": "x"}},
    }
    operations = [post("/virtual-networks", network("n")), change | {"if_match": '"2020-01-01T00:00:00.000000"'}]
    answer = await client.post("/transaction", json={"operations": operations})
    assert answer.status_code == 412
    assert f"operation 2: loadbalancer-pool {uuid} has changed" in answer.text
    operations[1]["if_match"] = seen
    assert (await client.post("/transaction", json={"operations": operations})).status_code == 200
    operations = [change | {"if_match": 5}]
    assert (await client.post("/transaction", json={"operations": operations})).status_code == 400


async def test_if_match_needs_one_object(client: httpx.AsyncClient) -> None:
    answer = await client.post("/virtual-networks", json=network("n"), headers={"if-match": "*"})
    assert answer.status_code == 400
    assert answer.text == "Bad Request, If-Match goes with a request about one object that exists"
