"""Long reads: one state, part by part, while others write."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import orjson
import pytest
from store_objects import create, link, make

import schema
from api_server.errors import Unavailable
from api_server.resources.rendering import add_links
from api_server.routes.beginning import Wanted, init
from api_server.store import Store
from api_server.store.reader import Reader
from api_server.store.session import Session
from api_server.store.snapshot import Snapshot
from api_server.store.store import SNAPSHOTS

DOMAINS = 5


def names(reader: Reader) -> Iterator[bytes]:
    """A part for each domain."""
    for records in reader.slices("domain", size=1):
        assert len(records) == 1
        yield records[0].fq_name.encode()


async def all_parts(snapshot: Snapshot) -> list[bytes]:
    return [part async for part in snapshot.parts()]


async def test_what_is_written_meanwhile_is_not_in_it(store: Store) -> None:
    before = [make("domain", f"d{number}") for number in range(DOMAINS)]
    await create(store, *before)
    snapshot = await store.snapshot(names)
    await create(store, make("domain", "later"))  # is done while the other reads
    assert snapshot.revision == 1
    assert sorted(await all_parts(snapshot)) == sorted(one.fq_name[-1].encode() for one in before)
    assert b"later" in await all_parts(await store.snapshot(names))


async def test_slices_have_what_a_list_has(store: Store) -> None:
    domain = make("domain", "d")
    await create(store, domain, *(make("project", f"p{number}", domain) for number in range(7)))

    def sliced(reader: Reader) -> Iterator[bytes]:
        listed = {one.uuid: one for one in reader.records("project", references=True)}
        slices = list(reader.slices("project", references=True, size=3))
        assert [len(one) for one in slices] == [3, 3, 1]
        assert {one.uuid: one for found in slices for one in found} == listed
        yield b"compared"

    assert await all_parts(await store.snapshot(sliced)) == [b"compared"]


STRANGE = 'a "b" \\ \t \x01 \x7f \u20ac \U0001f600 {[%s]}'


async def test_excerpts_have_what_was_asked_for_as_it_is_stored(store: Store) -> None:
    """Each name, text and number, whichever database writes the JSON of it."""
    domain = make("domain", STRANGE)
    project = make("project", "p", domain)
    targets = [make("route-target", f"target:64512:{number}") for number in (2, 1)]
    policy = make("network-policy", STRANGE, project)
    number = {"kept": None, "numbers": [0.1, 1e300, -5, 2**62], "text": STRANGE, "empty": {}}
    network = make("virtual-network", "n", project, annotations=number, external_ipam=False, is_shared=None)
    link(link(network, *targets), policy, attr={"sequence": {"major": 0, "note": STRANGE}})
    await create(store, domain, project, *targets, policy, network, make("virtual-network", "plain", project))
    properties = {"annotations", "external_ipam", "is_shared", "router_external"}
    references = {"route-target", "network-policy"}

    def compared(reader: Reader) -> Iterator[bytes]:
        def read(type: str, uuids: list[str] | None) -> dict[str, Any]:
            texts = reader.excerpts(type, properties, references, uuids=uuids, size=1)
            return {one[type]["uuid"]: one[type] for (text,) in texts for one in [orjson.loads(text)]}

        networks = {one.uuid: one for one in reader.records("virtual-network", references=references)}
        for uuids in (None, list(networks), [network.uuid]):
            found = read("virtual-network", uuids)
            assert found.keys() == (networks.keys() if uuids is None else set(uuids))
            for uuid, one in found.items():
                head: dict[str, Any] = {"uuid": uuid, "fq_name": networks[uuid].fq_name.split(":")}
                head |= {"parent_type": "project", "parent_uuid": project.uuid}
                add_links(head, networks[uuid], None)
                stored = orjson.loads(networks[uuid].properties)
                assert one == orjson.loads(orjson.dumps(head)) | {k: v for k, v in stored.items() if k in properties}
        assert found[network.uuid]["route_target_refs"][0]["to"] == list(min(targets, key=lambda one: one.uuid).fq_name)
        assert found[network.uuid]["annotations"] == number
        assert read("domain", None)[domain.uuid] == {"uuid": domain.uuid, "fq_name": [STRANGE]}
        yield b"compared"

    assert await all_parts(await store.snapshot(compared)) == [b"compared"]


async def test_an_error_comes_after_the_parts_before_it(store: Store) -> None:
    def broken(reader: Reader) -> Iterator[bytes]:
        yield b"one"
        raise Unavailable("no more")

    parts = (await store.snapshot(broken)).parts()
    assert await anext(parts) == b"one"
    with pytest.raises(Unavailable, match="no more"):
        await anext(parts)


async def test_who_is_left_in_the_middle_makes_room_for_others(store: Store) -> None:
    def endless(reader: Reader) -> Iterator[bytes]:
        while True:
            yield b""

    left = [await store.snapshot(endless) for _ in range(SNAPSHOTS)]
    waiting = asyncio.ensure_future(store.snapshot(names))
    await asyncio.sleep(0)
    assert not waiting.done()
    left[0].close()
    assert await all_parts(await waiting) == []
    # the others end with the store


@pytest.mark.parametrize("number", [3, 300])
async def test_all_of_a_type_is_one_statement_and_only_what_is_wanted(
    store: Store, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """Its rows with their references, however many."""
    domain = make("domain", "d")
    project = make("project", "p", domain)
    policy, ipam = make("network-policy", "policy", project), make("network-ipam", "ipam", project)
    networks = [link(make("virtual-network", f"n{one}", project), policy, ipam) for one in range(number)]
    await create(store, domain, project, policy, ipam, *networks)
    sent: list[tuple[Session, str]] = []
    for name in ("all", "stream"):
        monkeypatch.setattr(Session, name, noted(sent, name, getattr(Session, name)))
    kinds = [schema.load().types["virtual-network"]]
    wanted = Wanted({"virtual-network": frozenset({"display_name", "network_policy_refs"})})
    parts = await all_parts(await store.snapshot(lambda reader: init(reader, kinds, wanted)))
    own = next(session for session, name in sent if name == "stream")  # the feed asks in one of its own
    names_sent = [name for session, name in sent if session is own]
    assert names_sent[names_sent.index("stream") :] == ["stream"]  # the revision was asked for before it
    frame = b"".join(parts).partition(b"data: ")[2]
    listed = [one["virtual-network"] for one in orjson.loads(frame)["virtual-networks"]]
    assert len(listed) == number
    names = {"uuid", "fq_name", "parent_type", "parent_uuid", "display_name", "network_policy_refs"}
    assert all(one.keys() == names for one in listed)
    assert all([to["uuid"] for to in one["network_policy_refs"]] == [policy.uuid] for one in listed)


def noted(sent: list[tuple[Session, str]], name: str, call: Callable[..., Any]) -> Callable[..., Any]:
    def noting(session: Session, *given: Any, **values: Any) -> Any:
        sent.append((session, name))
        return call(session, *given, **values)

    return noting
