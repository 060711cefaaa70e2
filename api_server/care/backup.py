"""A copy of the SQLite database of a server that goes on running.

SQLite's own online backup reads the file as of one commit, with the write-ahead log; a server that writes meanwhile is
neither stopped nor slowed. The copy is one whole file, to be put in the place of another while no server runs.
PostgreSQL has tools of its own, which this module names and does not imitate.
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from shlex import quote
from typing import NamedTuple

from api_server.store.engine import BUSY_SECONDS, Database, UnusableDatabase
from api_server.store.migration import require

PAGES = -1
"""Of one step: all, so that no write of the server can make the copy begin anew."""


class Backup(NamedTuple):
    """bytes: of the file. revision: of the last write that is in it."""

    path: Path
    bytes: int
    revision: int


def backup(url: str, target: Path, *, force: bool = False) -> Backup:
    """Write the database at a URL to a file, mode 0600, whole or not at all: it is complete, checked and on disk
    before it gets its name. force: in the place of what stands there.

    UnusableDatabase: there is no such database, it is damaged, or it is none of SQLite. OSError: the file cannot be
    written; FileExistsError without `force`.
    """
    database = Database.at(url)
    if not database.sqlite:
        plain = database.engine.url.set(drivername="postgresql").render_as_string(hide_password=True)
        raise UnusableDatabase(
            "PostgreSQL has its own tools, and this is the one for a backup: "
            f"pg_dump --format=custom --file={quote(str(target))} {quote(plain)}"
        )
    require(database)
    target = target.absolute()
    if target.exists():
        if target.samefile(database.path):
            raise UnusableDatabase(f"{target} is the database itself")
        if not force:
            raise FileExistsError(f"{target} exists")
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    os.close(os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    try:
        revision = _copy(database.path, partial)
        _sync(partial)
        if not force:
            os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))  # nothing has come there meanwhile
        partial.replace(target)
        _sync(target.parent)
    finally:
        partial.unlink(missing_ok=True)
    return Backup(target, target.stat().st_size, revision)


def _copy(source: Path, target: Path) -> int:
    """The revision of the copy."""
    try:
        with _opened(source) as original, _opened(target) as copy:
            original.backup(copy, pages=PAGES)
            copy.execute("pragma journal_mode=delete")  # one file, nothing beside it
            if (found := copy.execute("pragma integrity_check(1)").fetchone()[0]) != "ok":
                raise UnusableDatabase(f"The database {source} is damaged, there is no use in a copy: {found}")
            return int(copy.execute("select revision from counter").fetchone()[0])
    except sqlite3.Error as error:
        raise UnusableDatabase(f"The database {source} cannot be copied: {error}") from error


@contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)) as connection:
        yield connection


def _sync(path: Path) -> None:
    """On disk, whatever happens next."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
