"""From a write's being sent until its event is there, at each of many watchers.

That is more than from the commit to the event, which nobody outside sees; the event may be there before the answer.
"""

import asyncio
import re
import time
from dataclasses import dataclass, field
from functools import partial

from api_client import ApiClient
from benchmarks.load import get

IDS = re.compile(rb"\nid: (\d+)\n")
PATIENCE = 30  # seconds


@dataclass
class Watcher(asyncio.Protocol):
    """A connection with GET /watch, which goes on after a revision. seen: revision -> when its event came. ready: its
    answer has begun."""

    ready: "asyncio.Future[None]"
    after: int
    seen: dict[int, float] = field(default_factory=dict)
    rest: bytes = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.write(get(f"/watch?resource_type=loadbalancer-member&since={self.after}"))

    def data_received(self, data: bytes) -> None:
        now, text = time.perf_counter(), self.rest + data
        if not self.ready.done():
            if text.startswith(b"HTTP/1.1 200"):
                self.ready.set_result(None)
            else:
                self.ready.set_exception(ConnectionRefusedError(text.decode()))
        for found in IDS.finditer(text):
            self.seen.setdefault(int(found[1]), now)
        self.rest = text[-40:]  # an id that was cut in two


@dataclass(frozen=True, slots=True)
class Delays:
    """Milliseconds over all events at all watchers."""

    p50: float
    p99: float
    events: int


async def measure(port: int, pool: list[str], watchers: int, seconds: float, rate: float = 50) -> Delays:
    """With members created in a pool at a rate per second. AssertionError if a watcher missed an event."""
    loop = asyncio.get_running_loop()
    watching = []
    sent: dict[int, float] = {}  # by revision
    async with ApiClient(f"http://127.0.0.1:{port}") as client:
        await client.count("domain")  # which tells the revision
        for _ in range(watchers):
            begin_watch = partial(Watcher, loop.create_future(), client.revision)
            watching.append((await loop.create_connection(begin_watch, "127.0.0.1", port))[1])
        async with asyncio.timeout(PATIENCE):
            await asyncio.gather(*[watcher.ready for watcher in watching])
        begin = loop.time()
        for number in range(int(seconds * rate)):
            await asyncio.sleep(begin + number / rate - loop.time())
            name = f"watched-{time.time_ns()}"
            member = {"fq_name": [*pool, name], "parent_type": "loadbalancer-pool"}
            at = time.perf_counter()
            await client.create("loadbalancer-member", member)
            sent[client.revision] = at
    last, deadline = max(sent), loop.time() + PATIENCE
    while not all(last in watcher.seen for watcher in watching):
        assert loop.time() < deadline, "not every watcher has seen the last event"
        await asyncio.sleep(0.05)
    for watcher in watching:
        watcher.transport.close()
    assert all(sent.keys() <= watcher.seen.keys() for watcher in watching), "a watcher missed an event"
    times = sorted((watcher.seen[revision] - at) * 1000 for watcher in watching for revision, at in sent.items())
    return Delays(times[len(times) // 2], times[int(len(times) * 0.99)], len(times))
