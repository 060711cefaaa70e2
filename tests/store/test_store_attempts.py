"""A connection to PostgreSQL that is lost during a commit: what happened is found out, nothing happens twice."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Iterator

import psycopg
import pytest
from pg_proxy import Commit, PgProxy
from store_objects import create, get, logged, make, updating

from api_server.errors import Unavailable
from api_server.store import Create, NewStatus, Report, Store, Transaction, attempts

SLOW_COMMIT = (
    "select pg_advisory_lock(1)",
    (
        "create function wait() returns trigger language plpgsql as "
        "$$ begin perform pg_advisory_xact_lock(1); return null; end $$"
    ),
    ("create constraint trigger wait after insert on resource initially deferred for each row execute function wait()"),
)
WAITING_FOR_IT = "select count(*) from pg_locks where not granted and locktype = 'transactionid'"


@pytest.fixture
def proxy(postgres_url: str) -> Iterator[PgProxy]:
    with PgProxy(postgres_url) as found:
        yield found


@pytest.fixture
async def store(proxy: PgProxy) -> AsyncIterator[Store]:
    """Its connections go through the proxy."""
    found = await Store.open(proxy.url)
    await create(found, make("domain", "before"))  # whose connection the faults meet
    yield found
    proxy.deliver()
    await found.close()


class Once:
    """A write that counts how often it is run."""

    def __init__(self, name: str = "d") -> None:
        self.domain = make("domain", name)
        self.runs = 0

    def __call__(self, tx: Transaction) -> int | None:
        self.runs += 1
        tx.apply(Create(self.domain.copy()))
        return tx.take("pool", [(1, 9)], self.domain.uuid)


async def test_a_commit_that_took_place_is_answered_as_such(proxy: PgProxy, store: Store) -> None:
    subscription = await store.feed.subscribe()
    proxy.at_commit(Commit.UNANSWERED)
    write = Once()
    assert await store.write(write) == (1, 2)
    assert (proxy.struck.is_set(), write.runs) == (True, 1)
    assert [one.uuid for one in (await anext(subscription)).events] == [write.domain.uuid]
    assert await create(store, make("domain", "after")) == 3
    assert [one.revision for one in await logged(store)] == [1, 2, 3]


async def test_a_commit_that_did_not_is_run_again(proxy: PgProxy, store: Store) -> None:
    proxy.at_commit(Commit.UNSENT)
    write = Once()
    assert await store.write(write) == (1, 2)
    assert (proxy.struck.is_set(), write.runs) == (True, 2)
    assert [one.revision for one in await logged(store)] == [1, 2]


async def test_all_writes_of_a_group_are_answered_with_what_happened(proxy: PgProxy, store: Store) -> None:
    taken = make("domain", "before")
    proxy.at_commit(Commit.UNANSWERED)
    first, *answers = await asyncio.gather(
        create(store, make("domain", "a")), create(store, taken), create(store, make("domain", "b")),
        return_exceptions=True,
    )  # fmt: skip
    assert (first, str(answers[0])[:12], answers[1]) == (2, "['before'] a", 3)
    assert await store.read(lambda reader: reader.count("domain")) == 3


async def test_later_writers_change_nothing_about_it(proxy: PgProxy, postgres_url: str, store: Store) -> None:
    other = await Store.open(postgres_url)
    proxy.at_commit(Commit.UNANSWERED)
    proxy.refusing = True
    write = Once()
    writing = asyncio.ensure_future(store.write(write))
    await asyncio.to_thread(proxy.struck.wait)
    for number in range(3):
        await create(other, make("domain", f"other{number}"))
    assert not writing.done()
    proxy.refusing = False
    assert await writing == (1, 2)
    assert write.runs == 1
    subscription, events = await store.feed.subscribe(None, 0), []
    while len(events) < 5:
        events += (await anext(subscription)).events
    assert [one.revision for one in events] == [1, 2, 3, 4, 5]
    await other.close()


async def test_a_commit_that_is_still_going_on_is_waited_for(proxy: PgProxy, postgres_url: str, store: Store) -> None:
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        for statement in SLOW_COMMIT:
            connection.execute(statement)
        proxy.at_commit(Commit.LATE)
        proxy.deliver()
        write = Once()
        writing = asyncio.ensure_future(store.write(write))
        while connection.execute(WAITING_FOR_IT).fetchone() != (1,):
            await asyncio.sleep(0.01)
        assert not writing.done()
        connection.execute("select pg_advisory_unlock(1)")
        assert await writing == (1, 2)
        assert write.runs == 1


async def test_a_transaction_whose_commit_does_not_arrive_is_ended(proxy: PgProxy, store: Store) -> None:
    """The client's end of the connection is gone, the server's is not."""
    proxy.at_commit(Commit.LATE)
    write = Once()
    assert await store.write(write) == (1, 2)
    assert (proxy.struck.is_set(), write.runs) == (True, 2)
    proxy.deliver()
    assert await create(store, make("domain", "after")) == 3
    assert [one.revision for one in await logged(store)] == [1, 2, 3]


async def test_what_leaves_nothing_in_the_log_does_not_happen_twice(proxy: PgProxy, store: Store) -> None:
    runs = 0

    def take(tx: Transaction) -> int | None:
        nonlocal runs
        runs += 1
        tx.store_value("k", "v")
        return tx.take("pool", [(1, 9)], "holder")

    proxy.at_commit(Commit.UNANSWERED)
    assert await store.write(take) == (1, 1)
    assert runs == 1
    proxy.at_commit(Commit.UNSENT)
    assert await store.write(take) == (2, 1)
    assert runs == 3
    domain = make("domain", "d")
    await create(store, domain)
    proxy.at_commit(Commit.UNANSWERED)
    report = Report("node", 2, [NewStatus(domain.uuid, "ACTIVE", "", "", 0, 2)])
    assert await store.report(report) == ([], 2)
    assert proxy.struck.is_set()
    assert store.stamps.newest == 1


async def test_a_rehearsal_has_no_commit_to_lose(proxy: PgProxy, store: Store) -> None:
    proxy.at_commit(Commit.UNANSWERED)
    assert await store.write(Once(), rehearsal=True) == (1, 1)
    assert not proxy.struck.is_set()


async def test_what_cannot_be_found_out_is_said(proxy: PgProxy, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempts, "PATIENCE", 0.3)
    proxy.at_commit(Commit.UNANSWERED)
    proxy.refusing = True
    write = Once()
    with pytest.raises(Unavailable, match="whether it took place is unknown"):
        await store.write(write)
    assert write.runs == 1
    proxy.refusing = False
    # It did: who asks again is told so by the object itself, and watchers miss nothing.
    assert await get(store, write.domain.uuid) is not None
    assert await create(store, make("domain", "after")) == 3
    await store.feed.beyond(2)
    assert [one.revision for one in await logged(store)] == [1, 2, 3]


async def test_a_second_loss_is_found_out_as_well(proxy: PgProxy, store: Store) -> None:
    """The commit by which the first is confirmed is lost, too."""
    proxy.at_commit(Commit.UNANSWERED)
    again = threading.Thread(target=lambda: proxy.struck.wait() and proxy.at_commit(Commit.UNANSWERED))
    again.start()
    write = Once()
    assert await store.write(write) == (1, 2)
    again.join()
    assert proxy.struck.wait(0)
    assert write.runs == 1


async def test_a_connection_cut_before_its_commit_costs_nothing(proxy: PgProxy, store: Store) -> None:
    cut = iter([True, False])

    def call(tx: Transaction) -> None:
        updated(tx)
        if next(cut):
            proxy.cut()

    domain = make("domain", "d")
    await create(store, domain)
    updated = updating(domain.uuid, lambda after: after.properties.update(display_name="new"))
    _, revision = await store.write(call)
    assert revision == 3
    assert [one.revision for one in await logged(store)] == [1, 2, 3]


async def test_rows_of_writers_that_are_gone_do_not_stay(proxy: PgProxy, postgres_url: str, store: Store) -> None:
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        assert connection.execute("select attempt from writer").fetchall() == [(1,)]
        old = int(time.time()) - 2 * 86400
        connection.execute("update writer set at = %s", [old])
        other = await Store.open(postgres_url)
        await create(other, make("domain", "d"))
        assert connection.execute("select attempt from writer where at > %s", [old]).fetchall() == [(1,)]
        await create(store, make("domain", "e"))
        assert connection.execute("select attempt from writer order by 1").fetchall() == [(1,), (2,)]
        await other.close()
