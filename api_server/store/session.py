"""One driver connection: statements compiled once, inserts that wait and go out together, transactions.

Executing a SQLAlchemy construct costs more than SQLite needs to run it, so Core describes the statements and the
driver sends them. What waits is sent before any statement that could see it, and at the latest with the commit.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from itertools import count, groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson
import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.expression import ColumnElement, Executable
from sqlalchemy.sql.functions import FunctionElement

from api_server.errors import Unavailable, one_line
from api_server.store.engine import NAME, Database

if TYPE_CHECKING:
    from psycopg.pq.abc import PGresult

    from api_server.store.wire import Query, Wire

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


Bound = tuple[Statement, Mapping[str, Any]]
"""A statement and its values, by name."""


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


class each_of(FunctionElement[str]):  # noqa: N801
    """The values of an array, to select from: `each_of("array").table_valued("value", name="value")`."""

    inherit_cache = False

    def __init__(self, array: str) -> None:
        super().__init__(sa.bindparam(array))


@compiles(each_of, "sqlite")
def _each_of_sqlite(element: each_of, compiler: SQLCompiler, **options: Any) -> str:
    return f"json_each({compiler.process(element.clauses)})"


@compiles(each_of, "postgresql")
def _each_of_postgresql(element: each_of, compiler: SQLCompiler, **options: Any) -> str:
    return f"unnest(CAST({compiler.process(element.clauses)} AS text[]))"


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
        self.dialect = database.dialect
        self.sqlite = database.sqlite
        self.sent = 0
        self.discard = False
        self.loaded = 0
        self.pid = 0
        self.waiting: dict[Statement, list[dict[str, Any]]] = {statement: [] for statement in order}
        self._connection: Any = None
        self._cursor: Any = None  # of SQLite
        self._wire: Wire | None = None  # to PostgreSQL
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
        return self.together([(statement, values)])[0]

    def together(self, statements: Sequence[Bound]) -> list[list[Row]]:
        """The rows of each, as `all` gives them. On PostgreSQL it is one round trip, which the first error ends."""
        if self._wire is not None:
            return [self._wire.rows(result) for result in self._exchange(*statements)]
        found = []
        for statement, values in statements:
            text, order, fixed = statement.on(self.dialect)
            found.append(self._cursor.execute(text, _bind(order, fixed, values)).fetchall())
        return found

    def stream(self, statement: Statement, **values: Any) -> Iterator[Row]:
        """The rows of any number, `BATCH` of them at a time; in a transaction, which changes none of them meanwhile."""
        self.flush()
        if self._wire is None:
            cursor = self._connection.cursor()
        else:
            cursor = self.database.driver.RawServerCursor(self._connection, f"stream_{next(self._streams)}")
        with closing(cursor):
            text, order, fixed = statement.on(self.dialect)
            cursor.execute(text, _bind(order, fixed, values))
            while rows := cursor.fetchmany(BATCH):
                yield from rows

    def execute(self, statement: Statement, **values: Any) -> int:
        """Change rows at once, after what waits; returns how many."""
        if self.sqlite:
            self.flush()
        return self._change([*self._taken(), (statement, values)])

    def execute_many(self, statement: Statement, rows: Sequence[dict[str, Any]]) -> None:
        """`execute` once for each of `rows`; none: nothing is sent."""
        self._change([*self._taken(), *((statement, values) for values in rows)])

    def later(self, statement: Statement, **values: Any) -> None:
        self.waiting[statement].append(values)

    def flush(self) -> None:
        self._change(self._taken())

    def _taken(self) -> list[Bound]:
        """What waits, in order, and waits no more."""
        taken: list[Bound] = [(statement, values) for statement, rows in self.waiting.items() for values in rows]
        for rows in self.waiting.values():
            rows.clear()
        return taken

    def _change(self, changes: Sequence[Bound]) -> int:
        """In one round trip; returns how many rows the last one changed (on SQLite: all of the last statement)."""
        if not changes:
            return 0
        self.sent += len(changes)
        if self._wire is not None:
            return self._exchange(*changes)[-1].command_tuples or 0
        for statement, group in groupby(changes, itemgetter(0)):
            text, order, fixed = statement.on(self.dialect)
            rows = [_bind(order, fixed, values) for _, values in group]
            if len(rows) == 1:
                self._cursor.execute(text, rows[0])
            else:
                self._cursor.executemany(text, rows)
        return self._cursor.rowcount  # type: ignore[no-any-return]

    def _exchange(self, *statements: Bound | str) -> "list[PGresult]":
        """With PostgreSQL; see `Wire.exchange`."""
        assert self._wire is not None
        queries: list[Query] = []
        for one in statements:
            if isinstance(one, str):
                queries.append((one, ()))
            else:
                text, order, fixed = one[0].on(self.dialect)
                queries.append((text, _bind(order, fixed, one[1])))
        return self._wire.exchange(queries)

    def _tell(self, command: str) -> None:
        if self._wire is None:
            self._cursor.execute(command)
        else:
            self._wire.exchange([(command, ())])

    # --- transactions

    @contextmanager
    def transaction(self, begin: str, *first: Bound) -> Iterator[list[list[Row]]]:
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
                self._tell("rollback")
                return
            committing = self._alive()
            self._commit()
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
        self._tell("savepoint part")
        try:
            yield
            self.flush()
        except BaseException as error:
            for rows in self.waiting.values():
                rows.clear()
            try:
                self._tell("rollback to savepoint part")
                self._tell("release savepoint part")
            except self.database.driver.Error:
                raise Ended(f"The database could not do it: {one_line(error)}") from error
            self.sent = sent
            raise
        self._tell("release savepoint part")

    # --- the connection

    def connect(self) -> None:
        """Lost if it cannot."""
        if self._connection is None:
            try:
                self._connection = self.database.connect(self.name)
            except (sa.exc.DBAPIError, self.database.driver.Error) as error:
                raise Lost("The database is away", str(self.database.explain(error))) from error
            if self.sqlite:
                self._cursor = self._connection.cursor()
            else:
                from api_server.store.wire import Wire  # noqa: PLC0415 - SQLite needs nothing of psycopg

                self._wire = Wire(self._connection)
                self.pid = self._connection.info.backend_pid

    def usable(self) -> bool:
        """Whether the connection stands, outside a transaction; if not, it is closed and the next use makes another."""
        return self._rollback()

    def close(self) -> None:
        if self._connection is not None:
            connection, self._connection, self._cursor, self._wire = self._connection, None, None, None
            connection.close()

    def _start(self, begin: str, first: Sequence[Bound]) -> list[list[Row]]:
        if self._wire is not None:
            return [self._wire.rows(result) for result in self._exchange(begin, *first)[1:]]
        self._connection.execute(begin)
        return self.together(first)

    def _commit(self) -> None:
        """With what waits."""
        if self._wire is None:
            self.flush()
            self._connection.execute("commit")
        elif self._exchange(*self._taken(), "commit")[-1].command_status != b"COMMIT":
            raise self.database.driver.DatabaseError("the transaction had failed before its commit")

    def _forget(self) -> None:
        self.sent = 0
        self.discard = False
        for rows in self.waiting.values():
            rows.clear()

    def _alive(self) -> bool:
        return self._connection is not None and (self.sqlite or not self._connection.closed)

    def _rollback(self) -> bool:
        """Whether nothing of the transaction is left and the connection is usable; if not, it is closed."""
        if self._alive():
            try:
                if self.sqlite and not self._connection.in_transaction:
                    return True  # ended already: it never began, or the error ended it
                self._tell("rollback")
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
