"""Replicas behave as one server: what one of them has acknowledged, the other one shows, gives to nobody else and
judges by.
"""

import asyncio

import httpx
import pytest
from replica_set import PROJECT, create, id_of, read, until, watching

pytestmark = pytest.mark.slow

Both = tuple[httpx.AsyncClient, httpx.AsyncClient]


async def test_what_one_has_written_the_other_reads(both: Both) -> None:
    """At once, in each way of reading; in both directions, while others write."""

    async def rounds(client: int) -> None:
        for number in range(15):
            here, there = both if number % 2 else both[::-1]
            name = f"lb-{client}-{number}"
            made = await create(here, "loadbalancer", name)
            assert (await read(there, "loadbalancer", made["uuid"]))["name"] == name
            listed = await there.get("/loadbalancers")
            assert made["uuid"] in [one["uuid"] for one in listed.json()["loadbalancers"]]
            found = await there.post("/fqname-to-id", json={"type": "loadbalancer", "fq_name": [*PROJECT, name]})
            assert found.json()["uuid"] == made["uuid"]
            changed = {"loadbalancer": {"display_name": "new"}}
            put = await there.put(f"/loadbalancer/{made['uuid']}", json=changed)
            assert put.status_code == 200
            again = await here.get(f"/loadbalancer/{made['uuid']}")
            assert again.json()["loadbalancer"]["display_name"] == "new"
            assert int(again.headers["x-revision"]) >= int(put.headers["x-revision"])
            assert (await here.delete(f"/loadbalancer/{made['uuid']}")).status_code == 200
            assert (await there.get(f"/loadbalancer/{made['uuid']}")).status_code == 404

    await asyncio.gather(*map(rounds, range(4)))


async def test_a_name_an_address_and_a_network_id_are_given_once(both: Both) -> None:
    name = {"loadbalancer": {"fq_name": [*PROJECT, "one"]}}
    answers = await asyncio.gather(*[both[number % 2].post("/loadbalancers", json=name) for number in range(20)])
    assert sorted(answer.status_code for answer in answers) == [200] + [409] * 19

    subnet = {"subnet": {"ip_prefix": "10.9.0.0", "ip_prefix_len": 24}}
    ipam = {"to": [*PROJECT[:1], "default-project", "default-network-ipam"], "attr": {"ipam_subnets": [subnet]}}
    network = await create(both[0], "virtual-network", "addresses", network_ipam_refs=[ipam])
    refs = [{"uuid": network["uuid"]}]

    async def address(number: int) -> str:
        body = {"instance-ip": {"fq_name": [f"ip-{number}"], "virtual_network_refs": refs}}
        answer = await both[number % 2].post("/instance-ips", json=body)
        assert answer.status_code == 200, answer.text
        return str((await read(both[0], "instance-ip", answer.json()["instance-ip"]["uuid"]))["instance_ip_address"])

    addresses = await asyncio.gather(*map(address, range(40)))
    assert len(set(addresses)) == 40

    made = await asyncio.gather(*[create(both[number % 2], "virtual-network", f"vn-{number}") for number in range(20)])
    ids = [(await read(both[0], "virtual-network", one["uuid"]))["virtual_network_network_id"] for one in made]
    assert len(set(ids)) == 20


async def test_a_version_is_the_same_everywhere(both: Both) -> None:
    here, there = both
    path = f"/loadbalancer/{(await create(here, 'loadbalancer', 'versioned'))['uuid']}"
    first = (await there.get(path)).headers["etag"]
    assert (await here.get(path, headers={"If-None-Match": first})).status_code == 304

    async def put(client: httpx.AsyncClient, version: str, name: str) -> int:
        body = {"loadbalancer": {"display_name": name}}
        return (await client.put(path, json=body, headers={"If-Match": version})).status_code

    assert await put(here, first, "a") == 200
    assert await put(there, first, "b") == 412
    # Of those who race from one version one wins, wherever they ask.
    for turn in range(5):
        version = (await there.get(path)).headers["etag"]
        answers = await asyncio.gather(*[put(both[n % 2], version, f"{turn}-{n}") for n in range(6)])
        assert sorted(answers) == [200] + [412] * 5


async def test_what_is_configured_counts_everywhere_at_once(both: Both) -> None:
    """A quota, a string by name: nothing of the configuration is remembered beside the database."""
    here, there = both
    project = (await there.post("/fqname-to-id", json={"type": "project", "fq_name": PROJECT})).json()["uuid"]
    group = {"security-group": {"fq_name": [*PROJECT, "sg"]}}
    for limit, status in ((1, 412), (10, 200)):  # the project has its default one
        quota = {"project": {"quota": {"security_group": limit}}}
        assert (await here.put(f"/project/{project}", json=quota)).status_code == 200
        assert (await there.post("/security-groups", json=group)).status_code == status
    for value in ("v", "w"):
        await here.post("/useragent-kv", json={"operation": "STORE", "key": "k", "value": value})
        found = await there.post("/useragent-kv", json={"operation": "RETRIEVE", "key": "k"})
        assert found.json() == {"value": value}


async def test_there_is_one_order_of_changes(both: Both) -> None:
    """Each write has a revision of its own, without gaps, and whoever watches, wherever, sees the same."""
    query = "resource_type=virtual-network,loadbalancer"
    start = int((await both[0].get("/healthz")).headers["x-revision"])

    async def write(number: int) -> int:
        body = {"fq_name": [*PROJECT, f"o-{number}"]}
        kind = ("virtual-network", "loadbalancer")[number // 2 % 2]
        answer = await both[number % 2].post(f"/{kind}s", json={kind: body})
        return int(answer.headers["x-revision"])

    async with (
        watching(both[0], f"{query}&since={start}") as live_here,
        watching(both[1], f"{query}&since={start}") as live_there,
    ):
        revisions = await asyncio.gather(*map(write, range(100)))
        assert sorted(revisions) == list(range(start + 1, start + 101))
        seen = [await until(frames, start + 100) for frames in (live_here, live_there)]
    async with watching(both[1], f"{query}&since={start}") as later:
        seen.append(await until(later, start + 100))
    assert [id_of(frame) for frame in seen[0] if id_of(frame)] == sorted(revisions)
    assert seen[0] == seen[1] == seen[2]


async def test_statuses_are_told_and_awaited_everywhere(both: Both) -> None:
    here, there = both
    uuid = (await create(here, "loadbalancer", "reported"))["uuid"]
    newest = int((await here.get("/healthz")).headers["x-revision"])
    report = {"node": "n", "revision": 0, "rows": []}
    await here.post("/status", json=report)
    waiting = asyncio.create_task(there.get(f"/status/wait?revision={newest}&timeout=60"))
    async with watching(there, "resource_type=loadbalancer&status=1") as frames:
        assert (await anext(frames)).startswith("event: init")
        for state in ("ONLINE", "ERROR"):
            row = {"uuid": uuid, "state": state, "since": "2026-01-01T00:00:00Z", "revision": newest}
            assert (await here.post("/status", json=report | {"rows": [row]})).status_code == 200
            assert f'"operating_status":"{state}"' in await anext(frames)
        assert not waiting.done()
        await here.post("/status", json=report | {"revision": newest})
        assert (await waiting).json()["reached"]
