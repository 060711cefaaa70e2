"""What a watch tells, read from the frames of its stream (docs/api.md).

Snapshot   everything of the types asked for, as of one revision
Events     what one revision changed, all of it together; empty for a revision that changed nothing asked for
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

import msgspec

from api_client.errors import UnexpectedAnswer, Unreachable
from api_client.sse import Frame

Kind = Literal["create", "update", "delete"]


class Event(NamedTuple):
    """type is hyphenated. object: after the change, a JSON object or of its type's shape; of a delete, a JSON object
    with its uuid alone."""

    kind: Kind
    type: str
    uuid: str
    object: Any


@dataclass(frozen=True, slots=True)
class Snapshot:
    """objects: by hyphenated type, all types asked for; each a JSON object or of its type's shape."""

    objects: Mapping[str, Sequence[Any]]
    revision: int


@dataclass(frozen=True, slots=True)
class Events:
    events: Sequence[Event]
    revision: int


Delta = Snapshot | Events

Shapes = Mapping[str, type[msgspec.Struct]]
"""hyphenated type -> what its objects are read into, by their wire names; what is not in it is passed over. It has the
uuid. Objects of other types are JSON objects."""

NO_SHAPES: Shapes = MappingProxyType({})

Begin = Callable[[str, Sequence[Any]], None]
"""Takes objects of a type that come into sight before the whole of their delta is there; they are then no part of it.
"""


class Reader:
    """Reads frames, of the types that were asked for and no others."""

    def __init__(self, types: Iterable[str], shapes: Shapes) -> None:
        self._shaped = shapes.keys()
        self._shapes: dict[str, Any] = {kind: shapes.get(kind, dict[str, Any]) for kind in types}
        self._fields = {kind: kind.replace("-", "_") for kind in self._shapes}  # of what a list of objects is read into
        row = {
            kind: msgspec.defstruct("Row", [("object", shape)], rename={"object": kind})
            for kind, shape in self._shapes.items()
        }
        fields = [(field, tuple[row[kind], ...], ()) for kind, field in self._fields.items()]  # type: ignore[valid-type]
        names = {field: f"{kind}s" for kind, field in self._fields.items()}
        self._objects = msgspec.json.Decoder(msgspec.defstruct("Objects", fields, rename=names))

    @property
    def types(self) -> Collection[str]:
        return self._shapes.keys()

    def objects(self, data: bytes) -> Iterator[tuple[str, list[Any]]]:
        """All of each type in a list, which mostly is of one."""
        found = _read(self._objects.decode, data)
        for kind, field in self._fields.items():
            if rows := getattr(found, field):
                yield kind, [row.object for row in rows]

    def uuids(self, data: bytes) -> Iterator[tuple[str, list[str]]]:
        """The uuids of each type."""
        for kind, uuids in _read(_UUIDS.decode, data).items():
            if kind in self._shapes:
                yield kind, uuids

    def event(self, kind: Kind, data: bytes) -> Event:
        body = _read(_BODY.decode, data)
        name, found = next(iter(body.items())) if len(body) == 1 else ("", None)
        if name not in self._shapes or not isinstance(found, dict):
            raise UnexpectedAnswer("a watch event does not hold one object of a type that was asked for")
        if kind != "delete" and name in self._shaped:
            return _event(kind, name, _read(partial(msgspec.convert, type=self._shapes[name]), found))
        return _event(kind, name, found)


_BODY = msgspec.json.Decoder(dict[str, Any])
_UUIDS = msgspec.json.Decoder(dict[str, list[str]])


def _read(read: Callable[[Any], Any], data: Any) -> Any:
    try:
        return read(data)
    except msgspec.DecodeError as error:  # it is not JSON, or not what was expected
        raise UnexpectedAnswer(f"a watch frame cannot be read: {error}") from error


def _event(kind: Kind, of: str, found: Any) -> Event:
    uuid = found.get("uuid") if isinstance(found, dict) else found.uuid
    if uuid is None:
        raise UnexpectedAnswer(f"a watch event of a {of} without uuid")
    return Event(kind, of, uuid, found)


class Group:
    """Frames until one carries an id: that one completes a delta. begun: somebody has the beginning of one."""

    def __init__(self, reader: Reader, *, resumed: bool) -> None:
        self._reader = reader
        self._snapshot: dict[str, list[Any]] | None = None if resumed else self._nothing()
        self._events: list[Event] = []
        self.begun = False

    def take(self, frame: Frame, begin: Begin | None = None) -> Delta | None:
        if frame.event == "stop":
            raise Unreachable("the watch", frame.data.decode("utf-8", "replace") or "the server stops")
        if frame.event == "init":
            if self._snapshot is None:
                self._snapshot = self._nothing()
            for kind, objects in self._reader.objects(frame.data):
                self._snapshot[kind] += objects
        elif frame.event in ("create", "update", "delete"):
            self._events.append(self._reader.event(frame.event, frame.data))  # type: ignore[arg-type]  # it is one
        elif frame.event == "enter":
            for kind, objects in self._reader.objects(frame.data):
                if begin is not None:
                    begin(kind, objects)
                    self.begun = True
                else:
                    self._events += [_event("create", kind, found) for found in objects]
        elif frame.event == "leave":
            for kind, uuids in self._reader.uuids(frame.data):
                self._events += [Event("delete", kind, uuid, {"uuid": uuid}) for uuid in uuids]
        return None if frame.id is None else self._complete(_revision(frame.id))

    def _nothing(self) -> dict[str, list[Any]]:
        return {kind: [] for kind in self._reader.types}

    def _complete(self, revision: int) -> Delta:
        if self._snapshot is not None:
            delta: Delta = Snapshot(self._snapshot, revision)
            self._snapshot = None
        else:
            delta = Events(self._events, revision)
        self._events, self.begun = [], False
        return delta


def _revision(id: str) -> int:
    try:
        return int(id)
    except ValueError as error:
        raise UnexpectedAnswer(f"a watch id is not a revision: {id[:80]!r}") from error
