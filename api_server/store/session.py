"""One driver connection: statements compiled once, inserts that wait and go out together, transactions.

Executing a SQLAlchemy construct costs more than SQLite needs to run it, so Core describes the statements and the
driver sends them. What waits is sent before any statement that could see it, and at the latest with the commit.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, nullcontext
from itertools import count
from typing import Any, NamedTuple

import orjson
import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.expression import ColumnElement, Executable

from api_server.errors import Unavailable, one_line
from api_server.store.engine import NAME, Database

Row = Sequence[Any]

BATCH = 500
"""Rows of a stream that are in memory at once."""


class Lost(Unavailable):
    """The connection is gone and nothing was committed: it may run again."""


class Uncertain(Unavailable):
    """The connection went during the commit: whether that took place is not known (`attempts` finds out)."""

    retry_after = None


class Ended(Unavailable):
    """An error ended the whole transaction (a full disk does): nothing of it is left, nothing more may be sent."""


class _Compiled(NamedTuple):
    text: str
    order: tuple[str, ...] | None  # of positional parameters; None: by name
    fixed: dict[str, Any]


class Statement:
    """A Core statement, compiled once per database. columns: of an insert or update that is given all of its values."""

    __slots__ = ("_compiled", "columns", "core")

    def __init__(self, core: Executable, columns: Sequence[str] | None = None) -> None:
        self.core = core
        self.columns = columns
        self._compiled: dict[str, _Compiled] = {}

    def on(self, dialect: sa.Dialect) -> _Compiled:
        found = self._compiled.get(dialect.name)
        if found is None:
            compiled = self.core.compile(dialect=dialect, column_keys=self.columns)  # type: ignore[attr-defined]
            order = tuple(compiled.positiontup) if compiled.positional else None
            given = {name for name, bind in compiled.binds.items() if bind.required}
            fixed = {name: value for name, value in compiled.params.items() if name not in given}
            found = self._compiled[dialect.name] = _Compiled(str(compiled), order, fixed)
        return found


class any_of(ColumnElement[Any]):  # noqa: N801 - reads as the SQL it makes
    """`column` is one of an array (`Session.array`) of any length, in one parameter."""

    inherit_cache = False
    type = sa.types.NULLTYPE  # a Boolean would be compared with 1 on SQLite

    def __init__(self, column: ColumnElement[Any], array: str) -> None:
        self.column = column
        self.array: sa.BindParameter[Any] = sa.bindparam(array)


@compiles(any_of, "sqlite")
def _any_of_sqlite(element: any_of, compiler: SQLCompiler, **options: Any) -> str:
    column, array = compiler.process(element.column), compiler.process(element.array)
    return f"{column} IN (SELECT value FROM json_each({array}))"  # noqa: S608 - made of compiled SQL


@compiles(any_of, "postgresql")
def _any_of_postgresql(element: any_of, compiler: SQLCompiler, **options: Any) -> str:
    return f"{compiler.process(element.column)} = ANY(CAST({compiler.process(element.array)} AS text[]))"


class Session:
    """A connection and its transaction. Used by one thread at a time; opens its connection when it needs one.

    sent: how many statements that change something have been sent in this transaction. discard: set it to end the
    present transaction without a commit. loaded: characters of JSON that objects were made of since it was set to 0.
    pid: of the process of PostgreSQL that serves it, or last did; for other threads to read, too.
    """

    def __init__(self, database: Database, order: Sequence[Statement] = (), name: str = NAME) -> None:
        """order: the statements that may wait (`later`), as the foreign keys want them to follow each other.
        name: PostgreSQL shows it."""
        self.database = database
        self.name = name
        self.dialect = database.engine.dialect
        self.sqlite = database.sqlite
        self.sent = 0
        self.discard = False
        self.loaded = 0
        self.pid = 0
        self.waiting: dict[Statement, list[dict[str, Any]]] = {statement: [] for statement in order}
        self._connection: Any = None
        self._cursor: Any = None
        self._plain: Any = None  # on PostgreSQL: for what is sent as a simple query, its values in it
        self._streams = count(1)

    # --- statements

    def array(self, values: Sequence[str]) -> str:
        """As `any_of` takes it: JSON, or an array literal, which psycopg would need twenty times as long to write. The
        two are the same between their brackets, but for what JSON escapes."""
        text = orjson.dumps(values).decode()
        if self.sqlite:
            return text
        if "\\" in text:
            escaped = [value.replace("\\", "\\\\").replace('"', '\\"') for value in values]
            return "{" + ",".join([f'"{value}"' for value in escaped]) + "}"
        return "{" + text[1:-1] + "}"

    def all(self, statement: Statement, **values: Any) -> list[Row]:
        """Rows of a statement that cannot see what waits; else call `flush` first."""
        return self._run(statement, values).fetchall()  # type: ignore[no-any-return]

    def stream(self, statement: Statement, **values: Any) -> Iterator[Row]:
        """The rows of any number, `BATCH` of them at a time; in a transaction, which changes none of them meanwhile."""
        self.flush()
        text, order, fixed = statement.on(self.dialect)
        name = {} if self.sqlite else {"name": f"stream_{next(self._streams)}"}  # one of the server's
        with closing(self._connection.cursor(**name)) as cursor:
            cursor.execute(text, _bind(order, fixed, values))
            while rows := cursor.fetchmany(BATCH):
                yield from rows

    def execute(self, statement: Statement, **values: Any) -> int:
        """Change rows at once, after what waits; returns how many."""
        self.flush()
        self.sent += 1
        return self._run(statement, values).rowcount  # type: ignore[no-any-return]

    def execute_many(self, statement: Statement, rows: Sequence[dict[str, Any]]) -> None:
        """`execute` once for each of `rows`; none: nothing is sent."""
        self.flush()
        self._send(statement, rows)

    def later(self, statement: Statement, **values: Any) -> None:
        self.waiting[statement].append(values)

    def flush(self) -> None:
        for statement, rows in self.waiting.items():
            if rows:
                self.waiting[statement] = []
                self._send(statement, rows)

    def _send(self, statement: Statement, rows: Sequence[dict[str, Any]]) -> None:
        self.sent += len(rows)
        if len(rows) == 1:
            self._run(statement, rows[0])
        elif rows:
            text, order, fixed = statement.on(self.dialect)
            self._cursor.executemany(text, [_bind(order, fixed, row) for row in rows])

    def _run(self, statement: Statement, values: Mapping[str, Any]) -> Any:
        text, order, fixed = statement.on(self.dialect)
        return self._cursor.execute(text, _bind(order, fixed, values))

    # --- transactions

    @contextmanager
    def transaction(self, begin: str, *first: tuple[Statement, Mapping[str, Any]]) -> Iterator[list[list[Row]]]:
        """One transaction; the rows of its first statements, which travel with its beginning.

        Raises Lost if the connection went before the commit was sent, Uncertain if it went during the commit, else what
        the driver or the block raised, rolled back.
        """
        begun = committing = False
        try:
            self.connect()
            self._forget()
            found = self._start(begin, first)
            begun = True
            yield found
            if self.discard:
                self._undo("rollback")
                return
            committing = self._alive()
            with self._pipeline():
                self.flush()
                ended = self._connection.execute("commit")
            if not self.sqlite and ended.statusmessage != "COMMIT":
                raise self.database.driver.DatabaseError("the transaction had failed before its commit")
        except BaseException as error:
            failed = isinstance(error, self.database.driver.Error)
            if self._rollback():
                if failed and not begun:
                    raise Unavailable(f"The database does not begin: {one_line(error)}") from error
                raise
            if committing:
                raise Uncertain(
                    "The database went away during a commit: whether it took place is unknown", one_line(error)
                ) from error
            if failed:
                raise Lost("The database is away", one_line(error)) from error
            raise
        finally:
            self._forget()

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """A part of a transaction that can fail alone; Ended if its failure took the transaction along."""
        self.flush()
        sent = self.sent
        self._cursor.execute("savepoint part")
        try:
            yield
            self.flush()
        except BaseException as error:
            for rows in self.waiting.values():
                rows.clear()
            try:
                self._undo("rollback to savepoint part")
                self._cursor.execute("release savepoint part")
            except self.database.driver.Error:
                raise Ended(f"The database could not do it: {one_line(error)}") from error
            self.sent = sent
            raise
        self._cursor.execute("release savepoint part")

    # --- the connection

    def connect(self) -> None:
        """Lost if it cannot."""
        if self._connection is None:
            try:
                self._connection = self.database.connect(self.name)
            except (sa.exc.DBAPIError, self.database.driver.Error) as error:
                raise Lost("The database is away", str(self.database.explain(error))) from error
            self._cursor = self._connection.cursor()
            if not self.sqlite:
                self._plain = self.database.driver.ClientCursor(self._connection)
                self.pid = self._connection.info.backend_pid

    def usable(self) -> bool:
        """Whether the connection stands, outside a transaction; if not, it is closed and the next use makes another."""
        return self._rollback()

    def close(self) -> None:
        if self._connection is not None:
            connection, self._connection, self._cursor, self._plain = self._connection, None, None, None
            connection.close()

    def _start(self, begin: str, first: Sequence[tuple[Statement, Mapping[str, Any]]]) -> list[list[Row]]:
        """All in one round trip: on PostgreSQL a query of several statements, not a pipeline. psycopg ends that with a
        Flush behind its Sync, and PostgreSQL, which has begun to count the time that the transaction is idle, stops at
        the next message, whatever it is: a client that vanished then would keep the transaction and its locks."""
        if self.sqlite:
            self._connection.execute(begin)
            return [self._run(statement, values).fetchall() for statement, values in first]
        texts = [begin]
        for statement, values in first:
            text, order, fixed = statement.on(self.dialect)
            texts.append(self._plain.mogrify(text, _bind(order, fixed, values)))
        self._plain.execute("; ".join(texts))
        return [self._plain.fetchall() for _ in first if self._plain.nextset()]

    def _pipeline(self) -> Any:
        """What is executed inside is one round trip."""
        return nullcontext() if self.sqlite else self._connection.pipeline()

    def _forget(self) -> None:
        self.sent = 0
        self.discard = False
        for rows in self.waiting.values():
            rows.clear()

    def _undo(self, rollback: str) -> None:
        """psycopg forgets all that it has prepared when it sees a ROLLBACK, in case a table went with it: ours stay."""
        if self.sqlite:
            self._cursor.execute(rollback)
            return
        result = self._connection.pgconn.exec_(rollback.encode())
        if result.status != self.database.driver.pq.ExecStatus.COMMAND_OK:
            raise self.database.driver.OperationalError(result.get_error_message())

    def _alive(self) -> bool:
        return self._connection is not None and (self.sqlite or not self._connection.closed)

    def _rollback(self) -> bool:
        """Whether nothing of the transaction is left and the connection is usable; if not, it is closed."""
        if self._alive():
            try:
                if self.sqlite and not self._connection.in_transaction:
                    return True  # ended already: it never began, or the error ended it
                self._undo("rollback")
            except self.database.driver.Error:
                pass
            else:
                return True
        self.close()
        return False


def _bind(order: tuple[str, ...] | None, fixed: dict[str, Any], values: Mapping[str, Any]) -> Any:
    if fixed:
        values = {**fixed, **values}
    return values if order is None else tuple([values[name] for name in order])
