"""`GET /watch?scope=`: only what concerns some networks; other scopes on coming back; what makes no sense is named."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from serverlab import PROJECT, create
from test_server_watch import Frame, watching

KINDS = "virtual-network,virtual-machine-interface,loadbalancer,loadbalancer-listener,loadbalancer-pool"


@pytest.fixture
async def remote(address: str) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=address, timeout=10) as client:
        yield client


async def interface(client: httpx.AsyncClient, name: str, network: str) -> dict[str, Any]:
    refs = [{"to": [*PROJECT, network]}]
    fields = {"parent_type": "project", "virtual_network_refs": refs}
    return await create(client, "virtual-machine-interface", name, **fields)


def names(frame: Frame) -> list[str]:
    return [next(iter(each.values()))["fq_name"][-1] for some in frame.document.values() for each in some]


async def test_only_what_concerns_a_network(remote: httpx.AsyncClient) -> None:
    blue, _ = [await create(remote, "virtual-network", name) for name in ("blue", "green")]
    await interface(remote, "b1", "blue")
    await interface(remote, "g1", "green")
    async with watching(remote, resource_type=KINDS, scope=blue["uuid"]) as frames:
        init = [await anext(frames) for _ in range(5)]
        assert [names(frame) for frame in init] == [["blue"], ["b1"], [], [], []]
        await interface(remote, "g2", "green")
        found = await interface(remote, "b2", "blue")
        event = await anext(frames)
        assert (event.event, event.object["uuid"], event.id) == ("create", found["uuid"], init[-1].id + 2)  # type: ignore[operator]
        moved = {"virtual_network_refs": [{"to": [*PROJECT, "green"]}]}
        await remote.put(f"/virtual-machine-interface/{found['uuid']}", json={"virtual-machine-interface": moved})
        event = await anext(frames)
        assert (event.event, event.object) == ("delete", {"uuid": found["uuid"]})


async def test_a_tree_comes_into_sight_with_its_load_balancer(remote: httpx.AsyncClient) -> None:
    """Objects that nobody has changed: they concern the network because another one does."""
    blue = await create(remote, "virtual-network", "blue")
    vip = await interface(remote, "vip", "blue")
    lb = await create(remote, "loadbalancer", "lb")
    listener = await create(remote, "loadbalancer-listener", "ls", loadbalancer_refs=[{"to": lb["fq_name"]}])
    to = [{"to": listener["fq_name"]}]
    pool = await create(remote, "loadbalancer-pool", "pool", loadbalancer_listener_refs=to)
    async with watching(remote, resource_type=KINDS, scope=blue["uuid"]) as frames, watching(remote) as everything:
        assert [len(names(await anext(frames))) for _ in range(5)] == [1, 1, 0, 0, 0]
        assert [names(await anext(everything)) for _ in range(2)] == [["lb"], []]
        body = {"loadbalancer": {"virtual_machine_interface_refs": [{"to": vip["fq_name"]}]}}
        await remote.put(f"/loadbalancer/{lb['uuid']}", json=body)
        seen = [await anext(frames) for _ in range(3)]
        assert [(frame.event, frame.object["uuid"]) for frame in seen] == [
            ("create", lb["uuid"]), ("create", listener["uuid"]), ("create", pool["uuid"]),
        ]  # fmt: skip
        assert seen[1].object["loadbalancer_refs"][0]["uuid"] == lb["uuid"]
        assert [frame.id is None for frame in seen] == [True, True, False]
        event = await anext(everything)
        assert (event.event, event.object["uuid"], event.id) == ("update", lb["uuid"], seen[2].id)


async def test_what_stays_in_sight_unchanged_is_not_told_of(remote: httpx.AsyncClient) -> None:
    """A listener goes with its load balancer from one network that is watched to another one."""
    blue, green = [(await create(remote, "virtual-network", name))["uuid"] for name in ("blue", "green")]
    old, new = [await interface(remote, f"vip-{name}", name) for name in ("blue", "green")]
    fields = {"virtual_machine_interface_refs": [{"to": old["fq_name"]}]}
    lb = await create(remote, "loadbalancer", "lb", **fields)
    listener = await create(remote, "loadbalancer-listener", "ls", loadbalancer_refs=[{"to": lb["fq_name"]}])
    kinds = {"resource_type": KINDS}
    async with (
        watching(remote, **kinds, scope=f"{blue},{green}") as both,
        watching(remote, **kinds, scope=blue) as one,
    ):
        for frames in (both, one):
            assert [names(await anext(frames)) for _ in range(5)][2:] == [["lb"], ["ls"], []]
        body = {"loadbalancer": {"virtual_machine_interface_refs": [{"to": new["fq_name"]}]}}
        await remote.put(f"/loadbalancer/{lb['uuid']}", json=body)
        await remote.delete(f"/loadbalancer-listener/{listener['uuid']}")
        seen = [await anext(both) for _ in range(2)]
        assert [(frame.event, frame.object["uuid"]) for frame in seen] == [
            ("update", lb["uuid"]), ("delete", listener["uuid"]),
        ]  # fmt: skip
        left = [await anext(one) for _ in range(2)]
        assert [(frame.event, frame.object) for frame in left] == [
            ("delete", {"uuid": lb["uuid"]}), ("delete", {"uuid": listener["uuid"]}),
        ]  # fmt: skip
        assert (left[1].id, seen[1].id) == (seen[0].id, seen[0].id + 1)  # type: ignore[operator]


async def test_other_scopes_on_coming_back(remote: httpx.AsyncClient) -> None:
    blue, green = [(await create(remote, "virtual-network", name))["uuid"] for name in ("blue", "green")]
    old = await interface(remote, "b1", "blue")
    await interface(remote, "g1", "green")
    async with watching(remote, resource_type=KINDS, scope=blue) as frames:
        revision = [await anext(frames) for _ in range(5)][-1].id
    assert revision is not None
    new = await interface(remote, "b2", "blue")
    move = {"resource_type": KINDS, "scope": green, "enter": green, "leave": blue}
    async with watching(remote, after=revision, **move) as frames:
        missed, *entered, left, now = [await anext(frames) for _ in range(5)]
        assert (missed.event, missed.object["uuid"], missed.id) == ("create", new["uuid"], revision + 1)
        assert [(frame.event, names(frame)) for frame in entered] == [("enter", ["green"]), ("enter", ["g1"])]
        assert left.event == "leave"
        assert left.document == {
            "virtual-network": [blue], "virtual-machine-interface": sorted([old["uuid"], new["uuid"]]),
        }  # fmt: skip
        assert (now.event, now.id, now.document) == ("scope", revision + 1, {"revision": now.id, "scopes": [green]})
        found = await interface(remote, "g2", "green")
        assert (await anext(frames)).object["uuid"] == found["uuid"]


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ({"scope": ""}, "scope names nothing"),
        ({"enter": "a"}, "enter goes with scope"),
        ({"scope": "a", "leave": "b"}, "go with since"),
        ({"scope": "a", "enter": "b", "since": "0"}, "enter names b, which is not in scope"),
        ({"scope": "a", "leave": "a", "since": "0"}, "leave names a, which is in scope"),
        ({"scope": "x" * 301}, "which can be no scope"),
        ({"scope": "a\x01b"}, "which can be no scope"),
        ({"scope": ",".join(map(str, range(1001)))}, "at most 1000"),
    ],
)
async def test_what_makes_no_sense_is_named(client: httpx.AsyncClient, query: dict[str, str], words: str) -> None:
    answer = await client.get("/watch", params={"resource_type": KINDS} | query)
    assert answer.status_code == 400
    assert words in answer.text
