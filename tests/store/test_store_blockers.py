"""A transaction on PostgreSQL that somebody has left behind, or that waits itself, and the writers behind it."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import count

import psycopg
import pytest
import sqlalchemy as sa
from store_objects import create, make

from api_server.errors import Unavailable
from api_server.store import Store, attempts, blockers, engine
from api_server.store.engine import Database
from api_server.store.session import Session, Statement

LOCK = "update counter set revision = revision"
STATE = "select state, wait_event from pg_stat_activity where pid = %s"
SOON = 20  # seconds, of which none are needed


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    times = ("set lock_timeout='200ms'", "set idle_in_transaction_session_timeout='200ms'")
    monkeypatch.setattr(engine, "POSTGRESQL_SETUP", (*engine.POSTGRESQL_SETUP, *times))
    monkeypatch.setattr(blockers, "IDLE_SECONDS", 0)


@pytest.fixture
def url(postgres_url: str) -> str:
    """Of `store`."""
    return postgres_url


@pytest.fixture
def looking(postgres_url: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(postgres_url, autocommit=True) as found:
        yield found


@contextmanager
def left_in_a_batch(url: str, name: str) -> Iterator[int]:
    """A transaction that has the counter row, of which PostgreSQL expects more statements at once: its process."""
    with closing(psycopg.connect(url, application_name=name, autocommit=True)) as connection:
        connection.pgconn.enter_pipeline_mode()
        for statement in ("begin", LOCK):
            connection.pgconn.send_query_params(statement.encode(), None)
        connection.pgconn.send_flush_request()
        connection.pgconn.flush()
        yield connection.info.backend_pid


def comes_to(looking: psycopg.Connection, pid: int, state: tuple[str, str] | None) -> None:
    """A process; None: its end."""
    until = time.monotonic() + SOON
    while looking.execute(STATE, [pid]).fetchone() != state:
        assert time.monotonic() < until


def test_a_transaction_whose_server_says_no_more_is_ended(postgres_url: str, looking: psycopg.Connection) -> None:
    """Also right after a beginning that took its time, which psycopg's pipeline would have ended with a Flush."""
    session = Session(Database.at(postgres_url))
    slow = Statement(sa.text("select pg_backend_pid(), pg_sleep(0.05)"))
    with (
        pytest.raises(Unavailable, match="The database went away"),
        session.transaction("begin", (slow, {})) as (rows,),
    ):
        comes_to(looking, rows[0][0], None)
    session.close()


async def test_one_that_was_left_in_a_batch_is_ended_by_who_waits(
    postgres_url: str, store: Store, looking: psycopg.Connection
) -> None:
    with left_in_a_batch(postgres_url, attempts.new_name()) as pid:
        comes_to(looking, pid, ("active", "ClientRead"))
        assert await create(store, make("domain", "d")) == 1
        assert looking.execute(STATE, [pid]).fetchone() is None


async def test_another_programs_is_named_and_left(postgres_url: str, store: Store, looking: psycopg.Connection) -> None:
    with left_in_a_batch(postgres_url, "somebody") as pid:
        comes_to(looking, pid, ("active", "ClientRead"))
        named = rf"another writer: PostgreSQL process {pid} \(somebody\), active, begun 0 s ago, waits for its client$"
        with pytest.raises(Unavailable, match=named) as refused:
            await create(store, make("domain", "d"))
        assert refused.value.text == "The database is locked by another writer"
        comes_to(looking, pid, ("active", "ClientRead"))


async def waiting_for_a_standby(store: Store, looking: psycopg.Connection) -> "tuple[int, asyncio.Future[int]]":
    """A write whose commit does, and its revision; some before it may not yet."""
    for number in count(1):
        writing = asyncio.ensure_future(create(store, make("domain", f"d{number}")))
        while not writing.done():
            if looking.execute("select 1 from pg_stat_activity where wait_event = 'SyncRep'").fetchone():
                return number, writing
            await asyncio.sleep(0.01)
    raise AssertionError


async def test_a_commit_that_waits_for_a_standby_is_left_and_takes_place(
    postgres_url: str, store: Store, looking: psycopg.Connection
) -> None:
    other = await Store.open(postgres_url)
    looking.execute("alter system set synchronous_standby_names = 'nobody'")
    looking.execute("select pg_reload_conf()")
    try:
        number, writing = await waiting_for_a_standby(other, looking)
        named = r", active, begun \d s ago, waits for a standby \(synchronous_standby_names\)$"
        with pytest.raises(Unavailable, match=named):
            await create(store, make("domain", "behind"))
        assert not writing.done()
    finally:
        looking.execute("alter system reset synchronous_standby_names")
        looking.execute("select pg_reload_conf()")
    assert await writing == number
    assert await create(store, make("domain", "behind")) == number + 1
    await other.close()
