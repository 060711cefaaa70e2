"""Rules of nftables as the kernel has them: expressions over registers (linux/netfilter/nf_tables.h).

A rule is a sequence of expressions; each takes what it works on from a register and leaves its result in one. Registers
are 16 words of 4 bytes, a field begins at a word: `word(n)` names the n-th. `nft --debug=netlink` shows the same rules
in this form. Most rules are text (`rules.py`); what `nft` cannot write is put together here.

Numbers in expressions are in network order, what is loaded in `meta mark` in the host's.
"""

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from vrouter.backends.netns.netlink import (
    NLA_F_NESTED,
    NLM_F_CREATE,
    NLM_F_REPLACE,
    Message,
    Socket,
    attribute,
    attributes,
    nested,
)
from vrouter.backends.netns.nftables import header, message_type
from vrouter.backends.netns.rules import TABLE
from vrouter.state import Family

NFT_MSG_NEWRULE, NFT_MSG_GETRULE = 6, 7
NLM_F_APPEND = 0x800
_TABLE, _CHAIN, _HANDLE, _EXPRESSIONS, _USERDATA = 1, 2, 3, 4, 7  # NFTA_RULE_*
_COMMENT = 0  # NFTNL_UDATA_RULE_COMMENT, what `nft` shows as one

NETWORK, TRANSPORT = 1, 2  # NFT_PAYLOAD_*_HEADER: where offsets count from
MARK = 3  # NFT_META_MARK
NEXTHOP = {4: 1, 6: 2}  # NFT_RT_NEXTHOP4, NFT_RT_NEXTHOP6
ADD, UPDATE, DELETE = 0, 1, 2  # NFT_DYNSET_OP_*
ACCEPT = 1  # NF_ACCEPT
VERDICT = 0  # NFT_REG_VERDICT, what a map of verdicts loads
INVERTED = 1  # NFT_LOOKUP_F_INV
_INET_CHECKSUM, _PSEUDO_HEADER = 1, 1  # NFT_PAYLOAD_CSUM_INET, NFT_PAYLOAD_L4CSUM_PSEUDOHDR
_DYNSET_TIMEOUT = 6  # NFTA_DYNSET_TIMEOUT
_EQUAL = 0  # NFT_CMP_EQ


@dataclass(frozen=True, slots=True)
class Expression:
    """name: the kernel's. data: its attributes, encoded."""

    name: str
    data: bytes

    def encode(self, kind: int = 1) -> bytes:
        """As a list's element (NFTA_LIST_ELEM), or another attribute of that kind."""
        return nested(kind, attribute(1, self.name.encode() + b"\0"), attribute(2 | NLA_F_NESTED, self.data))

    @property
    def attributes(self) -> dict[int, bytes]:
        return dict(attributes(self.data))


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule of the table. handle: the kernel's number for it, 0 before it has one."""

    chain: str
    expressions: tuple[Expression, ...]
    comment: str = ""
    handle: int = 0


def word(number: int) -> int:
    """The register that begins at that word, 0..15."""
    return 8 + number  # NFT_REG32_00


def payload(base: int, offset: int, length: int, register: int) -> Expression:
    """Load `length` bytes of the packet."""
    return Expression("payload", _numbers((1, register), (2, base), (3, offset), (4, length)))


def set_payload(
    base: int, offset: int, length: int, register: int, checksum: int | None = None, *, pseudo: bool = False
) -> Expression:
    """Write `length` bytes into the packet. checksum: offset, from the same base, of an Internet checksum that covers
    them. pseudo: they are in the pseudo header of the transport's checksum, which follows."""
    numbers = [(5, register), (2, base), (3, offset), (4, length)]
    numbers += [(6, _INET_CHECKSUM), (7, checksum)] if checksum is not None else [(6, 0), (7, 0)]
    return Expression("payload", _numbers(*numbers, (8, _PSEUDO_HEADER if pseudo else 0)))


def meta(key: int, register: int) -> Expression:
    return Expression("meta", _numbers((1, register), (2, key)))


def set_meta(key: int, register: int) -> Expression:
    return Expression("meta", _numbers((2, key), (3, register)))


def nexthop(family: Family, register: int) -> Expression:
    """The gateway the FIB chose, or the destination itself where there is none."""
    return Expression("rt", _numbers((1, register), (2, NEXTHOP[family])))


def immediate(register: int, data: bytes) -> Expression:
    return Expression("immediate", _numbers((1, register)) + nested(2, attribute(1, data)))


def verdict(code: int) -> Expression:
    return Expression("immediate", _numbers((1, 0)) + nested(2, nested(2, _numbers((1, code)))))


def compare(register: int, data: bytes) -> Expression:
    """Go on with the rule only if they are equal."""
    return Expression("cmp", _numbers((1, register), (2, _EQUAL)) + nested(3, attribute(1, data)))


def bitwise(source: int, register: int, mask: bytes, flip: bytes) -> Expression:
    """register = source & mask ^ flip."""
    data = _numbers((1, source), (2, register), (3, len(mask)))
    return Expression("bitwise", data + nested(4, attribute(1, mask)) + nested(5, attribute(1, flip)))


def lookup(name: str, key: int, register: int | None = None, *, inverted: bool = False) -> Expression:
    """Go on only if the set has the key; with a register load what the map has for it."""
    data = attribute(1, name.encode() + b"\0") + _numbers((2, key))
    if register is not None:
        data += _numbers((3, register))
    return Expression("lookup", data + _numbers((5, INVERTED if inverted else 0)))


def dynset(
    operation: int,
    name: str,
    key: int,
    data: int | None = None,
    timeout: int = 0,
    own: Expression | None = None,
) -> Expression:
    """Change a set or map from the packet's path; go on only if that worked.

    key, data: registers; a map needs both, for DELETE, too. timeout: milliseconds; 0: the set's. own: what each element
    has (a counter); None: as the set says.
    """
    body = attribute(1, name.encode() + b"\0") + _numbers((3, operation), (4, key))
    if data is not None:
        body += _numbers((5, data))
    if timeout:
        body += attribute(_DYNSET_TIMEOUT, struct.pack(">Q", timeout))
    if own is not None:
        body += own.encode(7)
    return Expression("dynset", body)


def counter() -> Expression:
    """Of the element's own."""
    return Expression("counter", b"")


def read(socket: Socket, family: Family) -> list[Rule]:
    """The rules of the table in their order, chain by chain. Raises NetlinkError: ENOENT without such a table."""
    return [one.rule for one in each(socket, family)]


def each(socket: Socket, family: Family) -> Iterator["Encoded"]:
    """The same, not yet decoded."""
    body = header(family) + attribute(_TABLE, TABLE.encode() + b"\0")
    for answer in socket.dump(Message(message_type(NFT_MSG_GETRULE), 0, body)):
        yield Encoded(dict(attributes(answer, 4)))


class Encoded(NamedTuple):
    """A rule as the kernel shows it: its attributes."""

    values: Mapping[int, bytes]

    @property
    def chain(self) -> str:
        return _text(self.values[_CHAIN])

    @property
    def expressions(self) -> bytes:
        return self.values.get(_EXPRESSIONS, b"")

    @property
    def rule(self) -> Rule:
        parts = [dict(attributes(expression)) for _, expression in attributes(self.expressions)]
        expressions = tuple(_read(_text(part[1]), part.get(2, b"")) for part in parts)
        comment = dict(_userdata(self.values.get(_USERDATA, b""))).get(_COMMENT, b"")
        return Rule(self.chain, expressions, _text(comment), int.from_bytes(self.values[_HANDLE], "big"))


def put(family: Family, rule: Rule, *, first: bool = False) -> Message:
    """In the place of the one with its handle; without one at the end of its chain, or as its first one. For
    `nftables.transact`."""
    body = header(family) + attribute(_TABLE, TABLE.encode() + b"\0") + attribute(_CHAIN, rule.chain.encode() + b"\0")
    if rule.handle:
        body += attribute(_HANDLE, struct.pack(">Q", rule.handle))
    body += nested(_EXPRESSIONS, *(expression.encode() for expression in rule.expressions))
    if rule.comment:
        text = rule.comment.encode() + b"\0"
        body += attribute(_USERDATA, bytes((_COMMENT, len(text))) + text)
    new = NLM_F_CREATE if first else NLM_F_CREATE | NLM_F_APPEND
    return Message(message_type(NFT_MSG_NEWRULE), NLM_F_REPLACE if rule.handle else new, body)


def _read(name: str, data: bytes) -> Expression:
    """One that the kernel would take back: it shows a timeout of 0 that it takes for sets with timeouts only."""
    if name == "dynset":
        kept = [(kind, value) for kind, value in attributes(data) if kind != _DYNSET_TIMEOUT or any(value)]
        data = b"".join(attribute(kind, value) for kind, value in kept)
    return Expression(name, data)


def _numbers(*numbers: tuple[int, int]) -> bytes:
    return b"".join(attribute(kind, struct.pack(">I", number)) for kind, number in numbers)


def _userdata(data: bytes) -> list[tuple[int, bytes]]:
    found, offset = [], 0
    while offset + 2 <= len(data):
        found.append((data[offset], data[offset + 2 : offset + 2 + data[offset + 1]]))
        offset += 2 + data[offset + 1]
    return found


def _text(data: bytes) -> str:
    return data.rstrip(b"\0").decode()
