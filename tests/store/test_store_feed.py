"""The feed keeps the promises of a watch: ordered, unique, reliable, atomic, resumable, bookmarked."""

import asyncio
from collections.abc import AsyncIterator, Callable

import orjson
import pytest
from store_objects import create, deleting, make, updating

from api_server.errors import Gone, Unavailable
from api_server.store import Chunk, Create, Limits, Object, Pace, Store, Subscription, Transaction

QUICK = Limits(pace=Pace(pause=0.01, bookmark=0.02))


@pytest.fixture
async def store(url: str) -> AsyncIterator[Store]:
    store = await Store.open(url, QUICK)
    yield store
    await store.close()


async def until(subscription: Subscription, revision: int) -> list[Chunk]:
    chunks = []
    while subscription.revision < revision:
        chunks.append(await anext(subscription))
    return chunks


def ids(chunk: Chunk) -> list[int]:
    return [int(line[4:]) for line in chunk.data.decode().splitlines() if line.startswith("id: ")]


def busy(number: int) -> Callable[[Transaction], None]:
    """Two objects of different types in one request."""

    def call(tx: Transaction) -> None:
        tx.apply(Create(make("domain", f"d{number}")))
        tx.apply(Create(make("virtual-machine", f"v{number}")))

    return call


async def test_frames_are_contrails_with_an_id_on_the_last_of_a_revision(store: Store) -> None:
    subscription = await store.feed.subscribe()
    domain = make("domain", "d")
    project = make("project", "p", domain)
    await create(store, domain, project)
    await store.write(updating(project.uuid, lambda one: one.properties.update(display_name="x")))
    await store.write(deleting(project.uuid))
    data = b"".join([chunk.data for chunk in await until(subscription, 3)]).decode()
    frames = [frame.splitlines() for frame in data.removesuffix("\n\n").split("\n\n")]
    assert [lines[:-1] for lines in frames] == [
        ["event: create"],
        ["event: create", "id: 1"],
        ["event: update", "id: 2"],
        ["event: delete", "id: 3"],
    ]
    objects = [orjson.loads(lines[-1].removeprefix("data: ")) for lines in frames]
    assert list(objects[0]) == ["domain"]
    assert objects[2]["project"]["display_name"] == "x"
    assert objects[2]["project"]["fq_name"] == ["d", "p"]
    assert objects[3] == {"project": {"uuid": project.uuid}}


async def test_ordered_unique_reliable_atomic(store: Store) -> None:
    subscriptions = [await store.feed.subscribe(), await store.feed.subscribe({"domain"})]
    await asyncio.gather(*[store.write(busy(number)) for number in range(100)])
    everything = await until(subscriptions[0], 100)
    events = [event for chunk in everything for event in chunk.events]
    assert [(one.revision, one.sequence) for one in events] == [
        (number, sequence) for number in range(1, 101) for sequence in (0, 1)
    ]
    assert [one for chunk in everything for one in ids(chunk)] == list(range(1, 101))
    some = await until(subscriptions[1], 100)
    assert [one.revision for chunk in some for one in chunk.events] == list(range(1, 101))
    assert [one for chunk in some for one in ids(chunk)] == list(range(1, 101))


async def test_resumes_after_any_revision_while_writing_goes_on(store: Store) -> None:
    await asyncio.gather(*[store.write(busy(number)) for number in range(1200)])
    resumed = {after: await store.feed.subscribe({"domain"}, after) for after in (0, 1, 700, 1199, 1200)}
    more = [asyncio.create_task(store.write(busy(number))) for number in range(1200, 1400)]
    received = await asyncio.gather(*[until(subscription, 1400) for subscription in resumed.values()])
    await asyncio.gather(*more)
    for after, chunks in zip(resumed, received, strict=True):
        assert [event.revision for chunk in chunks for event in chunk.events] == list(range(after + 1, 1401))


async def test_bookmarks_tell_of_revisions_that_have_nothing_for_a_watcher(store: Store) -> None:
    subscription = await store.feed.subscribe({"project"})
    await create(store, make("domain", "d"))
    chunks = await until(subscription, 1)
    assert chunks[-1].data == b'event: bookmark\nid: 1\ndata: {"revision":1}\n\n'
    late = await store.feed.subscribe({"project"}, 0)
    assert ids((await until(late, 1))[-1]) == [1]


async def test_keep_alive_when_nothing_happens(url: str) -> None:
    store = await Store.open(url, Limits(pace=Pace(bookmark=0.01, keep_alive=0.05)))
    try:
        subscription = await store.feed.subscribe()
        assert (await anext(subscription)).data == b":\n\n"
    finally:
        await store.close()


async def test_slow_watchers_are_ended_with_the_reason_and_resume(url: str) -> None:
    store = await Store.open(url, Limits(pace=Pace(pause=0.0, behind=10)))
    try:
        slow = await store.feed.subscribe()
        waiting = asyncio.ensure_future(anext(slow))
        await asyncio.sleep(0)
        await create(store, make("domain", "first"))
        assert ids(await waiting) == [1]
        for number in range(20):
            await create(store, make("domain", f"d{number}"))
        while not slow.reason:
            await asyncio.sleep(0)
        assert "too slow" in slow.reason
        assert [one async for one in slow] == []
        again = await store.feed.subscribe(None, slow.revision)
        assert [one.revision for chunk in await until(again, 21) for one in chunk.events] == list(range(2, 22))
    finally:
        await store.close()


async def test_a_chunk_of_any_size_is_handed_out_and_what_follows_it(url: str) -> None:
    """Who resumes before a large change gets beyond it, also when it begins with that and a bookmark."""
    store = await Store.open(url, Limits(pace=Pace(behind=100)))
    try:
        domain = make("domain", "d", display_name="x" * 1000)
        await create(store, domain)
        await create(store, make("virtual-machine", "v"))
        resumed = await store.feed.subscribe({"domain"}, 0)
        assert [chunk.revision for chunk in await until(resumed, 2)] == [1, 2]
    finally:
        await store.close()


async def test_closing_hands_out_what_is_there_and_says_why(store: Store) -> None:
    subscription = await store.feed.subscribe()
    waiting = asyncio.ensure_future(anext(subscription))
    await asyncio.sleep(0)
    await create(store, make("domain", "d"))
    assert ids(await waiting) == [1]
    await create(store, make("domain", "e"))
    while store.feed.revision < 2:
        await asyncio.sleep(0)
    store.feed.close("going down")
    assert [ids(one) for one in [chunk async for chunk in subscription] if one.events] == [[2]]
    assert subscription.reason == "going down"
    with pytest.raises(Unavailable):
        await store.feed.subscribe()


async def test_who_was_still_catching_up_is_ended_as_well(url: str) -> None:
    store = await Store.open(url, QUICK)
    await create(store, make("domain", "d"))
    late = await store.feed.subscribe(None, 0)
    await store.close()
    async with asyncio.timeout(10):
        assert [one async for one in late] == []
    assert late.reason


async def test_a_cancelled_wait_loses_nothing(store: Store) -> None:
    subscription = await store.feed.subscribe()
    chunks = []
    for number in range(10):
        waiting = asyncio.ensure_future(anext(subscription))
        await asyncio.sleep(0)
        waiting.cancel()
        chunks += [one for one in await asyncio.gather(waiting, return_exceptions=True) if isinstance(one, Chunk)]
        await create(store, make("domain", f"d{number}"))
    chunks += await until(subscription, 10)
    events = [event for chunk in chunks for event in chunk.events]
    assert [one.revision for one in events] == list(range(1, 11))


async def test_gone_names_the_oldest_id(url: str) -> None:
    store = await Store.open(url, Limits(keep_changes=5))
    try:
        await asyncio.gather(*[store.write(busy(number)) for number in range(30)])
        early = await store.feed.subscribe(None, 3)
        assert await store.compact() == 25
        assert await store.compact() == 0
        with pytest.raises(Gone, match="the oldest id is 25"):
            await store.feed.subscribe(None, 24)
        with pytest.raises(Gone, match="the newest is 30"):
            await store.feed.subscribe(None, 31)
        assert [one async for one in early] == []
        assert "compacted" in early.reason
        kept = await store.feed.subscribe(None, 25)
        assert [one.revision for chunk in await until(kept, 30) for one in chunk.events[::2]] == list(range(26, 31))
    finally:
        await store.close()


async def test_old_changes_are_forgotten_by_age(url: str) -> None:
    store = await Store.open(url, Limits(keep_hours=-1))
    try:
        await asyncio.gather(*[store.write(busy(number)) for number in range(30)])
        assert await store.compact() == 30
        assert await create(store, make("domain", "next")) == 31
    finally:
        await store.close()


async def test_a_slice_of_the_log_is_so_many_changes_or_one_revision(store: Store) -> None:
    for number, changes in enumerate((1, 2, 30, 1, 1, 1)):
        await create(store, *[make("domain", f"d{number}-{change}") for change in range(changes)])
    gone = [(await store.write(lambda tx: tx.compact(1, "", 3)))[0] for _ in range(5)]
    assert gone == [2, 1, 2, 0, 0]  # 3 changes, 30, 2; the last revision is kept


async def test_two_servers_on_one_postgresql_see_each_others_writes_in_order(postgres_url: str) -> None:
    stores = [await Store.open(postgres_url, QUICK) for _ in range(2)]
    try:
        subscriptions = [await store.feed.subscribe(None, 0) for store in stores]
        await asyncio.gather(*[stores[number % 2].write(busy(number)) for number in range(200)])
        for subscription in subscriptions:
            events = [event for chunk in await until(subscription, 200) for event in chunk.events]
            assert [(one.revision, one.sequence) for one in events] == [
                (number, sequence) for number in range(1, 201) for sequence in (0, 1)
            ]
        names: list[Object | None] = await stores[0].read(
            lambda reader: [reader.get(one.uuid) for one in reader.records("domain")]
        )
        assert len(names) == 200
    finally:
        for store in stores:
            await store.close()


async def test_many_come_back_and_the_database_is_asked_once(url: str) -> None:
    """Two hundred at once, from different places: from memory, and after a restart each page of the log once."""
    store = await Store.open(url, QUICK)
    await asyncio.gather(*[store.write(busy(number)) for number in range(40)])

    async def come_back() -> int:
        """How often the database was read."""
        before = store.counts.reads
        watchers = [await store.feed.subscribe({"domain"}, number % 40) for number in range(200)]
        for number, chunks in enumerate(await asyncio.gather(*[until(one, 40) for one in watchers])):
            seen = [event.revision for chunk in chunks for event in chunk.events]
            assert seen == list(range(number % 40 + 1, 41))
        return store.counts.reads - before

    assert await come_back() == 0
    await store.close()
    store = await Store.open(url, QUICK)
    assert await come_back() <= 5  # the page, and what a server asks at its start
    await store.close()
