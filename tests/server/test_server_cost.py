"""What a request costs the database, in statements (SQLite) and in exchanges with the server (PostgreSQL)."""

import asyncio
import re
import sqlite3
import threading
from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Any

import httpx
import pytest
from serverlab import create, running

from api_server.app import create_app
from api_server.routes.turns import WRITES
from api_server.settings import Settings
from api_server.store.engine import Database
from api_server.store.wire import Query, Wire

Counted = list[str]


@pytest.fixture
def sqlite_statements(monkeypatch: pytest.MonkeyPatch) -> Counted:
    """All that SQLite is told, each execution once."""
    told: Counted = []
    connect = Database.connect

    def traced(database: Database, *arguments: Any) -> Any:
        connection: sqlite3.Connection = connect(database, *arguments)
        connection.set_trace_callback(told.append)
        return connection

    monkeypatch.setattr(Database, "connect", traced)
    return told


@pytest.fixture
def exchanges(monkeypatch: pytest.MonkeyPatch) -> Counted:
    """Each time that the writer waits for PostgreSQL: what it has told it."""
    told: Counted = []
    exchange = Wire.exchange

    def traced(wire: Wire, queries: Sequence[Query]) -> Any:
        if threading.current_thread().name.startswith("writer"):
            told.append("; ".join(text for text, _ in queries))
        return exchange(wire, queries)

    monkeypatch.setattr(Wire, "exchange", traced)
    return told


@pytest.fixture
def postgresql_statements(monkeypatch: pytest.MonkeyPatch) -> Counted:
    """All that PostgreSQL is told."""
    told: Counted = []
    exchange = Wire.exchange

    def traced(wire: Wire, queries: Sequence[Query]) -> Any:
        told.extend(text for text, _ in queries)
        return exchange(wire, queries)

    monkeypatch.setattr(Wire, "exchange", traced)
    return told


async def one_member(client: httpx.AsyncClient, pool: dict[str, Any], name: str) -> None:
    settings = {"address": "10.0.0.1", "protocol_port": 80}
    fq_name = [*pool["fq_name"], name]
    await create(client, "loadbalancer-member", fq_name, loadbalancer_member_properties=settings)


async def at_once(client: httpx.AsyncClient, pool: dict[str, Any]) -> None:
    """As many as may be at work."""
    await asyncio.gather(*[one_member(client, pool, f"m{number}") for number in range(WRITES)])


async def cost(database: str, counted: Counted, *requests: Callable[[httpx.AsyncClient, dict[str, Any]], Any]) -> int:
    """Of the last of some requests, one after the other."""
    async with running(create_app(Settings(database=database))) as client:
        pool = await create(client, "loadbalancer-pool", "pool")
        await one_member(client, pool, "first")
        for request in requests:
            for _ in range(3):
                await asyncio.sleep(0)  # the place of the one before is given on
            counted.clear()
            await request(client, pool)
        return len(counted)


async def test_a_create_is_few_statements(sqlite_url: str, sqlite_statements: Counted) -> None:
    """begin, the counter, whether its name is taken, the object, its two keys, the log, commit."""
    assert await cost(sqlite_url, sqlite_statements, lambda client, pool: one_member(client, pool, "m")) == 8


async def test_creates_at_once_share_what_is_not_their_own(sqlite_url: str, sqlite_statements: Counted) -> None:
    """Four for each, and once begin, the counter, which of the names are taken, and commit."""
    assert await cost(sqlite_url, sqlite_statements, at_once) == WRITES * 4 + 4


async def test_a_create_is_few_exchanges(postgres_url: str, exchanges: Counted) -> None:
    """begin, the counter and whether its name is taken; then all that is written with the commit."""
    assert await cost(postgres_url, exchanges, lambda client, pool: one_member(client, pool, "m")) == 2


async def test_a_create_after_that_of_another_process_reads_more(postgres_url: str, exchanges: Counted) -> None:
    """What it stands below and what that concerns, which the other one may have changed."""
    async with running(create_app(Settings(database=postgres_url))) as other:

        async def elsewhere(_: httpx.AsyncClient, pool: dict[str, Any]) -> None:
            await one_member(other, pool, "elsewhere")

        async def here(client: httpx.AsyncClient, pool: dict[str, Any]) -> None:
            await one_member(client, pool, "here")

        found = await cost(postgres_url, exchanges, elsewhere, here)
    assert found == 4


async def test_creates_at_once_are_few_exchanges(postgres_url: str, exchanges: Counted) -> None:
    """A group is as many as one of them; those that come while one is committed are the next ones."""
    assert await cost(postgres_url, exchanges, at_once) <= WRITES


async def test_a_read_is_one_statement(sqlite_url: str, sqlite_statements: Counted) -> None:
    def read(client: httpx.AsyncClient, pool: dict[str, Any]) -> Any:
        return client.get(f"/loadbalancer-pool/{pool['uuid']}")

    assert await cost(sqlite_url, sqlite_statements, read) == 1


async def tour(database: str, told: Counted) -> set[str]:
    """The statements of each kind of request, but those that only add or begin and end."""
    async with running(create_app(Settings(database=database))) as client:
        told.clear()
        pool = await create(client, "loadbalancer-pool", "pool")
        await at_once(client, pool)
        found = await client.get("/loadbalancer-members", params={"parent_id": pool["uuid"], "detail": "true"})
        first = found.json()["loadbalancer-members"][0]["loadbalancer-member"]
        path = f"/loadbalancer-member/{first['uuid']}"
        for page in (
            {"page_limit": 5},
            {"page_limit": 5, "page_marker": f"{':'.join(first['fq_name'])}:{first['uuid']}"},
        ):
            assert (await client.get("/loadbalancer-members", params=page)).status_code == 200
        await client.put(path, json={"loadbalancer-member": {"display_name": "other"}})
        await client.get(path)
        await client.delete(path)
        name = {"type": "loadbalancer-pool", "fq_name": pool["fq_name"]}
        assert (await client.post("/fqname-to-id", json=name)).status_code == 200
        return {text for text in told if text.split()[0].upper() in {"SELECT", "UPDATE", "DELETE"}}


async def test_no_request_looks_through_a_table(sqlite_url: str, sqlite_statements: Counted) -> None:
    """So it costs beside a hundred thousand objects what it costs beside a thousand."""
    told = await tour(sqlite_url, sqlite_statements)
    with closing(sqlite3.connect(sqlite_url.removeprefix("sqlite:///"))) as database:
        plans = {text: [row[3] for row in database.execute(f"explain query plan {text}")] for text in told}
    assert len(plans) >= 10
    scans = {text: line for text, plan in plans.items() for line in plan if line.startswith("SCAN")}
    small = (
        "SCAN counter",
        "SCAN json_each",
        "SCAN CONSTANT ROW",
        "SCAN (subquery",
        "SCAN named",
        "SCAN value VIRTUAL TABLE",
    )
    assert not {text: line for text, line in scans.items() if not line.startswith(small)}
    pages = [plan for text, plan in plans.items() if "ORDER BY resource.fq_name" in text]
    assert pages
    assert all("resource_place" in line for plan in pages for line in plan)


async def test_postgresql_plans_to_look_through_no_table(postgres_url: str, postgresql_statements: Counted) -> None:
    """Though it plans while all of them are almost empty; nor through what a part of an index leads to."""
    told = await tour(postgres_url, postgresql_statements)
    plans: dict[str, list[str]] = {}
    with closing(Database.at(postgres_url).connect()) as database:
        for number, text in enumerate(told):
            database.execute(f"prepare s{number} as {text}")
            count = len(set(re.findall(r"\$\d+", text)))
            nulls = f"({', '.join(['null'] * count)})" if count else ""
            plans[text] = [line.strip(" ->") for (line,) in database.execute(f"explain execute s{number}{nulls}")]
    assert len(plans) >= 10
    scans = {text: line for text, plan in plans.items() for line in plan if line.startswith("Seq Scan")}
    assert {line.split("  ")[0] for line in scans.values()} <= {"Seq Scan on counter"}, scans
    filters = {text: line for text, plan in plans.items() for line in plan if line.startswith("Filter: ")}
    assert not [line for line in filters.values() if re.search(r"\b(uuid|parent_uuid|fq_name) = ", line)], filters
