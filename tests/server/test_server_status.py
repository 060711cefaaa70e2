"""`/status`: what nodes report of objects, joined, told and followed, beside the objects. On both databases."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from serverlab import PROJECT, create, listening, replicas

from api_server.settings import Settings

SINCE = "2026-01-31T12:00:00.000Z"
NOBODY = "11111111-2222-3333-4444-555555555555"


@pytest.fixture(params=["sqlite", "postgres"])
def settings(request: pytest.FixtureRequest) -> Settings:
    return Settings(database=request.getfixturevalue(f"{request.param}_url"))


@pytest.fixture
async def remote(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with listening(app) as url, httpx.AsyncClient(base_url=url, timeout=10) as client:
        yield client


async def tree(client: httpx.AsyncClient, name: str = "web", members: int = 2) -> dict[str, str]:
    """A load balancer, a listener, a pool, members: their uuids by name."""
    loadbalancer = await create(client, "loadbalancer", name)
    listener = await create(
        client, "loadbalancer-listener", f"{name}-80",
        loadbalancer_listener_properties={"protocol": "TCP", "protocol_port": 80},
        loadbalancer_refs=[{"to": loadbalancer["fq_name"]}],
    )  # fmt: skip
    pool = await create(
        client, "loadbalancer-pool", f"{name}-pool", loadbalancer_pool_properties={"protocol": "TCP"},
        loadbalancer_listener_refs=[{"to": listener["fq_name"]}],
    )  # fmt: skip
    uuids = {"loadbalancer": loadbalancer["uuid"], "listener": listener["uuid"], "pool": pool["uuid"]}
    for number in range(1, members + 1):
        member = await create(
            client, "loadbalancer-member", [*PROJECT, f"{name}-pool", f"m{number}"],
            loadbalancer_member_properties={"address": f"10.0.0.{number}", "protocol_port": 8080},
        )  # fmt: skip
        uuids[f"m{number}"] = member["uuid"]
    return uuids


async def report(client: httpx.AsyncClient, node: str = "n1", revision: int = 1000, **states: Any) -> Any:
    """States by uuid (underscores for hyphens): a word, a mapping, or None to take it back."""
    rows = []
    for uuid, state in states.items():
        row = state if isinstance(state, dict) else {"state": state}
        rows.append({"uuid": uuid, "since": SINCE} | row)
    answer = await client.post("/status", json={"node": node, "revision": revision, "rows": rows})
    assert answer.status_code == 200, answer.text
    return answer.json()


async def asked(client: httpx.AsyncClient, kind: str, uuid: str) -> dict[str, Any]:
    answer = await client.get(f"/status/{kind}/{uuid}")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()["status"]
    return found


async def test_the_tree_of_a_load_balancer(remote: httpx.AsyncClient) -> None:
    uuids = await tree(remote)
    before = await asked(remote, "loadbalancer", uuids["loadbalancer"])
    assert (before["operating_status"], before["reason"]) == ("OFFLINE", "no node reports on it")
    said = {"state": "ERROR", "reason": "connection refused, 3 times"}
    own = dict.fromkeys((uuids["loadbalancer"], uuids["listener"], uuids["pool"]), "ONLINE")
    answer = await report(remote, **own, **{uuids["m1"]: "ONLINE", uuids["m2"]: said, NOBODY: "ONLINE"})
    assert answer == {"unknown": [NOBODY]}
    found = await asked(remote, "loadbalancer", uuids["loadbalancer"])
    assert found["operating_status"] == "DEGRADED"
    assert found["reason"] == "pool web-pool: 1 of 2 members failed"
    assert found["provisioning_status"] == "ACTIVE"
    (listener,) = found["listeners"]
    assert (listener["operating_status"], listener["protocol"], listener["protocol_port"]) == ("ONLINE", "TCP", 80)
    (pool,) = listener["pools"]
    assert pool["operating_status"] == "DEGRADED"
    assert [(one["name"], one["operating_status"], one["reason"]) for one in pool["members"]] == [
        ("m1", "ONLINE", ""), ("m2", "ERROR", "connection refused, 3 times"),
    ]  # fmt: skip
    (node,) = pool["members"][1]["nodes"]
    assert (node["node"], node["state"], node["since"], node["stale"]) == ("n1", "ERROR", SINCE, False)
    assert pool["members"][1]["address"] == "10.0.0.2"
    for kind in ("listener", "pool"):
        (alone,) = [one for one in (listener, pool) if one["uuid"] == uuids[kind]]
        assert await asked(remote, f"loadbalancer-{kind}", uuids[kind]) == alone
    assert await asked(remote, "loadbalancer-member", uuids["m2"]) == pool["members"][1]


async def test_admin_state_down_is_offline_and_all_below_it(remote: httpx.AsyncClient) -> None:
    uuids = await tree(remote, members=1)
    await report(remote, **dict.fromkeys(uuids.values(), "ONLINE"))
    path = f"/loadbalancer-listener/{uuids['listener']}"
    properties = {"protocol": "TCP", "protocol_port": 80, "admin_state": False}
    await remote.put(path, json={"loadbalancer-listener": {"loadbalancer_listener_properties": properties}})
    member = await asked(remote, "loadbalancer-member", uuids["m1"])
    assert (member["operating_status"], member["reason"]) == ("OFFLINE", "admin_state of listener web-80 is down")
    assert (await asked(remote, "loadbalancer", uuids["loadbalancer"]))["operating_status"] == "ONLINE"


async def test_what_a_client_wrote_into_an_object_stays(remote: httpx.AsyncClient) -> None:
    written = {"provisioning_status": "PENDING_CREATE", "operating_status": "OFFLINE"}
    one = await create(remote, "loadbalancer", "lb", loadbalancer_properties=written)
    before = await remote.get(f"/loadbalancer/{one['uuid']}")
    await report(remote, **{one["uuid"]: "ONLINE"})
    after = await remote.get(f"/loadbalancer/{one['uuid']}")
    assert (after.content, after.headers["etag"]) == (before.content, before.headers["etag"])
    assert after.headers["x-revision"] == before.headers["x-revision"]
    assert after.json()["loadbalancer"]["loadbalancer_properties"].items() >= written.items()
    assert (await asked(remote, "loadbalancer", one["uuid"]))["operating_status"] == "ONLINE"


async def test_several_nodes_of_one_object_the_worst_holds(remote: httpx.AsyncClient) -> None:
    uuids = await tree(remote)
    await report(remote, "n1", **{uuids["m1"]: "NO_MONITOR", uuids["loadbalancer"]: "ONLINE"})
    await report(remote, "n2", **{uuids["m1"]: "ERROR", uuids["m2"]: "NO_MONITOR", uuids["loadbalancer"]: "ONLINE"})
    found = await asked(remote, "loadbalancer-member", uuids["m1"])
    assert found["operating_status"] == "ERROR"
    assert [(one["node"], one["state"]) for one in found["nodes"]] == [("n1", "NO_MONITOR"), ("n2", "ERROR")]
    await report(remote, "n2", **{uuids["m1"]: None})
    assert (await asked(remote, "loadbalancer", uuids["loadbalancer"]))["operating_status"] == "ONLINE"


async def test_a_change_is_pending_until_a_node_has_applied_it(remote: httpx.AsyncClient) -> None:
    uuids = await tree(remote, members=1)
    now = int((await remote.get("/healthz")).headers["x-revision"])
    await report(remote, revision=now - 1, **dict.fromkeys(uuids.values(), "ONLINE"))

    async def words() -> list[str]:
        found = await asked(remote, "loadbalancer", uuids["loadbalancer"])
        pool = found["listeners"][0]["pools"][0]
        return [one["provisioning_status"] for one in (found, pool, pool["members"][0])]

    assert await words() == ["PENDING_UPDATE"] * 3
    await report(remote, revision=now)
    assert await words() == ["ACTIVE"] * 3
    broken = {"state": "ERROR", "provisioning": "ERROR", "reason": "VIP 10.0.0.9 in VRF 5 could not be made: no space"}
    await report(remote, revision=now, **{uuids["loadbalancer"]: broken})
    assert await words() == ["ERROR", "ACTIVE", "ACTIVE"]


async def test_rows_go_with_their_object(remote: httpx.AsyncClient) -> None:
    uuids = await tree(remote, members=1)
    await report(remote, **dict.fromkeys(uuids.values(), "ONLINE"))
    assert (await remote.delete(f"/loadbalancer-member/{uuids['m1']}")).status_code == 200
    assert (await remote.get(f"/status/loadbalancer-member/{uuids['m1']}")).status_code == 404
    rows = (await remote.get("/status", params={"node": "n1"})).json()["rows"]
    assert {row["uuid"] for row in rows} == set(uuids.values()) - {uuids["m1"]}
    assert rows[0].keys() == {"type", "uuid", "state", "provisioning", "reason", "since", "revision"}
    (node,) = (await remote.get("/status")).json()["nodes"]
    assert (node["node"], node["revision"], node["stale"]) == ("n1", 1000, False)


async def test_any_type_has_the_rows_that_nodes_report(remote: httpx.AsyncClient) -> None:
    network = await create(remote, "virtual-network", "net")
    await report(remote, **{network["uuid"]: "ONLINE"})
    found = await asked(remote, "virtual-network", network["uuid"])
    assert (found["operating_status"], len(found["nodes"])) == ("ONLINE", 1)
    assert "listeners" not in found


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("/status/no-such-type/x", "Not found: '/status/no-such-type/x'"),
        (f"/status/loadbalancer/{NOBODY}", f"Unknown id: {NOBODY}"),
    ],
)
async def test_what_is_not_there(remote: httpx.AsyncClient, path: str, text: str) -> None:
    answer = await remote.get(path)
    assert (answer.status_code, answer.text) == (404, text)


async def test_another_type_than_its_own(remote: httpx.AsyncClient) -> None:
    one = await create(remote, "loadbalancer", "lb")
    answer = await remote.get(f"/status/loadbalancer-pool/{one['uuid']}")
    assert (answer.status_code, answer.text) == (404, f"No loadbalancer-pool object found for id {one['uuid']}")


GOOD = {"uuid": NOBODY, "state": "ONLINE", "since": SINCE}


WRONG: list[tuple[Any, str]] = [
    ({"revision": 1}, "node must be a name"),
    ({"node": "x" * 256, "revision": 1}, "node must be a name of 1 to 255"),
    ({"node": "n"}, "revision must be a number"),
    ({"node": "n", "revision": True}, "revision must be a number"),
    ({"node": "n", "revision": 1, "row": []}, "row is no field"),
    ({"node": "n", "revision": 1, "rows": [GOOD] * 1001}, "rows must be a list of at most 1000"),
    ({"node": "n", "revision": 1, "rows": [GOOD, GOOD]}, "rows must name each uuid once"),
    ({"node": "n", "revision": 1, "rows": [GOOD, 3]}, r"rows\[1\] must be an object"),
    ({"node": "n", "revision": 1, "rows": [GOOD | {"state": "UP"}]}, r"rows\[0\].state must be null or one of"),
    ({"node": "n", "revision": 1, "rows": [{"uuid": NOBODY}]}, r"rows\[0\].state"),
    ({"node": "n", "revision": 1, "rows": [GOOD | {"since": "2026-01-31"}]}, r"rows\[0\].since must be a time"),
    ({"node": "n", "revision": 1, "rows": [GOOD | {"reason": "x" * 1001}]}, r"rows\[0\].reason must be a text"),
    ({"node": "n", "revision": 1, "rows": [GOOD | {"uuid": 7}]}, r"rows\[0\].uuid must be a uuid"),
    ({"node": "n", "revision": 1, "rows": [GOOD | {"provisioning": "X"}]}, r"rows\[0\].provisioning"),
    ({"node": "n", "revision": 1, "rows": [GOOD | {"colour": "red"}]}, r"rows\[0\].colour is no field"),
    ({"node": "n", "revision": 1, "rows": [GOOD | {"state": []}]}, r"rows\[0\].state must"),
    ({"node": "n", "revision": 1, "rows": [GOOD | {"provisioning": {}}]}, r"rows\[0\].provisioning must"),
    ([], "the body must be an object"),
]


async def test_a_wrong_report_is_told_its_field(client: httpx.AsyncClient) -> None:
    for body, words in WRONG:
        answer = await client.post("/status", json=body)
        assert answer.status_code == 400, body
        assert re.search(words, answer.text), answer.text


@asynccontextmanager
async def watching(client: httpx.AsyncClient, query: str) -> AsyncIterator[AsyncIterator[str]]:
    async with client.stream("GET", f"/watch?{query}") as answer:
        assert answer.status_code == 200, await answer.aread()
        yield blocks(answer.aiter_text())


async def blocks(text: AsyncIterator[str]) -> AsyncIterator[str]:
    """Frames as they are sent."""
    rest = ""
    async for part in text:
        rest += part
        *whole, rest = rest.split("\n\n")
        for one in whole:
            yield one


def status_of(frame: str) -> tuple[str, str]:
    head, data = frame.split("\n")
    assert head == "event: status"
    found = json.loads(data.removeprefix("data: "))["status"]
    return found["name"], found["operating_status"]


async def test_statuses_are_followed_beside_the_objects(remote: httpx.AsyncClient) -> None:
    uuids = await tree(remote)
    await report(remote, **dict.fromkeys(uuids.values(), "ONLINE"))
    async with watching(remote, "resource_type=loadbalancer,loadbalancer-member&status=1") as frames:
        first = [await anext(frames) for _ in range(5)]
        assert [frame.split("\n")[0] for frame in first[:2]] == ["event: init"] * 2
        assert {status_of(frame) for frame in first[2:]} == {("web", "ONLINE"), ("m1", "ONLINE"), ("m2", "ONLINE")}
        await report(remote, **{uuids["m2"]: "ERROR"})
        assert {status_of(await anext(frames)), status_of(await anext(frames))} == {
            ("web", "DEGRADED"),
            ("m2", "ERROR"),
        }
        await create(remote, "loadbalancer", "other")
        created = await anext(frames)
        assert created.startswith("event: create\nid: ")
        last = created.split("\n")[1].removeprefix("id: ")
    async with watching(remote, f"resource_type=loadbalancer&status=true&since={last}") as frames:
        assert status_of(await anext(frames)) == ("web", "DEGRADED")


async def test_the_watch_of_others_does_not_see_statuses(remote: httpx.AsyncClient) -> None:
    """To the byte: the same writes, with statuses pouring in between them, and without."""

    async def seen(*, pour: bool) -> list[str]:
        uuids = await tree(remote, name="pour" if pour else "calm", members=1)
        start = (await remote.get("/healthz")).headers["x-revision"]
        path, found = f"/loadbalancer/{uuids['loadbalancer']}", []
        async with watching(remote, f"resource_type=loadbalancer&since={start}") as frames:
            for number in range(5):
                if pour:
                    words = ("ONLINE", "ERROR")
                    await report(remote, **dict.fromkeys(uuids.values(), words[number % 2]))
                body = {"loadbalancer": {"display_name": f"number {number}"}}
                answer = await remote.put(path, json=body)
                assert int(answer.headers["x-revision"]) == int(start) + number + 1
                found.append(await anext(frames))
                if pour:
                    await report(remote, **dict.fromkeys(uuids.values(), "DRAINING"))
            modified = (await remote.get(path)).json()["loadbalancer"]["id_perms"]["last_modified"]
        assert json.loads(found[-1].split("data: ")[1])["loadbalancer"]["id_perms"]["last_modified"] == modified
        head = f'"uuid":"{uuids["loadbalancer"]}"'
        assert all(head in frame for frame in found)
        return [frame.split("\n")[0] + frame.split('"display_name":')[1][:10] for frame in found]

    assert await seen(pour=True) == await seen(pour=False)


async def test_a_status_that_says_neither_yes_nor_no(client: httpx.AsyncClient) -> None:
    answer = await client.get("/watch?resource_type=loadbalancer&status=maybe")
    assert (answer.status_code, answer.text) == (400, "Bad Request, status must be true or false: maybe")


async def test_two_servers_on_one_database_tell_the_same(postgres_url: str) -> None:
    async with replicas(postgres_url) as ((_, here), (_, there)):
        uuids = await tree(here, members=1)
        async with watching(there, "resource_type=loadbalancer-member&status=1") as frames:
            assert (await anext(frames)).startswith("event: init")
            for word in ("ONLINE", "ERROR", "DRAINING"):
                await report(here, **{uuids["m1"]: word})
                async with asyncio.timeout(5):
                    assert status_of(await anext(frames)) == ("m1", word)
