"""Which database it is and how to connect to it. The only module that knows the two apart beside the SQL itself.

SQLite is the embedded default: one file, write-ahead log, every commit on disk before it is answered, one process (a
lock beside the file sees to it). PostgreSQL is for more than one process or machine.
"""

import fcntl
import os
import re
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

OLDEST_SQLITE = (3, 38)  # the first that takes `->` out of JSON
BUSY_SECONDS = 2.0  # how long a statement waits for another program that holds the SQLite file
CONNECT_SECONDS = 5
LOCK_SECONDS = 10  # for which a PostgreSQL statement waits for another transaction
IDLE_SECONDS = 5  # after which PostgreSQL ends a transaction whose server says nothing
NAME = "vaportrail"

SQLITE_SETUP = (
    "pragma journal_mode=wal",
    "pragma synchronous=full",
    "pragma foreign_keys=on",
    # KiB. The system keeps the file's pages as well. A greater cache costs more than it saves: a reader drops it
    # whenever somebody has written, and a commit that has split a page goes through all its places (pages are exchanged
    # through the number of the lock page, which is beyond the file's end, and what is beyond that is looked for).
    "pragma cache_size=-8192",
)
POSTGRESQL_SETUP = (
    # Statements are few and sent often: planning them anew or compiling them costs more than it saves.
    "set plan_cache_mode=force_generic_plan",
    "set jit=off",
    # They may be planned while a table is almost empty. To look through it is cheap then, and dear when it is full.
    "set enable_seqscan=off",
    # A server that was stopped or cut off in a transaction must not stop the others for good.
    f"set lock_timeout='{LOCK_SECONDS}s'",
    f"set idle_in_transaction_session_timeout='{IDLE_SECONDS}s'",
    "set tcp_keepalives_idle=10",
    "set tcp_keepalives_interval=5",
    "set tcp_keepalives_count=2",
    "set tcp_user_timeout='20s'",
)


POSTGRESQL_CONNECT = {
    "connect_timeout": CONNECT_SECONDS,
    # A peer that is gone without a word is noticed after 20 s.
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 2,
    "tcp_user_timeout": 20_000,  # ms
    "application_name": NAME,
}


class UnusableDatabase(Exception):
    """The database cannot serve; the text is a sentence for the operator."""


def parse(url: str) -> sa.URL:
    """A database's URL. Several hosts may stand in it as libpq takes them, `USER@HOST:PORT,HOST:PORT/NAME`: they are
    tried in turn. UnusableDatabase if it makes no sense."""
    scheme, _, rest = url.partition("://")
    authority, slash, path = rest.partition("/")
    user, at, hosts = authority.rpartition("@")
    if "," in hosts:
        name, _, query = path.partition("?")
        url = f"{scheme}://{user}{at}{slash}{name}?" + "&".join([*(f"host={host}" for host in hosts.split(",")), query])
    try:
        return sa.make_url(url)
    except (ArgumentError, ValueError) as error:
        raise UnusableDatabase(f"'{_shown(url)}' is no database URL, such as sqlite:///vaportrail.db") from error


def _shown(url: str) -> str:
    """A password is told to nobody."""
    return re.sub(r":[^:/@]*@", ":***@", url)


@dataclass(frozen=True, slots=True)
class Database:
    """A database by its URL: `sqlite:///relative.db`, `sqlite:////absolute.db` or `postgresql://user@host:port/name`
    (see `parse`)."""

    engine: sa.Engine

    @classmethod
    def at(cls, url: str) -> "Database":
        """UnusableDatabase if the URL makes no sense. Connects to nothing yet."""
        parsed = parse(url)
        match parsed.get_backend_name():
            case "sqlite":
                if sqlite3.sqlite_version_info < OLDEST_SQLITE:
                    text = ".".join(map(str, OLDEST_SQLITE))
                    raise UnusableDatabase(f"SQLite {sqlite3.sqlite_version} is too old: {text} or later is needed")
                if parsed.database in {None, "", ":memory:"}:
                    raise UnusableDatabase("A database in memory keeps nothing: give a file, sqlite:///vaportrail.db")
                arguments: dict[str, Any] = {
                    "isolation_level": None,
                    "timeout": BUSY_SECONDS,
                    "check_same_thread": False,  # closed by another thread than the one that works with it
                    "cached_statements": 512,
                }
            case "postgresql" | "postgres":
                parsed = parsed.set(drivername="postgresql+psycopg")
                arguments = POSTGRESQL_CONNECT
            case other:
                raise UnusableDatabase(f"{other} is not supported: use sqlite or postgresql")
        try:
            return cls(sa.create_engine(parsed, poolclass=sa.NullPool, connect_args=arguments))
        except (ArgumentError, ValueError) as error:
            raise UnusableDatabase(f"'{_shown(url)}' is no database URL: {error}") from error

    @property
    def sqlite(self) -> bool:
        return self.engine.dialect.name == "sqlite"

    @property
    def dialect(self) -> sa.Dialect:
        """In which statements are written; on PostgreSQL with its own parameters, $1 and so on."""
        kind: Any = type(self.engine.dialect)
        return self.engine.dialect if self.sqlite else kind(paramstyle="numeric_dollar")

    @property
    def begin_read(self) -> str:
        """Begins a transaction that sees one state of all, and changes nothing."""
        return "begin" if self.sqlite else "begin isolation level repeatable read, read only"

    @property
    def begin_write(self) -> str:
        """Begins one that writes. On PostgreSQL it waits for other writers with its first statement, and sees all that
        they did."""
        return "begin immediate" if self.sqlite else "begin isolation level read committed"

    @property
    def path(self) -> Path:
        """The SQLite file."""
        return Path(str(self.engine.url.database)).absolute()

    @property
    def conninfo(self) -> dict[str, Any]:
        """How libpq connects to it."""
        return {**self.engine.dialect.create_connect_args(self.engine.url)[1], **POSTGRESQL_CONNECT}

    @property
    def driver(self) -> Any:
        """The driver's module: its `Error` and `IntegrityError`."""
        return self.engine.dialect.dbapi

    def connect(self, name: str = NAME) -> Any:
        """A new driver connection, set up, in autocommit mode: transactions are begun and ended by statements.

        name: what PostgreSQL shows of it.
        """
        pooled = self.engine.raw_connection()
        connection: Any = pooled.driver_connection
        pooled.detach()  # nobody else ends it
        if not self.sqlite:
            connection.autocommit = True
            connection.execute("; ".join((*POSTGRESQL_SETUP, f"set application_name='{name}'")), prepare=False)
        else:
            for line in SQLITE_SETUP:
                connection.execute(line)
        return connection

    def check_sessions(self) -> None:
        """That a connection to PostgreSQL is a session of it; UnusableDatabase if a pooler lends one to whoever has a
        statement. What is set, prepared or listened to would be another client's."""
        if self.sqlite:
            return
        with closing(self.connect()) as one, closing(self.connect()) as other:
            served = [each.execute("select pg_backend_pid()", prepare=False).fetchone()[0] for each in (one, other) * 2]
        if served[0] == served[1] or served[:2] != served[2:]:
            raise UnusableDatabase(
                "A pooler stands before the database and shares its connections (PgBouncer with pool_mode=transaction "
                "or statement): use pool_mode=session, or PostgreSQL itself"
            )

    def claim(self) -> int | None:
        """Make this process the only one that serves a SQLite file: watchers hear only of its writes.

        Returns the descriptor that holds the claim, None on PostgreSQL. The system gives it up with the process.
        """
        if not self.sqlite:
            return None
        lock = self.path.with_name(self.path.name + ".lock")
        try:
            descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise UnusableDatabase(f"The database {self.path} cannot be opened: {error.strerror}") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(descriptor)
            raise UnusableDatabase(
                f"The database {self.path} is served by another process; SQLite has one server, PostgreSQL several"
            ) from error
        return descriptor

    def explain(self, error: Exception) -> UnusableDatabase:
        """Why it cannot be reached, without the password and in one line."""
        cause = error.orig if isinstance(error, SQLAlchemyError) and hasattr(error, "orig") else error
        reason = " ".join(str(cause).split())
        where = self.path if self.sqlite else self.engine.url.render_as_string(hide_password=True)
        return UnusableDatabase(f"The database {where} cannot be used: {reason}")
