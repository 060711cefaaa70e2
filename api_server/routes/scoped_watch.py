"""`GET /watch?scope=`: a watch of the objects that concern some scopes, and no byte of the others.

Without `since` it begins with `init`, of those objects. With it, it goes on as any watch. A watcher that has come to
need other scopes says so when it comes back: `scope` names all from now on, `enter` those of them that are new, `leave`
those that it had besides. It is answered as of one revision: first what the log has for the scopes it had; then, with
`event: enter`, the objects that come into its sight, in the form of `init`; with `event: leave`, the uuids of those
that go out of it; and `event: scope`, which has the id and says that the watch is of the new scopes from here on.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import orjson

from api_server.errors import BadRequest
from api_server.routes.beginning import Wanted, entering
from api_server.routes.frames import frames, stop
from api_server.store.events import chunk
from api_server.store.reader import Reader
from api_server.store.sight import events_of
from schema.model import ResourceType
from schema.quoting import quote

MOST = 1000
"""Scopes of one watch: who needs more is as well off with a watch of everything."""
LONGEST = 300  # characters of a scope


class Scopes(NamedTuple):
    """now: what a watch is of. enter: those of them that it was not of before. leave: what it was of besides."""

    now: frozenset[str]
    enter: frozenset[str] = frozenset()
    leave: frozenset[str] = frozenset()

    @property
    def before(self) -> frozenset[str]:
        return (self.now - self.enter) | self.leave

    @property
    def moving(self) -> bool:
        return bool(self.enter or self.leave)


def wanted_scopes(query: Mapping[str, str], *, resumed: bool) -> Scopes | None:
    """None: everything. resumed: it goes on after an id. BadRequest names the parameter that makes no sense."""
    now, enter, leave = (_names(query, name) for name in ("scope", "enter", "leave"))
    if now is None:
        for name, given in (("enter", enter), ("leave", leave)):
            if given is not None:
                raise BadRequest(f"{name} goes with scope, which says what the watch is of")
        return None
    found = Scopes(now, enter or frozenset(), leave or frozenset())
    if not now:
        raise BadRequest("scope names nothing: uuids of networks, policies, ipams, pools; node:NAME; joined by commas")
    if found.moving and not resumed:
        raise BadRequest("enter and leave go with since: a watch that begins has been of no other scopes")
    if strange := found.enter - now:
        raise BadRequest(f"enter names {quote(min(strange))}, which is not in scope")
    if strange := found.leave & now:
        raise BadRequest(f"leave names {quote(min(strange))}, which is in scope")
    return found


def _names(query: Mapping[str, str], name: str) -> frozenset[str] | None:
    text = query.get(name)
    if text is None:
        return None
    found = frozenset(text.split(",")) - {""}
    if len(found) > MOST:
        raise BadRequest(f"{name} names {len(found)} scopes; at most {MOST} are possible")
    for each in found:
        if len(each) > LONGEST or not each.isprintable():
            raise BadRequest(f"{name} names {quote(each[:LONGEST])}, which can be no scope")
    return found


def step(reader: Reader, types: Sequence[ResourceType], wanted: Wanted, scopes: Scopes, after: int) -> Iterator[bytes]:
    """From one set of scopes to another one, as frames in parts; inside a snapshot."""
    changes = list(reader.scoped_changes(scopes.before, after))
    if reader.bounds().compacted > after:
        yield stop(f"the changes after revision {after} are compacted; list again")
        return
    if missed := events_of(changes, frozenset(kind.name for kind in types)):
        yield frames(chunk(missed), wanted)
    for kind in types:
        if uuids := reader.concerned(kind.name, scopes.enter, without=scopes.before):
            yield from entering(reader, kind, wanted, uuids)
    gone = ((kind.name, reader.concerned(kind.name, scopes.leave, without=scopes.now)) for kind in types)
    if left := {kind: uuids for kind, uuids in gone if uuids}:
        yield b"event: leave\ndata: %b\n\n" % orjson.dumps(left)
    now = {"revision": reader.revision, "scopes": sorted(scopes.now)}
    yield b"event: scope\nid: %d\ndata: %b\n\n" % (reader.revision, orjson.dumps(now))
