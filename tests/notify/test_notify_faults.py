"""Brokers and servers die while changes go on: each change arrives, first arrivals in order, none left out."""

import asyncio
import os
import random
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack, asynccontextmanager, suppress
from typing import Self
from uuid import uuid4

import httpx
import pytest
from notify_listener import Listener, bound
from rabbitmq_server import RabbitmqServer

from api_server.notify.publisher import LEASE, Pace, publishing
from api_server.store import Create, Object, Position, Store
from api_server.store.changes import ENTRIES
from cli.demo.programs import Program

pytestmark = [pytest.mark.slow, pytest.mark.timeout(150)]

WRITERS = 6
EAGER = Pace(retry=(0.05, 0.2))


@asynccontextmanager
async def steadfast(url: str) -> AsyncIterator[Listener]:
    """A listener that connects again whenever it has lost its broker, as Contrail's daemons do."""
    listener, ready = Listener(), asyncio.Event()

    async def listen() -> None:
        async with bound(url, listener) as channel:
            ready.set()
            await asyncio.wait([channel.closing, channel.connection.closing], return_when=asyncio.FIRST_COMPLETED)

    async def go_on() -> None:
        while True:
            # In a task of its own: a broker that goes away may look like a cancellation.
            await asyncio.gather(asyncio.create_task(listen()), return_exceptions=True)
            await asyncio.sleep(0.05)

    task = asyncio.create_task(go_on())
    await ready.wait()
    yield listener
    task.cancel()
    await asyncio.wait([task])


async def log_of(store: Store, after: int) -> list[tuple[int, int]]:
    """The places of all changes after a revision."""
    places: list[tuple[int, int]] = []
    while entries := (await store.entries(Position(*places[-1]) if places else Position.after(after))).entries:
        places += [(one.revision, one.sequence) for one in entries]
    return places


async def assert_arrived(listener: Listener, store: Store, after: int) -> None:
    """All changes after a revision arrive, the last one of the last revision, too, and first arrivals are in order."""
    expected = await log_of(store, after)
    await listener.until(lambda heard: bool(heard) and heard[-1].place >= expected[-1])
    assert listener.first_arrivals() == expected


class Writing:
    """Writes without a pause, several at once, until the block ends. Its failure ends the block as well."""

    def __init__(self, write: Callable[[str], Awaitable[object]]) -> None:
        self._write = write
        self._enough = False

    async def __aenter__(self) -> Self:
        self._tasks = [asyncio.create_task(self._go_on(number)) for number in range(WRITERS)]
        return self

    async def until(self, condition: Awaitable[object]) -> None:
        waiting = asyncio.ensure_future(condition)
        done, _ = await asyncio.wait([waiting, *self._tasks], return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
        assert waiting.done()

    async def __aexit__(self, *error: object) -> None:
        self._enough = True
        await asyncio.gather(*self._tasks)

    async def _go_on(self, writer: int) -> None:
        number = 0
        while not self._enough:
            await self._write(f"{writer}-{number}")
            await asyncio.sleep(0.005)
            number += 1


def posting(client: httpx.AsyncClient, prefix: str) -> Callable[[str], Awaitable[None]]:
    """Networks, each with what the server makes for it; a server that dies under it is no failure."""

    async def post(name: str) -> None:
        body = {"virtual-network": {"fq_name": ["default-domain", "default-project", prefix + name]}}
        with suppress(httpx.TransportError):
            answer = await client.post("/virtual-networks", json=body)
            assert answer.status_code in (200, 503), answer.text

    return post


def making(store: Store) -> Callable[[str], Awaitable[None]]:
    """Domains, without a server."""

    async def make(name: str) -> None:
        made = Object("domain", str(uuid4()), (name,))
        await store.write(lambda tx: tx.apply(Create(made)))

    return make


async def test_a_broker_that_is_killed_and_started_again(database_url: str, rabbitmq: RabbitmqServer) -> None:
    store = await Store.open(database_url)

    try:
        async with steadfast(rabbitmq.url) as listener, publishing(store, [rabbitmq.url], EAGER) as progress:
            async with Writing(making(store)) as writing:
                for _ in range(3):
                    await writing.until(listener.more(200))
                    rabbitmq.kill()
                    before = store.feed.revision
                    rabbitmq.launch()
                    await asyncio.to_thread(rabbitmq.wait)
                    assert store.feed.revision > before, "writes went on meanwhile"
            await assert_arrived(listener, store, 0)
        assert progress.skipped == 0
    finally:
        await store.close()


async def test_a_server_that_is_killed_goes_on_where_it_was(database_url: str, rabbitmq: RabbitmqServer) -> None:
    seed = int(os.environ.get("VAPORTRAIL_SEED", random.SystemRandom().getrandbits(32)))
    print(f"VAPORTRAIL_SEED={seed}")
    chance = random.Random(seed)
    command = ("serve", "--port", "0", "--log-level", "error", "--database", database_url)
    environment = {"VAPORTRAIL_NOTIFY": rabbitmq.url}
    async with steadfast(rabbitmq.url) as listener:
        for life in range(6):
            with Program(*command, environment=environment) as program:
                client = httpx.AsyncClient(base_url=program.wait_ready())
                async with client, Writing(posting(client, f"{life}-")) as writing:
                    await writing.until(listener.more(chance.randint(1, 150)))
                    program.kill()
        store = await Store.open(database_url)
        try:
            begun = listener.heard[0].place[0] - 1  # the objects of the first start were there before
            async with publishing(store, [rabbitmq.url], EAGER):
                await assert_arrived(listener, store, begun)
            assert listener.heard[0].what == ("CREATE", "virtual_network", listener.heard[0].body["fq_name"][-1])
        finally:
            await store.close()


async def publisher(clients: list[httpx.AsyncClient]) -> int:
    """Which of the servers publishes, once exactly one does."""
    while True:
        texts = [(await client.get("/metrics")).text for client in clients]
        found = [number for number, text in enumerate(texts) if "vaportrail_notify_publishing 1.0" in text]
        if len(found) == 1:
            return found[0]
        await asyncio.sleep(0.05)


@pytest.mark.parametrize("fault", ["killed", "stopped for long"])
async def test_another_server_takes_over(fault: str, postgres_url: str, rabbitmq: RabbitmqServer) -> None:
    """Stopped for long: when it wakes up, in the middle of what it did, another has the lease."""
    command = ("serve", "--port", "0", "--log-level", "info", "--database", postgres_url)
    environment = {"VAPORTRAIL_NOTIFY": rabbitmq.url}
    async with steadfast(rabbitmq.url) as listener:
        with ExitStack() as stack:
            programs = [stack.enter_context(Program(*command, environment=environment)) for _ in range(2)]
            clients = [httpx.AsyncClient(base_url=program.wait_ready(), timeout=60) for program in programs]
            first = await publisher(clients)
            other = clients[1 - first]
            async with Writing(posting(other, "")) as writing:
                await writing.until(listener.more(300))
                process = programs[first].process
                process.send_signal(signal.SIGKILL if fault == "killed" else signal.SIGSTOP)
                await writing.until(publisher([other]))
                process.send_signal(signal.SIGCONT)
                await writing.until(listener.more(300))
            if fault != "killed":
                assert await publisher(clients) == 1 - first
            for client in clients:
                await client.aclose()
        store = await Store.open(postgres_url)
        try:
            begun = listener.heard[0].place[0] - 1
            async with publishing(store, [rabbitmq.url]):
                await assert_arrived(listener, store, begun)
        finally:
            await store.close()


async def test_a_broker_short_of_memory_is_waited_for(database_url: str, rabbitmq: RabbitmqServer) -> None:
    """It blocks publishers and keeps their connections (flow control)."""
    store = await Store.open(database_url)

    try:
        async with steadfast(rabbitmq.url) as listener, publishing(store, [rabbitmq.url], EAGER) as progress:
            async with Writing(making(store)) as writing:
                await writing.until(listener.more(100))
                await asyncio.to_thread(rabbitmq.control, "set_vm_memory_high_watermark", "absolute", "1MB")
                published, revision = progress.published, store.feed.revision
                await writing.until(store.feed.beyond(revision + 2000))
                assert progress.published - published <= 2 * ENTRIES, "blocked, but for what was on its way"
                assert sum("basic_publish" in repr(task) for task in asyncio.all_tasks()) <= ENTRIES
                await asyncio.to_thread(rabbitmq.control, "set_vm_memory_high_watermark", "absolute", "512MB")
            await assert_arrived(listener, store, 0)
    finally:
        await store.close()


async def test_the_broker_and_the_server_are_killed_at_once(database_url: str, rabbitmq: RabbitmqServer) -> None:
    """What the broker had confirmed is gone with it; the server goes on at its cursor, so the newest are there."""
    environment = {"VAPORTRAIL_NOTIFY": rabbitmq.url}
    with Program("serve", "--port", "0", "--database", database_url, environment=environment) as program:
        client = httpx.AsyncClient(base_url=program.wait_ready())
        async with steadfast(rabbitmq.url) as listener, client, Writing(posting(client, "")) as writing:
            await writing.until(listener.more(100))
            rabbitmq.kill()
            program.kill()
    rabbitmq.launch()
    await asyncio.to_thread(rabbitmq.wait)
    store = await Store.open(database_url)
    try:
        cursor, _ = await store.write(lambda tx: tx.begin_lease(LEASE))
        expected = await log_of(store, cursor)
        async with steadfast(rabbitmq.url) as listener, publishing(store, [rabbitmq.url]):
            await listener.until(lambda heard: len(heard) >= len(expected))
        assert listener.first_arrivals() == expected
    finally:
        await store.close()
