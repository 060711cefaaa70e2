"""A PostgreSQL server for the length of a run, which syncs each commit, unlike that of the tests."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path.append(str(Path(__file__).parent.parent / "tests"))

from postgres_server import PostgresServer, Unavailable

__all__ = ["Unavailable", "durable_server"]


@contextmanager
def durable_server() -> Iterator[PostgresServer]:
    """Unavailable says why there is none here."""
    server = PostgresServer(settings={"fsync": "on"})
    try:
        yield server
    finally:
        server.stop()
