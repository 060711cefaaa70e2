"""What a listener with a limit has in the table: a chain, and a set with a place for each of its connections.

They are copies of the chain `place_PROTO` and the set `places_PROTO` of the table's text, with the listener's size;
their name says whose they are and how many places there are. The map `limited_PROTO` leads to them. A listener
without a limit has none of it.
"""

import re
import struct
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace

from vrouter.backends.netns import expressions, nftables
from vrouter.backends.netns.expressions import Encoded, Expression, Rule
from vrouter.backends.netns.netlink import NLM_F_CREATE, Message, Socket, attribute, attributes, nested
from vrouter.backends.netns.rules import PREFIX_OF_COPIES, TABLE
from vrouter.state import Address, Family, Protocol

_NEWCHAIN, _DELCHAIN, _DELRULE, _NEWSET, _GETSET, _DELSET = 3, 5, 8, 9, 10, 11  # NFT_MSG_*
_CHAIN_NAME, _RULE_CHAIN = 3, 2  # NFTA_CHAIN_NAME, NFTA_RULE_CHAIN
_TABLE, _SET_NAME, _SET_DESCRIPTION, _SET_ID = 1, 2, 9, 10  # NFTA_CHAIN_TABLE and the like, NFTA_SET_*
_COPIED = (3, 4, 5, 13)  # NFTA_SET_*: flags, the key's type and length, how `nft` shows it
_SIZE = 1  # NFTA_SET_DESC_SIZE
_DYNSET_SET = 1  # NFTA_DYNSET_SET_NAME
_NUMBER = 0x00FF_FFFF  # of a surrogate, what differs

_NAME = re.compile(PREFIX_OF_COPIES + r"(?P<protocol>tcp|udp)-[0-9a-f]{6}-(?P<limit>[0-9]+)")


def name(protocol: Protocol, surrogate: Address, limit: int) -> str:
    """Of the chain and the set of the listener with that surrogate."""
    return f"{PREFIX_OF_COPIES}{protocol}-{int(surrogate) & _NUMBER:06x}-{limit}"


def limit_of(name: str) -> int:
    """What it says. 0: it is not one of ours."""
    found = _NAME.fullmatch(name)
    return int(found["limit"]) if found else 0


@dataclass(frozen=True, slots=True)
class Template:
    """What is copied. rules: of the chain. places: attributes of the set. flows: as many as there can be."""

    rules: tuple[Rule, ...]
    places: Mapping[int, bytes]
    flows: int

    def size(self, name: str) -> int:
        """Of the set of that name: not much more than flows could fill, for the kernel may make room beforehand."""
        return min(limit_of(name), 2 * self.flows)

    def copied(self, name: str) -> tuple[Rule, ...]:
        return tuple(
            Rule(name, tuple(_renamed(expression, name) for expression in rule.expressions)) for rule in self.rules
        )


Templates = Mapping[Protocol, Template]


def read_templates(socket: Socket, family: Family) -> Templates:
    """Of the table that stands. Raises NetlinkError."""
    rules = expressions.read(socket, family)
    sets = {_text(values[_SET_NAME]): values for values in _sets(socket, family)}
    protocols: tuple[Protocol, ...] = ("tcp", "udp")
    return {
        protocol: Template(
            tuple(replace(rule, handle=0) for rule in rules if rule.chain == f"place_{protocol}"),
            sets[f"places_{protocol}"],
            _size_of(sets[f"forward_{protocol}"]),
        )
        for protocol in protocols
    }


def make(family: Family, templates: Templates, name: str) -> list[Message]:
    """Chain and set of that name; what is there already stays, but for the rules. For `nftables.transact`."""
    template = templates[_protocol(name)]
    description = [
        attribute(kind, struct.pack(">I", template.size(name)) if kind == _SIZE else value)
        for kind, value in attributes(template.places[_SET_DESCRIPTION])
    ]
    places = _header(family) + attribute(_SET_NAME, name.encode() + b"\0")
    places += b"".join(attribute(kind, template.places[kind]) for kind in _COPIED if kind in template.places)
    places += nested(_SET_DESCRIPTION, *description) + attribute(_SET_ID, struct.pack(">I", 1))
    return [
        Message(nftables.message_type(_NEWSET), NLM_F_CREATE, places),
        _of_chain(_NEWCHAIN, NLM_F_CREATE, family, _CHAIN_NAME, name),
        _of_chain(_DELRULE, 0, family, _RULE_CHAIN, name),
        *(expressions.put(family, rule) for rule in template.copied(name)),
    ]


def remove(family: Family, name: str) -> list[Message]:
    """Nothing leads there any more. For `nftables.transact`."""
    places = _header(family) + attribute(_SET_NAME, name.encode() + b"\0")
    return [
        _of_chain(_DELCHAIN, 0, family, _CHAIN_NAME, name),
        Message(nftables.message_type(_DELSET), 0, places),
    ]


def restore(socket: Socket, family: Family, templates: Templates, names: Collection[str]) -> None:
    """Make these what they have to be, with the places that are taken. Raises NetlinkError."""
    nftables.transact(socket, [message for name in names for message in make(family, templates, name)])


def led_to(socket: Socket, family: Family) -> list[str]:
    """The names of those that packets are sent to. Raises NetlinkError."""
    return [
        value.chain
        for protocol in ("tcp", "udp")
        for _, value in nftables.each(socket, family, f"limited_{protocol}")
        if limit_of(value.chain)
    ]


def broken(socket: Socket, family: Family, templates: Templates, names: Collection[str]) -> list[str]:
    """Those of these that are not as they were made. Raises NetlinkError."""
    if not names:
        return []
    found: dict[str, list[Encoded]] = {}
    for rule in expressions.each(socket, family):
        found.setdefault(rule.chain, []).append(rule)
    sizes = {_text(values[_SET_NAME]): _size_of(values) for values in _sets(socket, family)}
    # what has been found to be so, without names: the others need no decoding
    right = set[tuple[str | bytes, ...]]()

    def is_whole(name: str) -> bool:
        template, rules = templates[_protocol(name)], found.get(name, [])
        if sizes.get(name) != template.size(name):
            return False
        form = (_protocol(name), *(rule.expressions.replace(name.encode(), b"") for rule in rules))
        if form not in right and tuple(replace(rule.rule, handle=0) for rule in rules) == template.copied(name):
            right.add(form)
        return form in right

    return [name for name in names if not is_whole(name)]


def _renamed(expression: Expression, name: str) -> Expression:
    """The places are in the only set that these rules change."""
    if expression.name != "dynset":
        return expression
    kept = [
        attribute(kind, name.encode() + b"\0" if kind == _DYNSET_SET else value)
        for kind, value in attributes(expression.data)
    ]
    return Expression("dynset", b"".join(kept))


def _sets(socket: Socket, family: Family) -> Iterator[Mapping[int, bytes]]:
    for answer in socket.dump(Message(nftables.message_type(_GETSET), 0, _header(family))):
        yield dict(attributes(answer, 4))


def _size_of(values: Mapping[int, bytes]) -> int:
    return int.from_bytes(dict(attributes(values.get(_SET_DESCRIPTION, b""))).get(_SIZE, b""), "big")


def _protocol(name: str) -> Protocol:
    return "tcp" if name.startswith(f"{PREFIX_OF_COPIES}tcp-") else "udp"


def _of_chain(kind: int, flags: int, family: Family, place: int, name: str) -> Message:
    return Message(nftables.message_type(kind), flags, _header(family) + attribute(place, name.encode() + b"\0"))


def _header(family: Family) -> bytes:
    return nftables.header(family) + attribute(_TABLE, TABLE.encode() + b"\0")


def _text(data: bytes) -> str:
    return data.rstrip(b"\0").decode()
