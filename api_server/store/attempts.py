"""Attempts: whether the last transaction of a writer was committed, when the connection went before it could be told.

On PostgreSQL each writer has a row with the number of its last transaction that was committed. The number is written in
that very transaction, whatever else is, so that it holds if and only if all of it does; other writers have other rows,
so that it stays until its own writer asks.

The old transaction may still be about to end: its commit may be on its way, or wait for a standby. It has the counter
row locked until then, so who asks takes that lock first; a transaction that waits for its client, which is gone, is
ended. After a failover the new primary answers: what it does not have did not take place. A yes is confirmed by a
commit, which waits for the standbys as the one before it should have.

SQLite has no connection to lose.
"""

import time
from uuid import uuid4

import sqlalchemy as sa

from api_server.errors import Unavailable
from api_server.store.engine import NAME
from api_server.store.session import Session, Statement, Uncertain

PATIENCE = 6.0
"""Seconds in which it has to be found out."""

TURN_MILLISECONDS = 1000
"""For which the lock is waited for before it is looked again what the old transaction waits for."""

RETRY_SECONDS = 0.1

NAMES = f"{NAME} writer %"
"""Of writers' sessions, for LIKE."""

_FORGET = Statement(sa.text("DELETE FROM writer WHERE at < extract(epoch FROM now()) - 86400"))
_NOTE = Statement(
    sa.text(
        "INSERT INTO writer (name, attempt, at) VALUES (:name, :attempt, CAST(extract(epoch FROM now()) AS bigint)) "
        "ON CONFLICT (name) DO UPDATE SET attempt = excluded.attempt, at = excluded.at"
    )
)
_INTERRUPT = Statement(
    sa.text(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE application_name LIKE :names AND datname = current_database() AND pid <> pg_backend_pid()"
    )
)
_PATIENT = Statement(sa.text("SELECT set_config('lock_timeout', :milliseconds, true)"))
_END = Statement(
    sa.text(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE application_name = :name AND pid <> pg_backend_pid() AND wait_event = 'ClientRead'"
    )
)
_WAIT = Statement(sa.text("SELECT revision FROM counter WHERE id = 1 FOR UPDATE"))
_CONFIRM = Statement(sa.text("UPDATE writer SET at = at WHERE name = :name AND attempt = :attempt"))

WAITING = (_FORGET, _NOTE)
"""As of `Session`."""


class Attempts:
    """Of the writer that has this session."""

    def __init__(self, session: Session) -> None:
        """session: by its name its connections are known to be this writer's; see `new_name`."""
        self._session = session
        self._number = 0

    def note(self) -> None:
        """In a transaction: this is the next one."""
        if self._session.sqlite:
            return
        if not self._number:
            self._session.later(_FORGET)  # writers of old; the present ones ask within seconds
        self._number += 1
        self._session.later(_NOTE, name=self._session.name, attempt=self._number)

    def took_place(self, lost: Uncertain) -> bool:
        """Whether the last one did. Raises what it was lost with if that cannot be found out in time."""
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                return self._ask()
            except (Unavailable, self._session.database.driver.Error) as error:
                if time.monotonic() + RETRY_SECONDS > deadline:
                    raise lost from error
                time.sleep(RETRY_SECONDS)

    def _ask(self) -> bool:
        session = self._session
        with session.transaction(session.database.begin_write, (_PATIENT, {"milliseconds": str(TURN_MILLISECONDS)})):
            session.all(_END, name=session.name)
            session.all(_WAIT)
            return session.execute(_CONFIRM, name=session.name, attempt=self._number) == 1


def new_name() -> str:
    """For a writer's session."""
    return NAMES.replace("%", str(uuid4()))


def interrupt(session: Session) -> None:
    """All writers: each begins anew, remembering nothing. In a transaction that has the counter row locked, so that
    none of them is in a commit: no request fails, those that wait are run again (`Lost`)."""
    if not session.sqlite:
        session.all(_INTERRUPT, names=NAMES)
