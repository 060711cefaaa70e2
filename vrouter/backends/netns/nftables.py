"""Elements of nft sets and maps, and counters (linux/netfilter/nf_tables.h), of the tables of a VRF, one for
each family.

Keys and values are the bytes the kernel has: addresses and ports in network order, marks in the host's, each field of a
concatenation padded to 4 bytes. A transaction is all or nothing. libnftables would do this as text, but an abort in it
would be ours.
"""

import errno
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from vrouter.backends.netns.netlink import (
    NLA_F_NESTED,
    NLM_F_CREATE,
    Message,
    NetlinkError,
    Socket,
    attribute,
    attributes,
    nested,
)
from vrouter.backends.netns.rules import TABLE
from vrouter.state import Family

_NFNL_SUBSYS_NFTABLES = 10
_BATCH_BEGIN, _BATCH_END = 0x10, 0x11
NFT_MSG_NEWSETELEM, NFT_MSG_GETSETELEM, NFT_MSG_DELSETELEM, NFT_MSG_GETOBJ = 12, 13, 14, 19
NFT_MSG_GETSET = 10
NFTA_SET_TABLE, NFTA_SET_NAME, NFTA_SET_DESC, NFTA_SET_COUNT, NFTA_SET_DESC_SIZE = 1, 2, 9, 20, 1
NFTA_SET_ELEM_LIST_TABLE, NFTA_SET_ELEM_LIST_SET, NFTA_SET_ELEM_LIST_ELEMENTS = 1, 2, 3
NFTA_LIST_ELEM, NFTA_DATA_VALUE, NFTA_DATA_VERDICT, NFTA_EXPR_NAME, NFTA_EXPR_DATA = 1, 1, 2, 1, 2
NFTA_VERDICT_CODE, NFTA_VERDICT_CHAIN, NFT_JUMP = 1, 2, -3
NFTA_SET_ELEM_KEY, NFTA_SET_ELEM_DATA, NFTA_SET_ELEM_TIMEOUT, NFTA_SET_ELEM_EXPIRATION = 1, 2, 4, 5
NFTA_SET_ELEM_USERDATA, NFTA_SET_ELEM_EXPR, NFTA_SET_ELEM_EXPRESSIONS = 6, 7, 11
NFTA_COUNTER_BYTES, NFTA_COUNTER_PACKETS = 1, 2
NFTA_OBJ_TABLE, NFTA_OBJ_NAME, NFTA_OBJ_TYPE, NFTA_OBJ_DATA, NFT_OBJECT_COUNTER = 1, 2, 3, 4, 1
_COMMENT = 0  # NFTNL_UDATA_SET_ELEM_COMMENT, what `nft` shows as one

COMMENT_LIMIT = 120  # bytes; `nft` takes 128 with its end
_ELEMENTS = 256  # in one message: an attribute's length has 16 bits

_NFGENMSG = struct.Struct("=BB2s")  # family, version, resource id in network order
_NFPROTO = {4: 2, 6: 10}  # NFPROTO_IPV4, NFPROTO_IPV6
_VALUE = struct.Struct("=HHHH")  # of an attribute and of the value nested in it, each its length and kind
_SUBSYSTEM = _NFGENMSG.pack(0, 0, _NFNL_SUBSYS_NFTABLES.to_bytes(2, "big"))


class Place(NamedTuple):
    """Where an element is: the table's family, the set's name and the key."""

    family: Family
    set: str
    key: bytes


class Value(NamedTuple):
    """data: of a map's element. comment: for people, or what the kernel should keep for us. chain: of a map of
    verdicts, where it sends a packet (and back)."""

    data: bytes = b""
    comment: bytes = b""
    chain: str = ""


Elements = dict[Place, Value]


@dataclass(frozen=True, slots=True)
class Entry:
    """A dynamic element. expires: seconds."""

    data: bytes
    packets: int
    bytes: int
    expires: float


def replace(socket: Socket, remove: Iterable[Place], add: Elements) -> None:
    """In one transaction. Raises NetlinkError: ENOENT or EEXIST if the table is not as it was thought to be."""
    transact(socket, changes(remove, add))


def changes(remove: Iterable[Place], add: Elements) -> list[Message]:
    messages = [
        _change(NFT_MSG_DELSETELEM, 0, where, [_element(place, Value()) for place in part])
        for where, part in _parts(remove)
    ]
    return messages + [
        _change(NFT_MSG_NEWSETELEM, NLM_F_CREATE, where, [_element(place, add[place]) for place in part])
        for where, part in _parts(add)
    ]


def entries(family: Family, name: str, keys: Mapping[bytes, float]) -> list[Message]:
    """Add these keys to a set with time-outs, each for so many seconds. For `transact`."""
    found = [
        nested(
            NFTA_LIST_ELEM,
            nested(NFTA_SET_ELEM_KEY, attribute(NFTA_DATA_VALUE, key)),
            *(
                attribute(kind, struct.pack(">Q", max(1, int(1000 * seconds))))
                for kind in (NFTA_SET_ELEM_TIMEOUT, NFTA_SET_ELEM_EXPIRATION)
            ),
        )
        for key, seconds in keys.items()
    ]
    parts = (found[start : start + _ELEMENTS] for start in range(0, len(found), _ELEMENTS))
    return [_change(NFT_MSG_NEWSETELEM, NLM_F_CREATE, (family, name), part) for part in parts]


def counts(found: Mapping[Place, tuple[int, int]]) -> list[Message]:
    """Add elements that have counted so many packets and bytes already. For `transact`."""
    return [
        _change(NFT_MSG_NEWSETELEM, NLM_F_CREATE, where, [_counted(place, *found[place]) for place in part])
        for where, part in _parts(found)
    ]


def transact(socket: Socket, messages: Sequence[Message]) -> None:
    """All of these changes or none. Raises NetlinkError."""
    if messages:
        socket.send_whole(Message(_BATCH_BEGIN, 0, _SUBSYSTEM), messages, Message(_BATCH_END, 0, _SUBSYSTEM))


def read(socket: Socket, family: Family, name: str) -> Elements:
    """The elements of a set or map."""
    return dict(each(socket, family, name))


def each(socket: Socket, family: Family, name: str) -> Iterator[tuple[Place, Value]]:
    """The same, one after the other."""
    for values in _dump(socket, family, name):
        yield Place(family, name, _key(values)), _value(values)


def get(socket: Socket, place: Place) -> Value | None:
    """What is at that place, without reading the others."""
    return next((_value(values) for values in _ask(socket, place)), None)


def keys(listed: bytes) -> Iterator[bytes]:
    """Of the elements in NFTA_SET_ELEM_LIST_ELEMENTS."""
    for _, element in attributes(listed):
        yield _key(dict(attributes(element)))


def read_entries(socket: Socket, family: Family, name: str) -> dict[bytes, Entry]:
    """The elements of a dynamic set or map: key -> what it holds. What has expired is left out."""
    found: dict[bytes, Entry] = {}
    for values in _dump(socket, family, name):
        entry = _entry(values)
        if entry.expires > 0:
            found[_key(values)] = entry
    return found


def each_count(socket: Socket, family: Family, name: str) -> Iterator[tuple[bytes, tuple[int, int]]]:
    """The elements of a set whose elements count and never expire, one after the other: key, (packets, bytes)."""
    for values in _dump(socket, family, name):
        yield _key(values), _counter(values)


def find(socket: Socket, family: Family, name: str, key: bytes) -> Entry | None:
    """One element, if it is there; without a time-out `expires` is 0."""
    return next((_entry(values) for values in _ask(socket, Place(family, name, key))), None)


def is_full(socket: Socket, family: Family, name: str) -> bool:
    """Whether a set has no room for another element. Kernels before 6.16 do not tell: False."""
    values = _describe(socket, family, name)
    size = dict(attributes(values.get(NFTA_SET_DESC, b""))).get(NFTA_SET_DESC_SIZE)
    count = values.get(NFTA_SET_COUNT)
    return bool(size and count and int.from_bytes(count, "big") >= int.from_bytes(size, "big"))


def count(socket: Socket, family: Family, name: str) -> int:
    """How many elements a set has. Kernels before 6.16 do not tell: its living ones are counted."""
    count = _describe(socket, family, name).get(NFTA_SET_COUNT)
    return len(read_entries(socket, family, name)) if count is None else int.from_bytes(count, "big")


def read_counters(socket: Socket, family: Family) -> dict[str, tuple[int, int]]:
    """Name of a counter of the table -> (packets, bytes)."""
    body = header(family) + attribute(NFTA_OBJ_TABLE, TABLE.encode() + b"\0")
    body += attribute(NFTA_OBJ_TYPE, struct.pack(">I", NFT_OBJECT_COUNTER))
    found = {}
    for answer in socket.dump(Message(message_type(NFT_MSG_GETOBJ), 0, body)):
        values = dict(attributes(answer, _NFGENMSG.size))
        found[values[NFTA_OBJ_NAME].rstrip(b"\0").decode()] = _count(values[NFTA_OBJ_DATA])
    return found


def header(family: Family) -> bytes:
    """What a message about a table of that family begins with (struct nfgenmsg)."""
    return _NFGENMSG.pack(_NFPROTO[family], 0, bytes(2))


def message_type(kind: int) -> int:
    return _NFNL_SUBSYS_NFTABLES << 8 | kind


def _parts(places: Iterable[Place]) -> Iterator[tuple[tuple[Family, str], list[Place]]]:
    found: dict[tuple[Family, str], list[Place]] = {}
    for place in places:
        found.setdefault(place[:2], []).append(place)
    for where, members in sorted(found.items()):
        for start in range(0, len(members), _ELEMENTS):
            yield where, members[start : start + _ELEMENTS]


def _change(kind: int, flags: int, where: tuple[Family, str], elements: list[bytes]) -> Message:
    return Message(message_type(kind), flags, _set(*where) + nested(NFTA_SET_ELEM_LIST_ELEMENTS, *elements))


def _element(place: Place, value: Value) -> bytes:
    parts = [_bytes(NFTA_SET_ELEM_KEY, place.key)]
    if value.data:
        parts.append(_bytes(NFTA_SET_ELEM_DATA, value.data))
    if value.chain:
        code = attribute(NFTA_VERDICT_CODE, struct.pack(">i", NFT_JUMP))
        chain = attribute(NFTA_VERDICT_CHAIN, value.chain.encode() + b"\0")
        parts.append(nested(NFTA_SET_ELEM_DATA, nested(NFTA_DATA_VERDICT, code, chain)))
    if value.comment:
        text = value.comment + b"\0"
        parts.append(attribute(NFTA_SET_ELEM_USERDATA, bytes((_COMMENT, len(text))) + text))
    return nested(NFTA_LIST_ELEM, *parts)


def _bytes(kind: int, data: bytes) -> bytes:
    """Nested, as a value; spelt out, for there are many."""
    length, padding = len(data), -len(data) % 4
    header = _VALUE.pack(8 + length + padding, kind | NLA_F_NESTED, 4 + length, NFTA_DATA_VALUE)
    return header + data + bytes(padding) if padding else header + data


def _counted(place: Place, packets: int, size: int) -> bytes:
    numbers = ((NFTA_COUNTER_BYTES, size), (NFTA_COUNTER_PACKETS, packets))
    counter = nested(NFTA_EXPR_DATA, *(attribute(kind, number.to_bytes(8, "big")) for kind, number in numbers))
    return nested(
        NFTA_LIST_ELEM,
        nested(NFTA_SET_ELEM_KEY, attribute(NFTA_DATA_VALUE, place.key)),
        nested(NFTA_SET_ELEM_EXPR, attribute(NFTA_EXPR_NAME, b"counter\0"), counter),
    )


def _describe(socket: Socket, family: Family, name: str) -> dict[int, bytes]:
    """What the kernel says of a set as a whole."""
    body = header(family) + attribute(NFTA_SET_TABLE, TABLE.encode() + b"\0")
    body += attribute(NFTA_SET_NAME, name.encode() + b"\0")
    answers = socket.get(Message(message_type(NFT_MSG_GETSET), 0, body))
    return dict(attributes(answers[0], _NFGENMSG.size)) if answers else {}


def _dump(socket: Socket, family: Family, name: str) -> Iterator[dict[int, bytes]]:
    for body in socket.dump(Message(message_type(NFT_MSG_GETSETELEM), 0, _set(family, name))):
        yield from _elements(body)


def _ask(socket: Socket, place: Place) -> Iterator[dict[int, bytes]]:
    """The element at a place; none if there is none."""
    body = _set(place.family, place.set) + nested(NFTA_SET_ELEM_LIST_ELEMENTS, _element(place, Value()))
    try:
        answers = socket.get(Message(message_type(NFT_MSG_GETSETELEM), 0, body))
    except NetlinkError as error:
        if error.errno == errno.ENOENT:
            return
        raise
    for answer in answers:
        yield from _elements(answer)


def _elements(body: bytes) -> Iterator[dict[int, bytes]]:
    for kind, elements in attributes(body, _NFGENMSG.size):
        if kind == NFTA_SET_ELEM_LIST_ELEMENTS:
            for _, element in attributes(elements):
                yield dict(attributes(element))


def _entry(values: dict[int, bytes]) -> Entry:
    expires = int.from_bytes(values.get(NFTA_SET_ELEM_EXPIRATION, b""), "big") / 1000
    return Entry(_value(values).data, *_counter(values), expires)


def _value(values: dict[int, bytes]) -> Value:
    found = dict(attributes(values.get(NFTA_SET_ELEM_DATA, b"")))
    verdict = dict(attributes(found.get(NFTA_DATA_VERDICT, b"")))
    data, chain = found.get(NFTA_DATA_VALUE, b""), verdict.get(NFTA_VERDICT_CHAIN, b"").rstrip(b"\0").decode()
    userdata = values.get(NFTA_SET_ELEM_USERDATA, b"")
    comment = userdata[2 : 2 + userdata[1]].rstrip(b"\0") if userdata and userdata[0] == _COMMENT else b""
    return Value(data, comment, chain)


def _key(values: dict[int, bytes]) -> bytes:
    return dict(attributes(values[NFTA_SET_ELEM_KEY]))[NFTA_DATA_VALUE]


def _counter(values: dict[int, bytes]) -> tuple[int, int]:
    expression = values.get(NFTA_SET_ELEM_EXPR)
    if expression is None and NFTA_SET_ELEM_EXPRESSIONS in values:
        expression = dict(attributes(values[NFTA_SET_ELEM_EXPRESSIONS])).get(NFTA_LIST_ELEM)
    data = dict(attributes(expression or b"")).get(NFTA_EXPR_DATA)
    return _count(data) if data else (0, 0)


def _count(data: bytes) -> tuple[int, int]:
    values = dict(attributes(data))
    return int.from_bytes(values[NFTA_COUNTER_PACKETS], "big"), int.from_bytes(values[NFTA_COUNTER_BYTES], "big")


def _set(family: Family, name: str) -> bytes:
    body = header(family) + attribute(NFTA_SET_ELEM_LIST_TABLE, TABLE.encode() + b"\0")
    return body + attribute(NFTA_SET_ELEM_LIST_SET, name.encode() + b"\0")
