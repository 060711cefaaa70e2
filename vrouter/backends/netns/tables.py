"""Whether a VRF has the rules and settings of this version, and how it is given them without losing a flow.

What it should be like is read once from a table that this version loads in a namespace of its own; the comparison is of
what the kernel has, so an older version's rules and a rule that somebody changed look the same: not whole.

It is given the rules in one transaction: between two packets the old rules, chains and whatever sets have another shape
go and the new ones come. Sets of the same shape stay as they are, with the flows and services in them, so an upgrade
takes no connection. Sets of another shape begin empty: of services they are filled again at once, of flows the next
packet begins anew, with the member that the hash finds.

What limited listeners have (`limits.py`) comes and goes: it is no part of the shape, and is compared by itself.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, partial

import structlog

from vrouter import namespace
from vrouter.backends.netns import elements, expressions, limits, nftables, probe, rules
from vrouter.backends.netns.netlink import NETLINK_NETFILTER, Message, NetlinkError, Socket, attribute, attributes
from vrouter.backends.protocol import BackendError
from vrouter.state import FAMILIES, FLOW_LIMIT, Family

log = structlog.get_logger(__name__)

_GETCHAIN, _GETSET, _GETSETELEM = 4, 10, 13  # NFT_MSG_*
_TABLE = 1  # NFTA_CHAIN_TABLE, NFTA_SET_TABLE
_CHAIN_NAME, _CHAIN_HOOK, _CHAIN_POLICY = 3, 4, 5  # NFTA_CHAIN_*
# NFTA_SET_*: flags, lengths, size and fields, timeout, what its elements have (a counter, say; one, or several)
_SET_NAME, _SET_FLAGS, _SET_SHAPE = 2, 3, (3, 5, 7, 9, 11, 17, 18)
_ANONYMOUS, _MAP = 1, 8  # NFT_SET_ANONYMOUS, NFT_SET_MAP
_RULE_CHAIN, _RULE_EXPRESSIONS, _RULE_USERDATA = 2, 4, 7  # NFTA_RULE_*


@dataclass(frozen=True, slots=True)
class Shape:
    """A table without what comes and goes.

    chains: name -> hook and policy. rules: of all chains, in order; none has a state of its own. sets: name -> whether
    it is a map, and its shape. anonymous: what is in the sets that are part of a rule.
    """

    chains: dict[str, tuple[bytes, bytes]]
    rules: list[tuple[bytes, bytes, bytes]]
    sets: dict[str, tuple[bool, bytes]]
    anonymous: list[bytes]


def whole(socket: Socket, family: Family, flow_limit: int) -> bool:
    """Whether the socket's namespace has the table as this version makes it."""
    return read(socket, family) == reference(family, flow_limit)


def reference(family: Family, flow_limit: int = FLOW_LIMIT) -> Shape:
    """The table of this version for so many flows. Raises BackendError."""
    return _loaded(family, flow_limit)[0]


def templates(family: Family, flow_limit: int = FLOW_LIMIT) -> limits.Templates:
    """What limited listeners have copies of. Raises BackendError."""
    return _loaded(family, flow_limit)[1]


@cache
def _loaded(family: Family, flow_limit: int) -> tuple[Shape, limits.Templates]:
    def load() -> tuple[Shape, limits.Templates]:
        probe.load_table(family, flow_limit)
        socket = Socket(NETLINK_NETFILTER, None)
        try:
            found = read(socket, family)
            assert found is not None
            return found, limits.read_templates(socket, family)
        finally:
            socket.close()

    return namespace.scratch(load)


def read(socket: Socket, family: Family) -> Shape | None:
    """What stands; None: no such table. Raises NetlinkError."""
    chains = {
        _text(values[_CHAIN_NAME]): (values.get(_CHAIN_HOOK, b""), values.get(_CHAIN_POLICY, b""))
        for values in _dump(socket, family, _GETCHAIN)
    }
    if not chains:
        return None
    chains = {name: hook for name, hook in chains.items() if not name.startswith(rules.PREFIX_OF_COPIES)}
    sets: dict[str, tuple[bool, bytes]] = {}
    anonymous: list[bytes] = []
    for values in _dump(socket, family, _GETSET):
        flags = struct.unpack(">I", values.get(_SET_FLAGS, bytes(4)))[0]
        name = _text(values[_SET_NAME])
        if flags & _ANONYMOUS:
            anonymous += sorted(_elements(socket, family, name))
        elif not name.startswith(rules.PREFIX_OF_COPIES):
            shape = b"".join(attribute(kind, values[kind]) for kind in _SET_SHAPE if kind in values)
            sets[name] = (bool(flags & _MAP), shape)
    listed = [
        (values[_RULE_CHAIN], values.get(_RULE_EXPRESSIONS, b""), values.get(_RULE_USERDATA, b""))
        for values in _dump(socket, family, expressions.NFT_MSG_GETRULE)
        if _text(values[_RULE_CHAIN]) in chains
    ]
    return Shape(chains, listed, sets, anonymous)


def update(network: str, flow_limit: int) -> None:
    """Give a namespace the tables and settings of this version, if another made them or somebody changed them. Those of
    IPv6 are there only if they are needed. Raises BackendError."""
    socket = Socket(NETLINK_NETFILTER, network)
    families: list[Family] = []
    try:
        for family in FAMILIES:
            stands = read(socket, family)
            if stands is None and family != 4:
                continue
            families.append(family)
            if stands != reference(family, flow_limit):
                log.warning("the table of another version is replaced", namespace=network, family=family)
                reload(network, family, flow_limit)
                if any(True for name in elements.WATCHING for _ in nftables.each(socket, family, name)):
                    nftables.replace(socket, [], elements.watch(family))
            made = templates(family, flow_limit)
            if broken := limits.broken(socket, family, made, limits.led_to(socket, family)):
                log.warning("what limits listeners is restored", namespace=network, family=family, names=broken)
                limits.restore(socket, family, made, broken)
    except NetlinkError as error:
        raise BackendError(f"The tables of {network} cannot be read or changed: {error.strerror}") from error
    finally:
        socket.close()
    if changed := namespace.inside(network, partial(probe.restate_settings, probe.settings_of(families))):
        log.warning("settings are restored", namespace=network, names=changed)


def reload(network: str, family: Family, flow_limit: int) -> None:
    """Give the namespace of that name the table of this version. Raises BackendError, NetlinkError."""
    namespace.inside(network, partial(_reload, family, flow_limit))


def _reload(family: Family, flow_limit: int) -> None:
    socket = Socket(NETLINK_NETFILTER, None)
    try:
        before = read(socket, family)
    finally:
        socket.close()
    wanted = reference(family, flow_limit)
    name = f"{'ip' if family == 4 else 'ip6'} {rules.TABLE}"
    lines = [f"add table {name}", f"flush table {name}"]
    if before is not None:
        lines += [f"delete chain {name} {chain}" for chain in before.chains]
        lines += [
            f"delete {'map' if mapped else 'set'} {name} {one}"
            for one, (mapped, shape) in before.sets.items()
            if wanted.sets.get(one) != (mapped, shape)
        ]
    probe.load_table(family, flow_limit, "\n".join(lines) + "\n")


def _elements(socket: Socket, family: Family, name: str) -> Iterator[bytes]:
    body = nftables.header(family) + attribute(_TABLE, rules.TABLE.encode() + b"\0")
    body += attribute(2, name.encode() + b"\0")
    for answer in socket.dump(Message(nftables.message_type(_GETSETELEM), 0, body)):
        for kind, listed in attributes(answer, 4):
            if kind == nftables.NFTA_SET_ELEM_LIST_ELEMENTS:
                yield from (element for _, element in attributes(listed))


def _dump(socket: Socket, family: Family, kind: int) -> Iterator[dict[int, bytes]]:
    body = nftables.header(family)
    if kind != _GETCHAIN:
        body += attribute(_TABLE, rules.TABLE.encode() + b"\0")
    for answer in socket.dump(Message(nftables.message_type(kind), 0, body)):
        values = dict(attributes(answer, 4))
        if _text(values.get(_TABLE, b"")) == rules.TABLE:
            yield values


def _text(data: bytes) -> str:
    return data.rstrip(b"\0").decode()
