"""The writer: what has queued up is one group, one database transaction, one commit.

A group is first run without savepoints. A request that fails before anything of its own was sent drops out of it; any
other failure rolls the group back, and it is run again with a savepoint for each request. The first statement of every
group takes the group's revisions from the counter row, which stays locked until the commit: writers are serial in all
processes, commit order is revision order, and what is not used is given back, so revisions have no gaps. As long as a
writer finds the counter where it left it, it goes on from what it has read and written: nobody else has changed it.

A connection that is lost before the commit leaves nothing: the group is run again. One that is lost during the commit
leaves a question, which the database answers (`attempts`): the group is answered as it was, or run again. If it does
not in time, those requests are told that nobody knows, and never run again.
"""

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from api_server.errors import ApiError, Conflict, Unavailable, one_line
from api_server.store import attempts, blockers, loading, names
from api_server.store.attempts import Attempts
from api_server.store.concerns import ScopeChange
from api_server.store.engine import Database
from api_server.store.events import Event
from api_server.store.notices import announce
from api_server.store.session import Ended, Lost, Session, Statement, Uncertain
from api_server.store.tables import counter
from api_server.store.transaction import WAITING, Transaction
from api_server.store.view import Known

_TAKE = Statement(
    counter.update()
    .where(counter.c.id == 1)
    .values(revision=counter.c.revision + sa.bindparam("number"))
    .returning(counter.c.revision)
)
_GIVE_BACK = Statement(counter.update().where(counter.c.id == 1), ("revision",))
CHANNEL = "vaportrail"
"""On PostgreSQL each commit is announced here, with its last revision: a hint for the other processes' feeds."""

MEMORY = 2048
"""Facts that are remembered from one group to the next, ..."""

MEMORY_SIZE = 4_000_000
"""... which were so many characters of JSON."""


@dataclass(frozen=True, slots=True)
class Write:
    """A request: `call` with a transaction made for it. rehearsal: its result is wanted, its changes are not.
    seeks: (type, joined fq_name) of objects that it is going to look for, with all others of its group at once."""

    call: Callable[[Transaction], Any]
    request_id: str = ""
    user: str = ""
    base_url: str = ""
    rehearsal: bool = False
    seeks: Collection[tuple[str, str]] = ()


class Rehearsed(Exception):
    """Ends the savepoint of a rehearsal, with its result."""

    def __init__(self, result: Any) -> None:
        self.result = result


@dataclass(slots=True)
class Counts:
    """groups: commits. writes: requests in them. refused: requests that failed. reruns: groups run a second time."""

    groups: int = 0
    writes: int = 0
    refused: int = 0
    reruns: int = 0
    reads: int = 0
    events: int = 0


class Clock:
    """Naive UTC in microseconds, ISO 8601; every reading is later than the one before."""

    def __init__(self) -> None:
        self._last = 0

    def __call__(self) -> str:
        self._last = max(time.time_ns() // 1000, self._last + 1)
        return (_EPOCH + timedelta(microseconds=self._last)).isoformat(timespec="microseconds")


_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - Contrail's times are naive UTC


@dataclass(slots=True)
class _Group:
    """What a run of a group has come to."""

    revision: int  # the last one used
    known: Known
    answers: list[Any] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    scope_changes: list[ScopeChange] = field(default_factory=list)

    def accept(self, tx: Transaction, result: Any) -> None:
        if tx.events:
            self.revision = tx.revision
            self.events += tx.events
            self.scope_changes += tx.scope_changes
        self.known.merge(tx.known)
        self.answers.append((result, self.revision))


def _sought(writes: Sequence[Write], known: Known) -> dict[str, list[str]]:
    """What some writes seek and is not known, by type: each type is one statement."""
    sought: dict[str, dict[str, None]] = {}
    for write in writes:
        for kind, fq_name in write.seeks:
            if (kind, fq_name) not in known.uuids and names.storable(fq_name + kind):
                sought.setdefault(kind, {})[fq_name] = None
    return {kind: list(fq_names) for kind, fq_names in sought.items()}


class Writer:
    """Runs groups of writes in one session. published: gets the events of each group after its commit, and what became
    of them for each scope. known: what holds for the next group, too, if no other process writes before it."""

    def __init__(
        self, database: Database, counts: Counts, published: Callable[[list[Event], list[ScopeChange]], None]
    ) -> None:
        self._session = Session(database, (*WAITING, _GIVE_BACK, *attempts.WAITING), attempts.new_name())
        self._attempts = Attempts(self._session)
        self._counts = counts
        self._published = published
        self._driver = database.driver
        self._clock = Clock()
        self._begin = database.begin_write
        self.known = Known.nothing()
        self._revision = -1

    def close(self) -> None:
        self._session.close()

    def wrote(self, pid: int) -> bool:
        """Whether what this process of PostgreSQL announces was `published` here, or is about to be."""
        return pid == self._session.pid

    def run(self, writes: Sequence[Write]) -> list[Any]:
        """An answer for each: (result, revision) or an exception."""
        try:
            group = self._first(writes)
        except Unavailable as error:
            group = None
            answers: list[Any] = [error] * len(writes)
        if group is not None:
            answers = group.answers
            if group.events:
                self._published(group.events, group.scope_changes)
                self._counts.events += len(group.events)
        self._counts.groups += 1
        self._counts.writes += len(writes)
        self._counts.refused += sum(isinstance(answer, BaseException) for answer in answers)
        return answers

    def _first(self, writes: Sequence[Write]) -> _Group:
        """All in one go; else each on its own. Unavailable if the database is away or the outcome unknown."""
        for last in (False, True):
            try:
                return self._together(writes)
            except Lost:
                if last:
                    raise
                continue  # the connection was a stale one: nothing is done yet, a new one may do it
            except Unavailable as error:
                told = blockers.resolve(self._session, error)
                if told is None and not last:
                    continue  # who was in the way is gone
                raise told or error  # noqa: B904 - it is the same refusal, or says of which it is the answer
            except Exception:  # noqa: BLE001 - whatever it was, each request hears of its own below
                break
        self._counts.reruns += 1
        try:
            return self._apart(writes)
        except Unavailable:
            raise
        except Exception as error:
            raise Unavailable(f"The database could not commit: {error}") from error

    def _together(self, writes: Sequence[Write]) -> _Group:
        session = self._session
        with self._transaction(writes) as group:
            for write in writes:
                if write.rehearsal:
                    self._alone(group, write)
                    continue
                sent, lengths = session.sent, [len(rows) for rows in session.waiting.values()]
                tx = self._request(group, write)
                try:
                    result = write.call(tx)
                    tx.finish()
                except Exception as error:
                    # On PostgreSQL any error of the database ends the transaction, a failed read included.
                    if isinstance(error, self._driver.Error):
                        raise
                    if session.sent - sent == sum(lengths):  # a read has sent what waited, of those before it
                        lengths = [0] * len(lengths)
                    elif session.sent != sent:
                        raise
                    for rows, length in zip(session.waiting.values(), lengths, strict=True):
                        del rows[length:]
                    group.answers.append(error)
                else:
                    group.accept(tx, result)
        return group

    def _apart(self, writes: Sequence[Write]) -> _Group:
        with self._transaction(writes) as group:
            for write in writes:
                self._alone(group, write)
        return group

    def _alone(self, group: _Group, write: Write) -> None:
        """In a savepoint of its own, which a failure ends, and a rehearsal too."""
        tx = self._request(group, write)
        try:
            with self._session.savepoint():
                result = write.call(tx)
                if write.rehearsal:
                    self._session.flush()  # what the database has to say of it
                    raise Rehearsed(result)
                tx.finish()
        except Ended:
            raise
        except Rehearsed as rehearsed:
            group.answers.append((rehearsed.result, group.revision))
        except Exception as error:  # noqa: BLE001 - it is this request's answer
            group.answers.append(self._told(error))
        else:
            group.accept(tx, result)

    @contextmanager
    def _transaction(self, writes: Sequence[Write]) -> Iterator[_Group]:
        """A transaction with a revision at hand for each; those that are not used go back. Lost if it did not take
        place: it may run again."""
        session, number = self._session, len(writes)
        known, self.known = self.known, Known.nothing()
        sought = _sought(writes, known)
        finding = [
            (loading.UUIDS_OF, {"type": kind, "fq_names": session.array(fq_names)}) for kind, fq_names in sought.items()
        ]
        try:
            with session.transaction(self._begin, (_TAKE, {"number": number}), *finding) as (taken, *found):
                last = int(taken[0][0])
                if last - number != self._revision:
                    known.forget()  # another process has written
                for kind, rows in zip(sought, found, strict=True):
                    known.uuids.update({(kind, fq_name): uuid for fq_name, uuid in rows})
                group = _Group(last - number, known)
                yield group
                if not group.events and not session.sent:
                    session.discard = True
                else:
                    if group.revision != last:
                        session.later(_GIVE_BACK, revision=group.revision)
                    if group.events:
                        announce(session, CHANNEL, group.revision)
                    self._attempts.note()
        except Uncertain as lost:
            if not self._attempts.took_place(lost):
                raise Lost("The database went away during a commit, which did not take place") from lost
        self._revision = group.revision
        if known.size < MEMORY and session.loaded < MEMORY_SIZE:
            self.known = known
        else:
            session.loaded = 0

    def _request(self, group: _Group, write: Write) -> Transaction:
        return Transaction(
            self._session,
            group.known.branch(),
            revision=group.revision + 1,
            now=self._clock(),
            request_id=write.request_id,
            user=write.user,
            base_url=write.base_url,
        )

    def _told(self, error: Exception) -> Exception:
        """What a request hears of an error of the database."""
        if isinstance(error, ApiError) or not isinstance(error, self._driver.Error):
            return error
        if isinstance(error, self._driver.IntegrityError):
            told: ApiError = Conflict(f"Refused by the database's integrity rules: {one_line(error)}")
        else:
            told = Unavailable(f"The database could not do it: {one_line(error)}")
        told.__cause__ = error
        return told
