"""Nexthop objects, groups and routes (linux/nexthop.h, linux/rtnetlink.h): who serves, decided by the kernel.

Groups are of the type mpath, never resilient: a resilient group starves a member that is added to busy buckets, and
flows stick without it (`rules.py`). The gateway of every next hop is the member's own address.
"""

import errno
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from ipaddress import ip_address
from pathlib import Path

from vrouter import namespace
from vrouter.backends.netns.netlink import (
    NLM_F_CREATE,
    NLM_F_REPLACE,
    Message,
    NetlinkError,
    Socket,
    attribute,
    attributes,
)
from vrouter.backends.netns.numbers import LIMIT
from vrouter.state import Address, Family

RTM_NEWROUTE, RTM_GETROUTE = 24, 26
RTM_NEWNEXTHOP, RTM_DELNEXTHOP, RTM_GETNEXTHOP = 104, 105, 106
AF_UNSPEC = 0
AF: Mapping[Family, int] = {4: 2, 6: 10}  # AF_INET, AF_INET6
BITS: Mapping[Family, int] = {4: 32, 6: 128}
RTNH_F_ONLINK = 4
# ours, among those of /etc/iproute2/rt_protos not given away: RTPROT_STATIC would be anybody's
RTPROT_VAPORTRAIL = 86
RT_TABLE_MAIN, RT_SCOPE_UNIVERSE, RT_SCOPE_LINK = 254, 0, 253
RTN_UNICAST, RTN_LOCAL = 1, 2
RTA_DST, RTA_OIF, RTA_GATEWAY, RTA_PRIORITY, RTA_NH_ID = 1, 4, 5, 6, 30
NHA_ID, NHA_GROUP, NHA_OIF, NHA_GATEWAY = 1, 2, 5, 6

_NHMSG = struct.Struct("=BBBBI")  # family, scope, protocol, reserved, flags
_RTMSG = struct.Struct("=BBBBBBBBI")  # family, dst_len, src_len, tos, table, protocol, scope, type, flags
_MEMBER = struct.Struct("=IBBH")  # id, weight - 1, its high byte (Linux 6.12), reserved
_U32 = struct.Struct("=I")

SINK = LIMIT  # the id of a next hop, beyond those of `Numbers`
_COMPATIBLE = Path("/proc/sys/net/ipv4/nexthop_compat_mode")
MANY = 1000  # routes to groups, from which on it costs a change too much that `ip route` shows the members of a group
MAX_WEIGHT = 256  # what every kernel takes

Members = tuple[tuple[int, int], ...]
"""(id of a next hop, weight) of a group, in order."""


@dataclass(frozen=True, slots=True)
class Hop:
    """A next hop as it stands: out of `link` (an interface's index) to `gateway`."""

    id: int
    link: int
    gateway: Address


@dataclass(frozen=True, slots=True)
class Fib:
    """What a namespace has of ours. groups: id -> members. routes: address of a VIP or surrogate -> id of its group.

    Groups and routes are changed by the methods, which keep the ways back: so a change costs what it touches.
    """

    hops: dict[int, Hop]
    groups: dict[int, Members]
    routes: dict[Address, int]
    _groups_with: dict[int, set[int]] = field(default_factory=dict, init=False)  # hop -> groups
    _led: dict[int, Address] = field(default_factory=dict, init=False)  # group -> address that leads to it

    def __post_init__(self) -> None:
        for group, members in self.groups.items():
            self._link(group, members)
        self._led.update({group: address for address, group in self.routes.items()})

    def put_group(self, group: int, members: Members) -> None:
        """A new one, or another's members."""
        self._unlink(group)
        self.groups[group] = members
        self._link(group, members)

    def led(self, group: int) -> Address | None:
        """The address that leads to it."""
        return self._led.get(group)

    def put_route(self, address: Address, group: int) -> None:
        self.routes[address] = group
        self._led[group] = address

    def delete_route(self, address: Address) -> int | None:
        """With its group, whose id is returned; None if there was no route."""
        group = self.routes.pop(address, None)
        if group is not None:
            self._unlink(group)
            self.groups.pop(group, None)
            self._led.pop(group, None)
        return group

    def addresses_of(self, hop: int) -> list[Address]:
        """VIPs and surrogates of which that is a member."""
        return [self._led[group] for group in self._groups_with.get(hop, ()) if group in self._led]

    def delete_hop(self, hop: int) -> list[int]:
        """As the kernel does with a link that goes: its hop leaves the groups, an empty group goes, its route, too.
        Returns the ids that are free now."""
        self.hops.pop(hop, None)
        free = [hop]
        for group in list(self._groups_with.get(hop, ())):
            members = tuple(entry for entry in self.groups[group] if entry[0] != hop)
            self.put_group(group, members)
            if not members and group in self._led:
                self.delete_route(self._led[group])
                free.append(group)
        return free

    def _link(self, group: int, members: Members) -> None:
        for hop, _ in members:
            self._groups_with.setdefault(hop, set()).add(group)

    def _unlink(self, group: int) -> None:
        for hop, _ in self.groups.get(group, ()):
            self._groups_with[hop].discard(group)
            if not self._groups_with[hop]:
                del self._groups_with[hop]


def put_hop(hop: Hop) -> Message:
    body = _NHMSG.pack(AF[hop.gateway.version], 0, RTPROT_VAPORTRAIL, 0, RTNH_F_ONLINK)
    body += attribute(NHA_ID, _U32.pack(hop.id)) + attribute(NHA_OIF, _U32.pack(hop.link))
    return Message(RTM_NEWNEXTHOP, NLM_F_CREATE | NLM_F_REPLACE, body + attribute(NHA_GATEWAY, hop.gateway.packed))


def put_group(group: int, members: Members) -> Message:
    """Make the group or replace its members, atomically."""
    packed = b"".join(_MEMBER.pack(hop, weight - 1, 0, 0) for hop, weight in members)
    body = _NHMSG.pack(0, 0, RTPROT_VAPORTRAIL, 0, 0) + attribute(NHA_ID, _U32.pack(group))
    return Message(RTM_NEWNEXTHOP, NLM_F_CREATE | NLM_F_REPLACE, body + attribute(NHA_GROUP, packed))


def delete_nexthop(number: int) -> Message:
    """A next hop or group; the routes over a group go with it."""
    return Message(RTM_DELNEXTHOP, 0, _NHMSG.pack(0, 0, 0, 0, 0) + attribute(NHA_ID, _U32.pack(number)))


def put_route(address: Address, group: int) -> Message:
    body = _to(address, RT_SCOPE_UNIVERSE) + attribute(RTA_NH_ID, _U32.pack(group))
    return Message(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, body)


def put_link_route(address: Address, link: int) -> Message:
    """`address via address dev link onlink`: `rt nexthop` is the pod, whatever the destination has become since."""
    return put_way(address, address, link)


def delete_link_route(address: Address, link: int) -> Message:
    """What `put_link_route` made."""
    return delete_way(address, address, link)


def put_way(address: Address, gateway: Address, link: int) -> Message:
    """`address via gateway dev link onlink`."""
    return Message(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, _way(address, gateway, link, RT_SCOPE_UNIVERSE))


def delete_way(address: Address, gateway: Address, link: int) -> Message:
    return Message(RTM_NEWROUTE + 1, 0, _way(address, gateway, link, 0))


def _way(address: Address, gateway: Address, link: int, scope: int) -> bytes:
    body = _to(address, scope, RTNH_F_ONLINK) + attribute(RTA_OIF, _U32.pack(link))
    return body + attribute(RTA_GATEWAY, gateway.packed)


def put_default_route(gateway: Address, link: int, metric: int) -> Message:
    """`default via gateway dev link onlink metric N`."""
    body = _route(gateway.version, 0, RT_SCOPE_UNIVERSE, RTNH_F_ONLINK) + attribute(RTA_GATEWAY, gateway.packed)
    body += attribute(RTA_OIF, _U32.pack(link)) + attribute(RTA_PRIORITY, _U32.pack(metric))
    return Message(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, body)


def put_exit(gateway: Address, link: int) -> list[Message]:
    """`via gateway dev link onlink`, before the sink: of IPv4 two routes, each to a half of all addresses; of IPv6, of
    which the kernel takes no next hop to an address that another route than the default one leads to, a default route
    that goes before the other."""
    return [Message(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, body) for body in _exits(gateway, link)]


def delete_exit(gateway: Address, link: int) -> list[Message]:
    return [Message(RTM_NEWROUTE + 1, 0, body) for body in _exits(gateway, link)]


def read_exits(socket: Socket) -> set[tuple[Family, int]]:
    """(family, index of a link) of what `put_exit` made, if it is whole."""
    halves: dict[int, int] = {}
    found: set[tuple[Family, int]] = set()
    for body in _all_routes(socket):
        values = dict(attributes(body, _RTMSG.size))
        ours = body[4] == RT_TABLE_MAIN and body[5] == RTPROT_VAPORTRAIL and RTA_GATEWAY in values
        if not ours or RTA_OIF not in values or body[1] > 1:
            continue
        link = _U32.unpack(values[RTA_OIF])[0]
        if body[0] == AF[6]:
            found.add((6, link))
        else:
            halves[link] = halves.get(link, 0) + 1
    return found | {(4, link) for link, number in halves.items() if number == 2}


def put_sink(family: Family, link: int) -> list[Message]:
    """`default dev link`: where what has no other way is refused. IPv6 makes a route over the loopback an unreachable
    one, but not if a next hop leads there."""
    if family == 4:
        body = _route(family, 0, RT_SCOPE_LINK) + attribute(RTA_OIF, _U32.pack(link))
        return [Message(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, body)]
    number = attribute(NHA_ID, _U32.pack(SINK))
    hop = _NHMSG.pack(AF[family], 0, RTPROT_VAPORTRAIL, 0, 0) + number + attribute(NHA_OIF, _U32.pack(link))
    body = _route(family, 0, RT_SCOPE_UNIVERSE) + attribute(RTA_NH_ID, _U32.pack(SINK))
    return [
        Message(RTM_NEWNEXTHOP, NLM_F_CREATE | NLM_F_REPLACE, hop),
        Message(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, body),
    ]


def is_local(socket: Socket, address: Address) -> bool:
    """Whether the namespace takes packets to that address: an address of IPv6 is there a little before that."""
    body = _RTMSG.pack(AF[address.version], BITS[address.version], 0, 0, 0, 0, 0, 0, 0)
    try:
        (answer,) = socket.get(Message(RTM_GETROUTE, 0, body + attribute(RTA_DST, address.packed)))
    except NetlinkError:
        return False
    return bool(answer[7] == RTN_LOCAL)


def read(socket: Socket) -> Fib:
    """What stands of ours in the socket's namespace."""
    hops: dict[int, Hop] = {}
    groups: dict[int, Members] = {}
    for body in socket.dump(Message(RTM_GETNEXTHOP, 0, _NHMSG.pack(0, 0, 0, 0, 0))):
        number, one = number_of(body), parse_nexthop(body)
        if isinstance(one, Hop):
            hops[number] = one
        elif one is not None:
            groups[number] = one
    routes: dict[Address, int] = {}
    for found in _routes(socket):
        if RTA_NH_ID in found and RTA_DST in found:
            routes[ip_address(found[RTA_DST])] = _U32.unpack(found[RTA_NH_ID])[0]
    return Fib(hops, groups, routes)


def number_of(body: bytes) -> int:
    """The id of a next hop or group that the kernel tells of."""
    return int(_U32.unpack(dict(attributes(body, _NHMSG.size))[NHA_ID])[0])


def parse_nexthop(body: bytes) -> Hop | Members | None:
    """A next hop or the members of a group, if it is ours."""
    found = dict(attributes(body, _NHMSG.size))
    if body[2] != RTPROT_VAPORTRAIL:
        return None
    if NHA_GROUP in found:
        return tuple((hop, low + 1) for hop, low, _, _ in _MEMBER.iter_unpack(found[NHA_GROUP]))
    if NHA_GATEWAY in found and NHA_OIF in found:
        return Hop(number_of(body), _U32.unpack(found[NHA_OIF])[0], ip_address(found[NHA_GATEWAY]))
    return None


def be_terse(socket: Socket) -> None:
    """From now on the kernel tells routes without the members of their groups. So it need not go through all routes of
    the namespace when a group changes."""
    namespace.inside_handle(socket.open_namespace(), partial(_COMPATIBLE.write_text, "0"))


def read_link_routes(socket: Socket) -> set[tuple[Address, int]]:
    """(address, interface's index) of what `put_link_route` made."""
    return {
        (ip_address(found[RTA_DST]), _U32.unpack(found[RTA_OIF])[0])
        for found in _routes(socket)
        if RTA_DST in found and RTA_OIF in found and RTA_GATEWAY in found and RTA_NH_ID not in found
    }


def read_strange_routes(socket: Socket) -> set[Address]:
    """Where the routes to a single address lead to that others made."""
    return {ip_address(found[RTA_DST]) for found in _routes(socket, ours=False) if RTA_DST in found}


def _routes(socket: Socket, *, ours: bool = True) -> Iterator[dict[int, bytes]]:
    """Those to a single address that are ours, or others'."""
    for body in _all_routes(socket):
        if body[1] in BITS.values() and body[4] == RT_TABLE_MAIN and (body[5] == RTPROT_VAPORTRAIL) is ours:
            yield dict(attributes(body, _RTMSG.size))


def _all_routes(socket: Socket) -> list[bytes]:
    everything = Message(RTM_GETROUTE, 0, _RTMSG.pack(AF_UNSPEC, 0, 0, 0, 0, 0, 0, 0, 0))
    try:
        return socket.dump(everything)
    except NetlinkError as error:
        if error.errno != errno.EMSGSIZE:
            raise
        be_terse(socket)  # two thousand members are more than a message takes
        return socket.dump(everything)


def _exits(gateway: Address, link: int) -> Iterator[bytes]:
    way = attribute(RTA_GATEWAY, gateway.packed) + attribute(RTA_OIF, _U32.pack(link))
    if gateway.version == 6:
        yield _route(6, 0, RT_SCOPE_UNIVERSE, RTNH_F_ONLINK) + way + attribute(RTA_PRIORITY, _U32.pack(1))
        return
    for first in (0, 0x80):
        yield _route(4, 1, RT_SCOPE_UNIVERSE, RTNH_F_ONLINK) + attribute(RTA_DST, bytes((first, 0, 0, 0))) + way


def _to(address: Address, scope: int, flags: int = 0) -> bytes:
    """The header of a route to that address alone, and the address."""
    return _route(address.version, BITS[address.version], scope, flags) + attribute(RTA_DST, address.packed)


def _route(family: Family, length: int, scope: int, flags: int = 0) -> bytes:
    return _RTMSG.pack(AF[family], length, 0, 0, RT_TABLE_MAIN, RTPROT_VAPORTRAIL, scope, RTN_UNICAST, flags)
