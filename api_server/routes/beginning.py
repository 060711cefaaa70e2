"""How a watch begins: one `init` frame per type, all of one revision, which the last one carries.

The objects are read and written a slice at a time, so that a watcher of everything keeps nobody else waiting, and
nothing whole is in memory.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

from api_server.resources.rendering import Item, types_of
from api_server.store.reader import Reader
from schema.model import ResourceType

Fields = Mapping[str, frozenset[str]]
"""Type -> the fields wanted of its objects; a type that is not there: all."""

END = b"]}\n\n"


Sight = Callable[[Reader], Callable[[str], Collection[str]]]
"""Inside a snapshot: which objects of a type a watcher sees, by uuid."""


def concerning(scopes: Collection[str]) -> Sight:
    return lambda reader: lambda kind: reader.concerned(kind, scopes)


def below(parents: Sequence[str]) -> Sight:
    return lambda reader: (
        lambda kind: [record.uuid for record in reader.records(kind, parents=parents, properties=False)]
    )


def init(reader: Reader, types: Sequence[ResourceType], fields: Fields, sight: Sight | None = None) -> Iterator[bytes]:
    """The frames in parts, inside a snapshot. sight: None for everything."""
    seen = None if sight is None else sight(reader)
    for kind in types:
        number = b"id: %d\n" % reader.revision if kind is types[-1] else b""
        uuids = None if seen is None else seen(kind.name)
        yield b"event: init\n" + number + _data(kind)
        for count, items in enumerate(_items(reader, kind, fields.get(kind.name), uuids)):
            yield b"," + items if count else items
        yield END


def entering(reader: Reader, kind: ResourceType, fields: Fields, uuids: Collection[str]) -> Iterator[bytes]:
    """Frames with those objects of a type, each of a slice: who takes them in begins while the next is read."""
    for items in _items(reader, kind, fields.get(kind.name), uuids):
        yield b"event: enter\n" + _data(kind) + items + END


def _data(kind: ResourceType) -> bytes:
    return b'data: {"%b":[' % kind.plural.encode()


def _items(
    reader: Reader, kind: ResourceType, fields: frozenset[str] | None, uuids: Collection[str] | None
) -> Iterator[bytes]:
    if fields is None:
        item = Item(kind, detail=True, hrefs=False)
        for records in reader.slices(kind.name, uuids=uuids, references=True):
            yield b",".join(item.render(records, ""))
        return
    references = types_of(fields, kind.references)
    for texts in reader.excerpts(kind.name, fields & kind.properties.keys(), references, uuids=uuids):
        yield ",".join(texts).encode()
