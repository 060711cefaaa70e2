"""How a watch begins: one `init` frame per type, all of one revision, which the last one carries.

The objects are read and written a slice at a time, so that a watcher of everything keeps nobody else waiting, and
nothing whole is in memory.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from api_server.resources.rendering import Item, types_of
from api_server.store.reader import Reader
from schema.model import ResourceType

END = b"]}\n\n"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What of its objects a watcher wants. fields: by type; all of a type that is not there. names: with the fq_name of
    what a reference is to."""

    fields: Mapping[str, frozenset[str]]
    names: bool = True

    def whole(self, kind: str) -> bool:
        """All there is of a type."""
        return self.names and kind not in self.fields


Sight = Callable[[Reader], Callable[[str], Collection[str]]]
"""Inside a snapshot: which objects of a type a watcher sees, by uuid."""


def concerning(scopes: Collection[str]) -> Sight:
    return lambda reader: lambda kind: reader.concerned(kind, scopes)


def below(parents: Sequence[str]) -> Sight:
    return lambda reader: (
        lambda kind: [record.uuid for record in reader.records(kind, parents=parents, properties=False)]
    )


def init(reader: Reader, types: Sequence[ResourceType], wanted: Wanted, sight: Sight | None = None) -> Iterator[bytes]:
    """The frames in parts, inside a snapshot. sight: None for everything."""
    seen = None if sight is None else sight(reader)
    for kind in types:
        number = b"id: %d\n" % reader.revision if kind is types[-1] else b""
        uuids = None if seen is None else seen(kind.name)
        yield b"event: init\n" + number + _data(kind)
        for count, items in enumerate(_items(reader, kind, wanted, uuids)):
            yield b"," + items if count else items
        yield END


def entering(reader: Reader, kind: ResourceType, wanted: Wanted, uuids: Collection[str]) -> Iterator[bytes]:
    """Frames with those objects of a type, each of a slice: who takes them in begins while the next is read."""
    for items in _items(reader, kind, wanted, uuids):
        yield b"event: enter\n" + _data(kind) + items + END


def _data(kind: ResourceType) -> bytes:
    return b'data: {"%b":[' % kind.plural.encode()


def _items(reader: Reader, kind: ResourceType, wanted: Wanted, uuids: Collection[str] | None) -> Iterator[bytes]:
    fields = wanted.fields.get(kind.name)
    if fields is None:
        item = Item(kind, detail=True, hrefs=False, ref_names=wanted.names)
        for records in reader.slices(kind.name, uuids=uuids, references=True):
            yield b",".join(item.render(records, ""))
        return
    properties, references = fields & kind.properties.keys(), types_of(fields, kind.references)
    for texts in reader.excerpts(kind.name, properties, references, names=wanted.names, uuids=uuids):
        yield ",".join(texts).encode()
