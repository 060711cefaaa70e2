import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

import httpx
import msgspec
import pytest

from api_client import ApiError, Events, Snapshot, Watch

URL = "http://api"
CUT = object()  # the connection breaks here
TYPES = {"loadbalancer": (), "loadbalancer-member": ("annotations",)}


def frame(event: str, data: Any, id: int | None = None) -> bytes:
    text = data if isinstance(data, str) else json.dumps(data)
    return f"event: {event}\ndata: {text}\n".encode() + (f"id: {id}\n".encode() if id is not None else b"") + b"\n"


INIT = frame("init", {"loadbalancers": [{"loadbalancer": {"uuid": "a"}}]})
INIT += frame("init", {"loadbalancer-members": []}, 5)


class Stream(httpx.AsyncByteStream):
    def __init__(self, chunks: Sequence[Any]) -> None:
        self.chunks = chunks

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self.chunks:
            if chunk is CUT:
                raise httpx.ReadError("cut")
            yield chunk


class Server:
    """Answers each request with the next of its scripts; a script is chunks, an exception, or (status, text)."""

    def __init__(self, *scripts: Any) -> None:
        self.scripts = list(scripts)
        self.requests: list[httpx.Request] = []
        self.naps: list[float] = []

    def answer(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        script = self.scripts.pop(0)
        if isinstance(script, Exception):
            raise script
        if isinstance(script, tuple):
            return httpx.Response(script[0], text=script[1])
        return httpx.Response(200, stream=Stream(script))

    async def sleep(self, seconds: float) -> None:
        self.naps.append(seconds)

    async def deltas(self, count: int, **options: Any) -> list[Any]:
        async with httpx.AsyncClient(base_url=URL, transport=httpx.MockTransport(self.answer)) as http:
            self.watch = Watch(http, URL, TYPES, sleep=self.sleep, **options)
            found = [await anext(self.watch) for _ in range(count)]
            await self.watch.aclose()
        return found

    @property
    def resumed_after(self) -> list[str | None]:
        return [request.headers.get("Last-Event-ID") for request in self.requests]


def member(uuid: str) -> dict[str, Any]:
    return {"loadbalancer-member": {"uuid": uuid}}


async def test_first_everything_then_what_changes() -> None:
    server = Server([INIT, frame("create", member("m")), frame("delete", {"loadbalancer": {"uuid": "a"}}, 7)])
    snapshot, events = await server.deltas(2)
    assert snapshot == Snapshot({"loadbalancer": [{"uuid": "a"}], "loadbalancer-member": []}, 5)
    assert events.revision == 7
    assert [(one.kind, one.type, one.uuid) for one in events.events] == [
        ("create", "loadbalancer-member", "m"), ("delete", "loadbalancer", "a"),
    ]  # fmt: skip
    query = server.requests[0].url.params
    assert query["resource_type"] == "loadbalancer,loadbalancer_member"
    assert query["loadbalancer_member_fields"] == "annotations"
    assert "loadbalancer_fields" not in query


async def test_a_broken_connection_resumes_behind_the_last_whole_revision() -> None:
    half = frame("create", member("m"))  # of revision 6, whose second event never came
    server = Server([INIT, half, CUT], [half, frame("update", member("n"), 6)])
    snapshot, events = await server.deltas(2)
    assert isinstance(snapshot, Snapshot)
    assert [one.uuid for one in events.events] == ["m", "n"]
    assert server.resumed_after == [None, "5"]


@pytest.mark.parametrize("ending", [[frame("stop", "shutting down")], []])
async def test_a_server_that_ends_the_watch_is_asked_again(ending: list[bytes]) -> None:
    server = Server([INIT, *ending], [frame("create", member("m"), 9)])
    assert (await server.deltas(2))[1].revision == 9
    assert server.resumed_after == [None, "5"]


async def test_it_waits_for_a_server_that_is_not_there_yet_and_longer_each_time() -> None:
    away = httpx.ConnectError("refused")
    server = Server(*[away] * 9, (503, "initialising"), [INIT])
    (snapshot,) = await server.deltas(1)
    assert snapshot.revision == 5
    assert all(0 < nap <= 2.0 for nap in server.naps)
    assert server.naps[5] > server.naps[0]
    assert len(server.naps) == 10


async def test_success_makes_it_quick_again() -> None:
    away = httpx.ConnectError("refused")
    server = Server(*[away] * 9, [INIT, CUT], [frame("create", member("m"), 6)])
    await server.deltas(2)
    assert server.naps[-1] <= 0.05


async def test_a_compacted_log_means_a_new_snapshot_and_nothing_else_does() -> None:
    server = Server([INIT, CUT], (410, "oldest is 90"), [INIT.replace(b"id: 5", b"id: 99")])
    first, second = await server.deltas(2)
    assert (first.revision, second.revision) == (5, 99)
    assert isinstance(second, Snapshot)
    assert server.resumed_after == [None, "5", None]


async def test_it_can_start_behind_a_revision() -> None:
    server = Server([frame("create", member("m"), 12)])
    (events,) = await server.deltas(1, after=11)
    assert isinstance(events, Events)
    assert server.resumed_after == ["11"]


async def test_a_bookmark_moves_the_revision_without_events() -> None:
    server = Server([INIT, frame("bookmark", "", 40), CUT], [frame("create", member("m"), 41)])
    _, bookmark, _ = await server.deltas(3)
    assert bookmark == Events([], 40)
    assert server.resumed_after == [None, "40"]


ENTER = [frame("create", member("m")), frame("enter", {"loadbalancers": [{"loadbalancer": {"uuid": "a"}}]})]
SCOPED = frame("scope", {}, 9)


async def test_what_comes_into_sight_may_be_had_before_the_rest() -> None:
    server, begun = Server([*ENTER, frame("leave", {"loadbalancer": ["b"]}), SCOPED]), list[str]()
    (events,) = await server.deltas(1, after=5, begin=lambda _, objects: begun.extend(one["uuid"] for one in objects))
    assert begun == ["a"]
    assert [(one.kind, one.uuid) for one in events.events] == [("create", "m"), ("delete", "b")]
    assert events.events[1].type == "loadbalancer"
    assert events.revision == 9


class Member(msgspec.Struct):
    uuid: str
    weight: int = 1


async def test_objects_are_read_into_the_shape_of_their_type() -> None:
    heavy = frame("update", {"loadbalancer-member": {"uuid": "n", "weight": 2, "annotations": {}}}, 6)
    strange = frame("update", {"loadbalancer-member": {"uuid": "n", "weight": "2"}}, 6)
    init = INIT.replace(b"[]", b'[{"loadbalancer-member": {"uuid": "m"}}]')
    server = Server([init, strange], [heavy, frame("delete", member("n"), 7)])
    snapshot, update, delete = await server.deltas(3, shapes={"loadbalancer-member": Member})
    assert snapshot.objects == {"loadbalancer": [{"uuid": "a"}], "loadbalancer-member": [Member("m")]}
    assert update.events == [("update", "loadbalancer-member", "n", Member("n", 2))]
    assert delete.events == [("delete", "loadbalancer-member", "n", {"uuid": "n"})]


@pytest.mark.parametrize("ending", [[CUT], [frame("stop", "shutting down")], [frame("create", {"x": {}})]])
async def test_a_snapshot_follows_a_beginning_without_an_end(ending: list[Any]) -> None:
    server = Server([*ENTER, *ending], [INIT])
    (snapshot,) = await server.deltas(1, after=5, begin=lambda *_: None)
    assert isinstance(snapshot, Snapshot)
    assert server.resumed_after == ["5", None]


async def test_a_wrong_request_is_not_repeated() -> None:
    server = Server((404, "Invalid Contrail resource type:'foo'"))
    with pytest.raises(ApiError, match="foo"):
        await server.deltas(1)
    assert not server.naps


async def test_what_was_right_once_is_repeated_whatever_the_answer() -> None:
    server = Server([INIT], (404, "another server has the port"), [frame("create", member("m"), 6)])
    assert [delta.revision for delta in await server.deltas(2)] == [5, 6]


GARBAGE = {
    "no JSON": b"event: create\ndata: {\n\n",
    "another type": frame("create", {"x": {}}),
    "no object": frame("create", [], 3),
    "without uuid": frame("create", {"loadbalancer": {}}, 3),
    "a list of no objects": frame("enter", {"loadbalancers": [{"loadbalancer": 1}]}, 3),
    "uuids that are none": frame("leave", {"loadbalancer": [1]}, 3),
}


@pytest.mark.parametrize("garbage", GARBAGE.values(), ids=GARBAGE)
async def test_garbage_is_dropped_with_its_connection(garbage: bytes) -> None:
    server = Server([INIT, garbage], [frame("create", member("m"), 6)])
    assert [delta.revision for delta in await server.deltas(2)] == [5, 6]


async def test_an_id_that_is_no_revision_is_garbage_too() -> None:
    server = Server([INIT, b"event: bookmark\ndata:\nid: x\n\n"], [frame("create", member("m"), 6)])
    assert [delta.revision for delta in await server.deltas(2)] == [5, 6]


async def test_its_state_is_readable() -> None:
    server = Server(httpx.ConnectError("refused"), [INIT])
    async with httpx.AsyncClient(base_url=URL, transport=httpx.MockTransport(server.answer)) as http:

        async def sleep(seconds: float) -> None:
            assert watch.error is not None
            assert URL in watch.error
            assert not watch.connected

        watch = Watch(http, URL, TYPES, sleep=sleep)
        await anext(watch)
        assert watch.connected
        assert watch.error is None
        await watch.aclose()
        assert not watch.connected
