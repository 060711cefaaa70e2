"""Faults: kill -9, a database that goes away, is full or locked. Nothing is half written, nothing acknowledged lost."""

import asyncio
import random
import signal
import sqlite3
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace

import psycopg
import pytest
from postgres_server import PostgresServer
from store_objects import create, get, logged, make

from api_server.errors import Unavailable
from api_server.store import Create, Store, Transaction, UnusableDatabase
from api_server.store.engine import Database

KILLS = 3
DIE_AT_COMMIT = (
    "create temporary table t (x int)",
    (
        "create function pg_temp.die() returns trigger language plpgsql as "
        "$$ begin perform pg_terminate_backend(pg_backend_pid()); return null; end $$"
    ),
    "create constraint trigger die after insert on t initially deferred for each row execute function pg_temp.die()",
    "insert into t values (1)",
)
HERE = Path(__file__).parent


async def killed(url: str, label: str, after: int) -> list[str]:
    """What a writing process had acknowledged when it was killed, at the earliest after so many writes."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(HERE / "store_load.py"), url, label,
        stdout=asyncio.subprocess.PIPE, env={"PYTHONPATH": f"{HERE}:{HERE.parents[1]}"},
    )  # fmt: skip
    assert process.stdout is not None
    names = [(await process.stdout.readline()).decode().strip() for _ in range(after)]
    process.send_signal(signal.SIGKILL)
    names += (await process.stdout.read()).decode().split("\n")
    await process.wait()
    assert names[0], "the writing process did not start"
    return [name for name in names[:-1] if name]


async def test_kill_9_leaves_whole_requests_and_all_that_were_acknowledged(url: str) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    acknowledged: set[str] = set()
    for turn in range(KILLS):
        acknowledged |= set(await killed(url, str(turn), chance.randrange(1, 200)))
    store = await Store.open(url)
    stored = await store.read(lambda reader: reader.records("domain", children=True))
    assert acknowledged <= {one.fq_name for one in stored}
    assert all(len(one.children) == 1 for one in stored)
    for kind in ("project", "tag", "network-ipam"):
        assert await store.read(lambda reader, kind=kind: reader.count(kind)) == len(stored)  # type: ignore[misc]
    ipams = await store.read(lambda reader: reader.records("network-ipam", references=True))
    assert all(len(one.references) == 1 for one in ipams)
    assert (await store.write(lambda tx: tx.taken("pool")))[0] == len(stored)
    events = await logged(store)
    assert [one.revision for one in events] == [number for number in range(1, len(stored) + 1) for _ in range(4)]
    assert store.feed.revision == len(stored)
    await store.close()


async def test_a_locked_sqlite_file_is_unavailable_and_recovers(sqlite_url: str) -> None:
    store = await Store.open(sqlite_url)
    other = sqlite3.connect(sqlite_url.removeprefix("sqlite:///"), isolation_level=None)
    other.execute("begin immediate")
    with pytest.raises(Unavailable, match="locked"):
        await create(store, make("domain", "a"))
    assert await store.read(lambda reader: reader.count("domain")) == 0
    other.execute("rollback")
    other.close()
    assert await create(store, make("domain", "b")) == 1
    await store.close()


async def test_a_full_disk_is_unavailable_and_nothing_is_half_written(sqlite_url: str) -> None:
    store = await Store.open(sqlite_url)
    await create(store, make("domain", "a"))
    connection = store._writer._session._connection
    pages = connection.execute("pragma page_count").fetchone()[0]
    connection.execute(f"pragma max_page_count={pages + 2}")
    answers = await asyncio.gather(
        *[create(store, make("domain", f"d{number}", filler="x" * 3000)) for number in range(20)],
        return_exceptions=True,
    )
    refused = [answer for answer in answers if isinstance(answer, Unavailable)]
    assert refused
    assert all("full" in one.text for one in refused)
    connection.execute("pragma max_page_count=1000000")
    stored = await store.read(lambda reader: reader.count("domain"))
    assert stored == 1 + len(answers) - len(refused)
    assert len(await logged(store)) == stored
    assert await create(store, make("domain", "after")) == stored + 1
    await store.close()


@pytest.fixture
async def postgres_store(postgres_url: str) -> AsyncIterator[Store]:
    store = await Store.open(postgres_url)
    yield store
    await store.close()


async def test_a_restarted_postgresql_is_found_again(postgres: PostgresServer, postgres_store: Store) -> None:
    store = postgres_store
    await create(store, make("domain", "a"))
    subscription = await store.feed.subscribe()
    postgres.crash()
    try:
        with pytest.raises(Unavailable):
            await create(store, make("domain", "b"))
        with pytest.raises(Unavailable):
            await store.read(lambda reader: reader.count("domain"))
    finally:
        postgres.start()
    assert await create(store, make("domain", "c")) == 2
    assert await store.read(lambda reader: reader.count("domain")) == 2
    assert [one.revision for one in (await anext(subscription)).events] == [2]


async def test_a_connection_that_died_while_idle_costs_nothing(postgres_store: Store, postgres: PostgresServer) -> None:
    store = postgres_store
    await create(store, make("domain", "a"))
    postgres.crash()
    postgres.start()
    assert await create(store, make("domain", "b")) == 2
    assert await store.read(lambda reader: reader.count("domain")) == 2


async def test_a_commit_that_fails_twice_is_unavailable(postgres_store: Store) -> None:
    """The server ends our backend at each commit, so none takes place."""
    store = postgres_store
    calls = 0
    domain = make("domain", "a")

    def call(tx: Transaction) -> None:
        nonlocal calls
        calls += 1
        tx.apply(Create(domain.copy()))
        for statement in DIE_AT_COMMIT:
            tx._session._connection.execute(statement)

    with pytest.raises(Unavailable, match="did not take place"):
        await store.write(call)
    assert calls == 2
    assert await get(store, domain.uuid) is None
    assert await create(store, domain) == 1


async def test_a_pooler_that_shares_connections_is_refused(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has several clients' statements run by one process: as if all connections were one."""
    with psycopg.connect(postgres_url, autocommit=True) as shared:
        client = SimpleNamespace(execute=shared.execute, close=lambda: None)
        monkeypatch.setattr(Database, "connect", lambda *_: client)
        with pytest.raises(UnusableDatabase, match="pool_mode=session"):
            await Store.open(postgres_url)


async def test_a_server_without_a_connection_left_says_so(postgres_url: str) -> None:
    """503 while it runs, a sentence at its start, no password in either."""
    url = postgres_url.replace("vaportrail@", "few:secret@")
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("create role few superuser login password 'secret'")
        try:
            store = await Store.open(url)
            await store.close()
            connection.execute("alter role few nosuperuser connection limit 0")
            with pytest.raises(UnusableDatabase, match="too many connections") as refused:
                await Store.open(url)
            assert "secret" not in str(refused.value)
            connection.execute("alter role few superuser")
            store = await Store.open(url)
            connection.execute("alter role few nosuperuser")
            with pytest.raises(Unavailable, match="too many connections") as answer:
                await create(store, make("domain", "a"))
            assert "secret" not in str(answer.value)
            assert answer.value.text == "The database is away"
            connection.execute("alter role few superuser")
            assert await create(store, make("domain", "a")) == 1
            await store.close()
        finally:
            connection.execute("reassign owned by few to vaportrail; drop role few")
