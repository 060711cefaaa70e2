"""Statements that go to PostgreSQL together."""

import os
import signal
from collections.abc import Iterator

import psycopg
import pytest
from psycopg import Connection
from store_objects import create, get, make

from api_server.store import Store
from api_server.store.engine import Database
from api_server.store.wire import Wire


@pytest.fixture
def connection(empty_postgres_url: str) -> Iterator[Connection]:
    connection: Connection = Database.at(empty_postgres_url).connect()
    yield connection
    connection.close()


@pytest.fixture
def wire(connection: Connection) -> Wire:
    wire = Wire(connection)
    wire.exchange([("create table number (value bigint primary key, name text)", ())])
    return wire


INSERT = "insert into number values ($1, $2)"


def stored(wire: Wire) -> list[tuple[int, str]]:
    (result,) = wire.exchange([("select value, name from number order by value", ())])
    return [(value, name) for value, name in wire.rows(result)]


def test_each_has_its_result(wire: Wire) -> None:
    """Text as it is, numbers as numbers, None as NULL."""
    texts = ["", "a'b\"c\\d", "é\n\U0001f600"]
    results = wire.exchange([(INSERT, (number, text)) for number, text in enumerate(texts)])
    assert [result.command_tuples for result in results] == [1, 1, 1]
    assert stored(wire) == list(enumerate(texts))
    (sum_,) = wire.exchange([("select $1 + $2, CAST($3 AS text)", (2**40, -1, None))])
    assert wire.rows(sum_) == [(2**40 - 1, None)]
    assert wire.exchange([]) == []


def test_the_first_error_ends_all(wire: Wire) -> None:
    """Nothing of it is left, and what was going to be prepared behind it is when it is needed."""
    other = "select name from number where value = $1"
    with pytest.raises(psycopg.errors.UniqueViolation):
        wire.exchange([(INSERT, (1, "a")), (INSERT, (1, "b")), (other, (1,)), ("select nothing", ())])
    with pytest.raises(psycopg.errors.UndefinedColumn):
        wire.exchange([("select nothing", ())])
    assert wire.rows(wire.exchange([(INSERT, (1, "c")), (other, (1,))])[1]) == [("c",)]


def test_what_cannot_be_sent_is_not(wire: Wire) -> None:
    for text in ("a\0b", "\ud800"):
        with pytest.raises((psycopg.DataError, UnicodeEncodeError)):
            wire.exchange([(INSERT, (1, "a")), (INSERT, (2, text))])
    assert stored(wire) == []


def test_more_than_fits_on_the_way(wire: Wire) -> None:
    """Neither side reads while all that it sends is on its way, so both must read between."""
    text = "x" * 100_000
    results = wire.exchange([("select CAST($1 AS text)", (text,))] * 100)
    assert {row for result in results for row in wire.rows(result)} == {(text,)}


def test_a_lost_connection_is_closed(wire: Wire, connection: Connection) -> None:
    with pytest.raises(psycopg.OperationalError):
        wire.exchange([("select pg_terminate_backend(pg_backend_pid())", ()), ("select 1", ())])
    assert connection.closed


def test_a_transaction_whose_client_is_silent_ends(wire: Wire, connection: Connection, empty_postgres_url: str) -> None:
    """PostgreSQL counts from the end of what was sent together."""
    silent = "set idle_in_transaction_session_timeout='50ms'"
    wire.exchange([(silent, ()), ("begin", ()), (INSERT, (1, "a"))])
    alive = "select count(*) from pg_stat_activity where pid = %s"
    with psycopg.connect(empty_postgres_url, autocommit=True) as other:
        while other.execute(alive, [connection.info.backend_pid]).fetchone() != (0,):
            pass
    with pytest.raises(psycopg.OperationalError):
        wire.exchange([("commit", ())])


def test_a_server_that_says_nothing_is_not_waited_for(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    (process,) = wire.rows(wire.exchange([("select pg_backend_pid()", ())])[0])[0]
    monkeypatch.setattr("api_server.store.wire.SILENCE", 0.2)
    os.kill(process, signal.SIGSTOP)
    try:
        with pytest.raises(psycopg.OperationalError, match=r"PostgreSQL has said nothing for 0\.2 s"):
            wire.exchange([("select 1", ())])
        with pytest.raises(psycopg.OperationalError):
            wire.exchange([("select 1", ())])
    finally:
        os.kill(process, signal.SIGCONT)


async def test_reads_and_writes_go_on_beside_a_connection_that_is_silent(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was asked there is asked again on another one."""
    monkeypatch.setattr("api_server.store.wire.SILENCE", 2)
    store = await Store.open(postgres_url)
    domain = make("domain", "d")
    await create(store, domain)
    with psycopg.connect(postgres_url) as looking:
        rows = looking.execute(
            "select pid from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid() "
            "and query not like '%listen%'"
        ).fetchall()
    for (process,) in rows:
        os.kill(process, signal.SIGSTOP)
    try:
        assert await get(store, domain.uuid) is not None
        assert await create(store, make("domain", "e")) == 2
    finally:
        for (process,) in rows:
            os.kill(process, signal.SIGCONT)
        await store.close()
