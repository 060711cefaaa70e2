"""Every committed change is published, in Contrail's shape, in order, by one process at a time."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from itertools import pairwise

import pytest
from notify_listener import EXCHANGE, Heard, Listener, bound
from rabbitmq_server import RabbitmqServer, free_ports

from api_server.notify.publisher import LEASE, Pace, publishing
from api_server.store import Create, Limits, Object, Store
from api_server.store.changes import ENTRIES

QUICK = Pace(lease=2.0, margin=0.5, ask=0.05, store=0.01, listener=20.0, retry=(0.02, 0.1))


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest) -> str:
    found: str = request.getfixturevalue(f"{request.param}_url")
    return found


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[Store]:
    store = await Store.open(database_url)
    yield store
    await store.close()


async def write(store: Store, name: str) -> int:
    """One object; its revision."""
    uuid = f"{abs(hash(name)):032x}"[-32:]
    uuid = f"{uuid[:8]}-{uuid[8:12]}-{uuid[12:16]}-{uuid[16:20]}-{uuid[20:]}"
    return (await store.write(lambda tx: tx.apply(Create(Object("domain", uuid, (name,))))))[1]


async def said(capsys: pytest.CaptureFixture[str], words: str) -> str:
    """The log so far, once it has these words."""
    told = ""
    while words not in told:
        await asyncio.sleep(0.005)
        told += capsys.readouterr().out
    return told


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.005)  # nothing tells us but another look


def names(heard: list[Heard]) -> list[str]:
    return [one.body["fq_name"][-1] for one in heard]


async def test_changes_arrive_in_order_under_concurrent_writes(
    database: str, rabbitmq: RabbitmqServer, listener: Listener
) -> None:
    store = await Store.open(database)
    try:
        async with publishing(store, [rabbitmq.url], QUICK) as progress:
            revisions = await asyncio.gather(*[write(store, f"d{number}") for number in range(300)])
            heard = await listener.up_to(300)
            assert sorted(revisions) == [one.place[0] for one in heard]
            assert sorted(names(heard)) == sorted(f"d{number}" for number in range(300))
            await until(lambda: progress.confirmed == 300)
            assert progress.published == 300
            assert progress.publishing
    finally:
        await store.close()


async def test_what_is_written_without_a_publisher_is_published_later(
    store: Store, rabbitmq: RabbitmqServer, listener: Listener
) -> None:
    await write(store, "before")  # anybody ever listened
    async with publishing(store, [rabbitmq.url], QUICK) as progress:
        await listener.up_to(await write(store, "a"))
        await until(lambda: progress.confirmed == 2)
    for name in "bcd":
        await write(store, name)
    async with publishing(store, [rabbitmq.url], QUICK):
        await listener.up_to(5)
        heard = await listener.up_to(await write(store, "e"))
    assert names(heard) == ["a", "b", "c", "d", "e"], "the cursor was stored: none twice"


async def test_one_of_several_processes_publishes(
    postgres_url: str, rabbitmq: RabbitmqServer, listener: Listener
) -> None:
    stores = [await Store.open(postgres_url) for _ in range(3)]
    running = [AsyncExitStack() for _ in stores]
    try:
        progress = [
            await stack.enter_async_context(publishing(store, [rabbitmq.url], QUICK))
            for store, stack in zip(stores, running, strict=True)
        ]
        for number in range(0, 90, 30):
            await asyncio.gather(*[write(stores[n % 3], f"d{n}") for n in range(number, number + 30)])
            await listener.up_to(number + 30)
            publishers = [each for each in progress if each.publishing]
            assert len(publishers) == 1
            await until(lambda: publishers[0].confirmed == number + 30)  # noqa: B023
            await running[progress.index(publishers[0])].aclose()  # the next one goes on
        assert [one.place for one in listener.heard] == [(revision, 0) for revision in range(1, 91)]
    finally:
        for store, stack in zip(stores, running, strict=True):
            await stack.aclose()
            await store.close()


async def test_a_broker_that_is_away_is_waited_for(
    store: Store, rabbitmq: RabbitmqServer, listener: Listener, capsys: pytest.CaptureFixture[str]
) -> None:
    """Several are tried in turn; the words of the failure are in the log, the password is not."""
    (port,) = free_ports(1)
    nowhere = f"amqp://user:secret@127.0.0.1:{port}/"
    async with publishing(store, [nowhere], QUICK) as progress:
        for name in "abc":
            await write(store, name)
        assert not progress.connected
        told = await said(capsys, "notify interrupted")
        assert f"amqp://127.0.0.1:{port}/: " in told
        assert "Connect" in told
    async with publishing(store, [nowhere, rabbitmq.url], QUICK) as progress:
        heard = await listener.up_to(3)
        assert names(heard) == ["a", "b", "c"]
        assert progress.connected
    assert "secret" not in told + capsys.readouterr().out


async def test_a_refused_login_says_so(
    store: Store, rabbitmq: RabbitmqServer, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "aiormq")
    async with publishing(store, [rabbitmq.url.replace("guest:guest", "guest:secret")], QUICK):
        told = await said(capsys, "notify interrupted")
    assert "ACCESS_REFUSED" in told
    assert "secret" not in told + caplog.text


async def test_writes_do_not_wait_for_a_broker_that_does_not_read(
    store: Store, rabbitmq: RabbitmqServer, listener: Listener
) -> None:
    async with publishing(store, [rabbitmq.url], QUICK) as progress:
        await listener.up_to(await write(store, "first"))
        rabbitmq.pause()
        try:
            await asyncio.gather(*[write(store, f"d{number}") for number in range(900)])
            assert progress.published <= 1
            assert sum("basic_publish" in repr(task) for task in asyncio.all_tasks()) <= ENTRIES
        finally:
            rabbitmq.proceed()
        await listener.up_to(901)
    assert listener.first_arrivals() == [(revision, 0) for revision in range(1, 902)]


async def test_an_end_while_the_broker_hangs_is_an_end(
    store: Store, rabbitmq: RabbitmqServer, listener: Listener
) -> None:
    try:
        async with publishing(store, [rabbitmq.url], QUICK):
            await listener.up_to(await write(store, "first"))
            rabbitmq.pause()
            await asyncio.gather(*[write(store, f"d{number}") for number in range(50)])
    finally:
        rabbitmq.proceed()
    async with publishing(store, [rabbitmq.url], QUICK):
        await listener.up_to(51)
    assert listener.first_arrivals() == [(revision, 0) for revision in range(1, 52)]


async def test_the_first_change_waits_for_a_listener(store: Store, rabbitmq: RabbitmqServer) -> None:
    """As after a restart of the broker: Contrail's daemons come back one after the other."""
    async with publishing(store, [rabbitmq.url], QUICK) as progress:
        for name in "abc":
            await write(store, name)
        await until(lambda: progress.publishing)
        assert progress.published == 0
        listener = Listener()
        async with bound(rabbitmq.url, listener):
            assert names(await listener.up_to(3)) == ["a", "b", "c"]


async def test_without_any_listener_it_goes_on(store: Store, rabbitmq: RabbitmqServer) -> None:
    pace = Pace(listener=0, retry=QUICK.retry)
    async with publishing(store, [rabbitmq.url], pace) as progress:
        await write(store, "a")
        await until(lambda: progress.confirmed == 1)


async def test_an_exchange_that_others_declared_otherwise_is_used_and_named(
    store: Store, rabbitmq: RabbitmqServer, capsys: pytest.CaptureFixture[str]
) -> None:
    async with bound(rabbitmq.url, Listener()) as channel:
        await channel.exchange_delete(exchange=EXCHANGE)
    listener = Listener()
    async with bound(rabbitmq.url, listener, durable=True) as channel:
        try:
            async with publishing(store, [rabbitmq.url], QUICK):
                await listener.up_to(await write(store, "a"))
        finally:
            await channel.exchange_delete(exchange=EXCHANGE)
    told = capsys.readouterr().out
    assert "notify exchange is not as Contrail declares it" in told
    assert "inequivalent arg 'durable'" in told


async def test_an_exchange_that_vanishes_is_made_again(store: Store, rabbitmq: RabbitmqServer) -> None:
    listener = Listener()
    async with publishing(store, [rabbitmq.url], QUICK), bound(rabbitmq.url, listener) as channel:
        await listener.up_to(await write(store, "a"))
        await channel.exchange_delete(exchange=EXCHANGE)
        await write(store, "b")
        async with bound(rabbitmq.url, listener):
            await listener.up_to(2)
    assert listener.first_arrivals() == [(1, 0), (2, 0)]


async def test_changes_that_are_compacted_are_skipped_and_counted(
    database_url: str, rabbitmq: RabbitmqServer, listener: Listener, capsys: pytest.CaptureFixture[str]
) -> None:
    """Notifications were off for long: nobody held the log back."""
    store = await Store.open(database_url, Limits(keep_changes=2))
    try:
        await store.write(lambda tx: tx.begin_lease(LEASE))
        for name in "abcde":
            await write(store, name)
        assert await store.compact() == 3
        async with publishing(store, [rabbitmq.url], QUICK) as progress:
            assert names(await listener.up_to(5)) == ["d", "e"]
            assert progress.skipped == 3
            assert names(await listener.up_to(await write(store, "f"))) == ["d", "e", "f"]
    finally:
        await store.close()
    told = capsys.readouterr().out
    assert "notify skips changes that are compacted" in told
    assert "first=1" in told
    assert "last=3" in told


async def test_a_write_of_many_changes_is_published_whole(
    store: Store, rabbitmq: RabbitmqServer, listener: Listener
) -> None:
    """More than one read of the log; the cursor does not stop within it."""

    def many(number: int) -> list[Object]:
        uuids = [f"{number:08x}-0000-4000-8000-{each:012x}" for each in range(450)]
        return [Object("domain", uuid, (f"{number}-{uuid[-4:]}",)) for uuid in uuids]

    async with publishing(store, [rabbitmq.url], QUICK) as progress:
        for number in (1, 2):
            await store.write(lambda tx, number=number: [tx.apply(Create(one)) for one in many(number)])  # type: ignore[misc]
        heard = await listener.until(lambda heard: heard[-1:] != [] and heard[-1].place == (2, 449))
        await until(lambda: progress.confirmed == 2)
    assert len(heard) == 900
    assert all(one.place < following.place for one, following in pairwise(heard))
