"""What the parts can do at most, measured in the same run: a constant FastAPI route, and the bare sqlite3 driver."""

import sqlite3
import time
import uuid
from pathlib import Path

from fastapi import FastAPI
from fastapi.responses import Response

constant = FastAPI(openapi_url=None)


@constant.get("/")
async def answer() -> Response:
    return Response(b'{"constant": true}', media_type="application/json")


def durable_transactions(path: Path, seconds: float) -> float:
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
