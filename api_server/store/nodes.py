"""Nodes: who there is, how far each has come, and what its agent says of itself.

There are two ways to be one: a virtual-router object of that name, and an agent's report. Both are told, so a
virtual-router whose agent never came is seen, and so is an agent that nobody has an object for. A node goes when its
virtual-router is deleted, or by itself a day after it fell silent if it has none; an agent that is still there comes
back with its next report.

An agent that watches by scope (`scopes`) hears nothing of what does not concern them, so the revision it reports may be
old while it has all there is: what it lacks is asked of the log, by its scopes.

A report is no event and takes no revision, and one that changes no row of a status takes no stamp either: that a node
has come further is announced by itself, to those who wait for that.
"""

import time
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import orjson
import sqlalchemy as sa

from api_server.errors import BadRequest
from api_server.store import changes
from api_server.store.names import storable
from api_server.store.notices import announce
from api_server.store.session import Session, Statement, any_of
from api_server.store.tables import change, node, resource, status

STALE = 90.0
"""Seconds of silence after which a node is not believed any more: agents report every 30 s at least."""
FORGOTTEN = 24 * 3600.0
"""Seconds of silence after which a node's rows are forgotten, and the node with them if it has no virtual-router."""
MOST = 10_000
"""Nodes that are known at a time."""

BELIEVED, SILENT, LEFT = 0, 1, 2
"""What a node is, in its column `stale`; one that has left has no rows that say anything."""

CHANNEL = "vaportrail_node"
"""On PostgreSQL it is announced here that a node has come further, fallen silent, or come back."""
STEP = 1
"""The number that says so: which one does not matter."""

_n, _c, _r, _arg = node.c, change.c, resource.c, sa.bindparam

_KNOWN = Statement(sa.select(_n.revision, _n.stale).where(_n.name == _arg("of")))
_COUNT = Statement(sa.select(sa.func.count()).select_from(node))
_REPORTED = Statement(
    sa.text(
        "INSERT INTO node (name, revision, reached, reported, stale, agent, scopes) "
        "VALUES (:name, :revision, :reported, :reported, 0, COALESCE(:agent, '{}'), COALESCE(:scopes, 'null')) "
        "ON CONFLICT (name) DO UPDATE SET revision = excluded.revision, reported = excluded.reported, stale = 0, "
        "agent = COALESCE(:agent, node.agent), scopes = COALESCE(:scopes, node.scopes), "
        "reached = CASE WHEN node.revision = excluded.revision THEN node.reached ELSE excluded.reached END"
    )
)

_QUIET = Statement(
    sa.select(_n.name, _n.stale)
    .where(
        sa.or_(
            sa.and_(_n.stale == BELIEVED, _n.reported < _arg("silent")),
            sa.and_(_n.stale == SILENT, _n.reported < _arg("forgotten")),
        )
    )
    .order_by(_n.name)
)
_MARK = Statement(node.update().where(_n.name == _arg("of")), ("stale",))
# As if silent for ever: what else there is to do is done when silent nodes are looked for.
_FORGET = Statement(
    node.update()
    .where(_n.name == _arg("of"), _n.reported > 0)
    .values(
        revision=-1, reported=0, agent="{}", scopes="null", stale=sa.case((_n.stale == LEFT, SILENT), else_=_n.stale)
    )
)
_EMPTY = Statement(
    sa.select(_n.name, _n.reported).where(_n.stale == LEFT, ~sa.exists().where(status.c.node == _n.name))
)
_DISMISS = Statement(node.delete().where(any_of(_n.name, "gone")))

_ALL = Statement(
    sa.select(_n.name, _n.revision, _n.reached, _n.reported, _n.stale, _n.agent, _n.scopes)
    .where(_n.reported > 0)
    .order_by(_n.name)
)
_WRITTEN = Statement(
    sa.select(_c.at).where(_c.revision >= _arg("revision")).order_by(_c.revision, _c.sequence).limit(1)
)
_LEAST = Statement(sa.select(sa.func.min(_n.revision)).where(_n.stale == BELIEVED, _n.reported > 0))
_ROUTERS = Statement(sa.select(_r.uuid, _r.fq_name).where(_r.type == "virtual-router").order_by(_r.fq_name))


def now() -> int:
    """Milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def before(at: int, seconds: float) -> int:
    return at - int(seconds * 1000)


class Due(NamedTuple):
    """The first revision with something for a node that it has not applied. at: when that was written, ISO 8601, naive
    UTC; None if the log does not have it any more."""

    revision: int
    at: str | None


class Node(NamedTuple):
    """router: uuid of its virtual-router, if it has one. revision: that it has applied. reached: when that was
    reported first, reported: the last report, both in milliseconds since 1970; 0 if it never reported. agent: JSON,
    what its agent says of itself. due: None if it has applied all there is."""

    name: str
    router: str | None
    revision: int = 0
    reached: int = 0
    reported: int = 0
    stale: int = BELIEVED
    agent: str = "{}"
    scopes: int | None = None
    due: Due | None = None

    def has(self, revision: int) -> bool:
        """Whether what was written up to that revision, which is written, has arrived there."""
        return self.reported > 0 and (self.revision >= revision or self.due is None or self.due.revision > revision)

    def behind(self, newest: int) -> int:
        """Revisions since the first one with something that it has not applied, up to the last one there is."""
        return newest - self.due.revision + 1 if self.due else 0


class Heard(NamedTuple):
    """What a report says that is new. returned: the node was not believed. moved: worth an announcement."""

    returned: bool
    moved: bool


# --- in a write transaction


def hear(session: Session, name: str, revision: int, agent: str | None, scopes: str | None, at: int) -> Heard:
    """Take that a node is there, and how far. agent, scopes: None if that is as it was. BadRequest: there are too
    many."""
    known = session.all(_KNOWN, of=name)
    if not known and session.all(_COUNT)[0][0] >= MOST:
        raise BadRequest(f"Bad Request, node {name} would be one too many: there are {MOST}")
    was, stale = known[0] if known else (-1, BELIEVED)
    session.execute(_REPORTED, name=name, revision=revision, reported=at, agent=agent, scopes=scopes)
    heard = Heard(stale != BELIEVED, (revision, BELIEVED) != (was, stale))
    if heard.moved:
        announce(session, CHANNEL, STEP)
    return heard


def quiet(session: Session, at: int) -> Sequence[tuple[str, int]]:
    """(name, stale) of those that are to be marked one more."""
    rows = session.all(_QUIET, silent=before(at, STALE), forgotten=before(at, FORGOTTEN))
    return [(name, stale) for name, stale in rows]


def mark(session: Session, name: str, stale: int) -> None:
    session.execute(_MARK, of=name, stale=stale)


def forget(session: Session, name: str) -> bool:
    """Until it reports again. Whether there was anything to forget."""
    known = storable(name) and session.execute(_FORGET, of=name) > 0
    if known:
        announce(session, CHANNEL, STEP)
    return known


def dismiss(session: Session) -> None:
    """Those that have left and of whom nothing is left, but for who has a virtual-router: since when it is silent is
    known as long as that is there."""
    if rows := session.all(_EMPTY):
        kept = _routers(session)
        gone = [name for name, reported in rows if not reported or name not in kept]
        session.execute(_DISMISS, gone=session.array(gone))


# --- reads


def everyone(session: Session, arrived: Collection[str] = ()) -> list[Node]:
    """By name. arrived: those of whom it does not matter any more what is due for them."""
    routers, newest = _routers(session), changes.bounds(session).newest
    found, written = {}, dict[int, str | None]()
    for name, revision, reached, reported, stale, agent, text in session.all(_ALL):
        due, scopes = None, orjson.loads(text)
        if revision < newest and name not in arrived:
            first = revision + 1 if scopes is None else changes.due(session, scopes, revision, newest)
            if first is not None:
                if first not in written:
                    rows = session.all(_WRITTEN, revision=first)
                    written[first] = rows[0][0] if rows else None
                due = Due(first, written[first])
        many = None if scopes is None else len(scopes)
        found[name] = Node(name, routers.get(name), revision, reached, reported, stale, agent, many, due)
    found |= {name: Node(name, uuid) for name, uuid in routers.items() if name not in found}
    return [found[name] for name in sorted(found)]


def least(session: Session) -> int:
    """The revision that all nodes have applied that are believed; -1 without any."""
    found = session.all(_LEAST)[0][0]
    return -1 if found is None else int(found)


def _routers(session: Session) -> Mapping[str, str]:
    """uuids by name of the node."""
    return {fq_name.rpartition(":")[2]: uuid for uuid, fq_name in session.all(_ROUTERS)}
