"""Blockers: whose transaction keeps the writers of a PostgreSQL database waiting, when it does so for too long.

A server that hangs, or is cut off where nobody tells PostgreSQL (a proxy that keeps its own end open), can leave a
transaction behind that has the counter row locked. PostgreSQL ends one that waits for the client's next statement
(`idle_in_transaction_session_timeout`), and a connection whose other machine is gone. It does not end one that was left
in the middle of statements sent together, which it takes for work, nor one whose last word was a Flush, as psycopg's
is behind several rows. So a writer that has waited in vain ends it, if it is another writer's and has waited for its
client for longer than a living one ever does.

Whatever waits for something else is left alone, and named. A commit that waits for a standby has happened here: nobody
may see it before the standby has it, and it cannot be taken back.
"""

import sqlalchemy as sa
import structlog

from api_server.errors import Unavailable
from api_server.store.attempts import NAMES
from api_server.store.engine import IDLE_SECONDS
from api_server.store.session import Row, Session, Statement

log = structlog.get_logger()

LOCKED = "55P03"
"""PostgreSQL's code for a lock that was waited for in vain."""

_HOLDERS = Statement(
    sa.text(
        "SELECT pid, application_name, state, wait_event, CAST(extract(epoch FROM now() - xact_start) AS integer), "
        "application_name LIKE :writers AND usename = current_user AND wait_event_type = 'Client' "
        "AND state_change < now() - make_interval(secs => :idle) "
        "FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type IS DISTINCT FROM 'Lock' "
        "AND pid IN (SELECT pid FROM pg_locks WHERE relation = CAST('counter' AS regclass) "
        "AND mode NOT IN ('AccessShareLock', 'ShareUpdateExclusiveLock')) AND pid <> pg_backend_pid()"
    )
)
_END = Statement(sa.text("SELECT pg_terminate_backend(CAST(:pid AS integer))"))


def resolve(session: Session, refused: Unavailable) -> Unavailable | None:
    """What a writer is answered that did not get the lock: with who has it; None if it may try again, because that one
    is ended. Anything else that it was refused with is given back."""
    if getattr(refused.__cause__, "sqlstate", None) != LOCKED:
        return refused
    try:
        holders = session.all(_HOLDERS, writers=NAMES, idle=IDLE_SECONDS)
        abandoned = [holder for holder in holders if holder[-1]]
        for holder in abandoned:
            log.warning("transaction ended that its server has left", holder=_named(holder))
            session.all(_END, pid=holder[0])
    except session.database.driver.Error:
        return refused
    if abandoned or not holders:
        return None
    told = Unavailable("The database is locked by another writer", "; ".join(map(_named, holders)))
    told.__cause__ = refused
    return told


def _named(holder: Row) -> str:
    pid, name, state, waits_for, seconds, _ = holder
    waits = f", waits for {WAITS.get(waits_for, waits_for)}" if waits_for else ""
    return f"PostgreSQL process {pid} ({name or 'no name'}), {state}, begun {seconds} s ago{waits}"


WAITS = {"ClientRead": "its client", "SyncRep": "a standby (synchronous_standby_names)"}
"""In words, what most transactions wait for."""
