"""What goes to PostgreSQL and comes back: statements prepared once, any number of them in one round trip.

psycopg makes the connection, its errors and Python's values of rows. The statements themselves go through libpq, whose
pipeline costs a third of psycopg's cursor for one statement, a tenth for each of several. It ends with a Sync and
nothing behind it, unlike psycopg's: PostgreSQL has begun by then to count the time that a transaction is idle, and
stops at the next message, whatever it is. A client that vanished then would keep its transaction and its locks.
"""

from collections.abc import Sequence
from select import POLLIN, POLLOUT, poll
from typing import Any

from psycopg import Connection, DataError, OperationalError
from psycopg.adapt import Transformer
from psycopg.errors import error_from_result
from psycopg.postgres import types
from psycopg.pq import ConnStatus, ExecStatus
from psycopg.pq.abc import PGconn, PGresult

Query = tuple[str, Sequence[Any]]
"""A statement with $1, $2, ... and its values: text, numbers, None."""

INTEGER, UNKNOWN = types["int8"].oid, 0
"""Types of values. Numbers are told for what they are, or `$1 + $2` would have none."""

SILENCE = 60.0
"""Seconds after which a server that says nothing is taken for gone. None of our statements takes as long: what waits
longest, for a lock, gives up by itself."""


class Wire:
    """A connection in autocommit mode. Used by one thread at a time."""

    def __init__(self, connection: Connection[Any]) -> None:
        self._connection: PGconn = connection.pgconn
        self._loader = Transformer(connection)
        self._names: dict[str, bytes] = {}  # of what is prepared, by its text
        self._number = 0
        self._readable, self._either = poll(), poll()
        self._readable.register(self._connection.socket, POLLIN)
        self._either.register(self._connection.socket, POLLIN | POLLOUT)

    def exchange(self, queries: Sequence[Query]) -> list[PGresult]:
        """The result of each, in one round trip. Raises the error of the first that fails; those behind it are not
        done, and outside a transaction those before it neither. An error that is not the server's answer closes the
        connection, but for a value that cannot be sent: nothing was."""
        texts = [[_text(value) for value in values] for _, values in queries]
        try:
            prepared = self._send(queries, texts)
            answers = self._answers()
        except BaseException:
            self._connection.finish()
            raise
        failed = next((answer for answer in answers if answer.status in FAILED), None)
        if failed is not None:
            for query, answer in zip(prepared, answers, strict=True):
                if query and answer.status != ExecStatus.COMMAND_OK:
                    del self._names[query]
            raise error_from_result(failed)
        return [answer for query, answer in zip(prepared, answers, strict=True) if not query]

    def rows(self, result: PGresult) -> list[Sequence[Any]]:
        self._loader.set_pgresult(result)
        return self._loader.load_rows(0, result.ntuples, tuple)

    def _send(self, queries: Sequence[Query], texts: Sequence[Sequence[bytes | None]]) -> list[str]:
        """For each answer that there will be: the statement that it prepares, or "" for what one has done."""
        connection, prepared = self._connection, list[str]()
        connection.enter_pipeline_mode()
        for (query, values), sent in zip(queries, texts, strict=True):
            name = self._names.get(query)
            if name is None:
                self._number += 1
                name = self._names[query] = b"s%d" % self._number
                kinds = [INTEGER if type(value) is int else UNKNOWN for value in values]
                connection.send_prepare(name, query.encode(), kinds)
                prepared.append(query)
            connection.send_query_prepared(name, sent)
            prepared.append("")
        connection.pipeline_sync()
        return prepared

    def _answers(self) -> list[PGresult]:
        """All up to the Sync."""
        connection, answers = self._connection, list[PGresult]()
        while True:
            while connection.is_busy():
                if not (self._either if connection.flush() else self._readable).poll(SILENCE * 1000):
                    raise OperationalError(f"PostgreSQL has said nothing for {SILENCE:g} s")
                connection.consume_input()
            answer = connection.get_result()
            if answer is None:
                if connection.status == ConnStatus.BAD:
                    raise OperationalError(connection.get_error_message())
            elif answer.status == ExecStatus.PIPELINE_SYNC:
                connection.exit_pipeline_mode()
                return answers
            else:
                answers.append(answer)


FAILED = frozenset({ExecStatus.FATAL_ERROR, ExecStatus.PIPELINE_ABORTED, ExecStatus.BAD_RESPONSE})


def _text(value: Any) -> bytes | None:
    """As libpq takes it, which ends a text at NUL."""
    if value is None:
        return None
    text = value if type(value) is str else str(value)
    if "\0" in text:
        raise DataError("PostgreSQL text fields cannot contain NUL (0x00) bytes")
    return text.encode()
