"""A database opened for care, beside a server or instead of it: one session, one transaction.

Reading disturbs nobody: it is a snapshot, and SQLite's write-ahead log and PostgreSQL both let a server write
meanwhile. Writing takes the place of the server on SQLite (its claim) and stands in line with the servers on
PostgreSQL (the counter row, as every write does).
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa

from api_server.errors import Unavailable
from api_server.store.engine import Database, UnusableDatabase
from api_server.store.migration import migrate, require
from api_server.store.notices import announce
from api_server.store.session import Session, Statement
from api_server.store.tables import counter
from api_server.store.transaction import WAITING, Transaction
from api_server.store.view import Known
from api_server.store.writer import CHANNEL, Clock

_LOCK = Statement(counter.update().values(revision=counter.c.revision).returning(counter.c.revision))
_LOOK = Statement(sa.select(counter.c.revision))
_SET_REVISION = Statement(counter.update().where(counter.c.id == 1), ("revision",))
_PATIENT = Statement(sa.text("set local idle_in_transaction_session_timeout=0"))  # what reads it may take its time


@contextmanager
def reading(url: str) -> Iterator[Session]:
    """A snapshot of the database at a URL. UnusableDatabase: there is none, or it cannot be read."""
    database = Database.at(url)
    require(database)
    with _transaction(database, database.begin_read, _LOOK) as session:
        yield session


@contextmanager
def writing(url: str, *, make: bool = False) -> Iterator[Session]:
    """One transaction in which nobody else writes; rolled back if the block raises. make: the database if there is
    none. UnusableDatabase: also if a server holds it (SQLite)."""
    database = Database.at(url)
    if not make:
        require(database)
    claim = database.claim()
    try:
        if make:
            migrate(database)
        with _transaction(database, database.begin_write, _LOCK) as session:
            yield session
    finally:
        if claim is not None:
            os.close(claim)


@contextmanager
def _transaction(database: Database, begin: str, first: Statement) -> Iterator[Session]:
    session = Session(database, WAITING)
    try:
        with session.transaction(begin, (first, {})):
            if not session.sqlite:
                session.execute(_PATIENT)
            yield session
    except (Unavailable, database.driver.Error) as error:
        raise database.explain(error) from error
    finally:
        session.close()


def newest(session: Session) -> int:
    """The revision of the last write. UnusableDatabase: nothing says so."""
    rows = session.all(_LOOK)
    if not rows:
        raise UnusableDatabase("The database has lost its counter: see `vaportrail db check --fix`")
    return int(rows[0][0])


def request(session: Session, request_id: str) -> Transaction:
    """A request of the next revision in a `writing` session, to be ended by `finish`."""
    rows = session.all(_LOOK)
    last = rows[0][0] if rows else 0
    return Transaction(session, Known.nothing(), revision=last + 1, now=Clock()(), request_id=request_id)


def finish(session: Session, tx: Transaction) -> None:
    """Its revision counts if it changed anything, and the servers hear of it."""
    tx.finish()
    session.flush()
    if tx.events:
        session.execute(_SET_REVISION, revision=tx.revision)
        announce(session, CHANNEL, tx.revision)
