"""What the parts can do at most, measured in the same run: a constant FastAPI route, and the bare drivers."""

import sqlite3
import time
import uuid
from pathlib import Path

import psycopg
from fastapi import FastAPI
from fastapi.responses import Response

constant = FastAPI(openapi_url=None)


@constant.get("/")
async def answer() -> Response:
    return Response(b'{"constant": true}', media_type="application/json")


def sqlite_transactions(path: Path, seconds: float) -> float:
    """Transactions per second of three statements each (counter, object, log), WAL and synchronous=FULL, one client."""
    database = sqlite3.connect(path, isolation_level=None)
    for statement in (
        "pragma journal_mode=wal",
        "pragma synchronous=full",
        "create table counter(revision integer)",
        "insert into counter values (0)",
        "create table object(uuid text primary key, body text)",
        "create table log(revision integer primary key, body text)",
    ):
        database.execute(statement)
    body, done, start = "x" * 700, 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        database.execute("begin immediate")
        (revision,) = database.execute("update counter set revision = revision + 1 returning revision").fetchone()
        database.execute("insert into object values (?, ?)", (str(uuid.uuid4()), body))
        database.execute("insert into log values (?, ?)", (revision, body))
        database.execute("commit")
        done += 1
    rate = done / (time.perf_counter() - start)
    database.close()
    return rate


def postgresql_transactions(url: str, seconds: float) -> float:
    """The same on PostgreSQL, prepared and in two round trips, as ours are: with its beginning, and with its commit.
    The database is empty before and after."""
    body, done = "x" * 700, 0
    with psycopg.connect(url, autocommit=True, prepare_threshold=0) as database:
        for statement in (
            "create table counter(revision bigint)",
            "insert into counter values (0)",
            "create table object(uuid text primary key, body text)",
            "create table log(revision bigint primary key, body text)",
        ):
            database.execute(statement)
        start = time.perf_counter()
        while time.perf_counter() - start < seconds:
            with database.pipeline():
                database.execute("begin")
                counted = database.execute("update counter set revision = revision + 1 returning revision")
            (revision,) = counted.fetchone() or (0,)
            with database.pipeline():
                database.execute("insert into object values (%s, %s)", (str(uuid.uuid4()), body))
                database.execute("insert into log values (%s, %s)", (revision, body))
                database.execute("commit")
            done += 1
        rate = done / (time.perf_counter() - start)
        database.execute("drop table counter, object, log")
    return rate
