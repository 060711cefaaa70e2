"""Questions to the kernel about one packet: which way the FIB takes it, and who is in a group.

The FIB is asked as for a packet that comes in (RTM_GETROUTE with an input interface, protocol and ports), so that its
hash is the one a real packet meets.
"""

import errno
import struct
from dataclasses import dataclass
from ipaddress import ip_address, ip_network

from vrouter.backends.lookup import Header
from vrouter.backends.netns.fib import Members
from vrouter.backends.netns.netlink import Message, NetlinkError, Socket, attribute, attributes
from vrouter.state import Address, Family

_RTM_GETROUTE, _RTM_GETNEXTHOP = 26, 106
_RTA_DST, _RTA_SRC, _RTA_IIF, _RTA_OIF, _RTA_GATEWAY, _RTA_NH_ID = 1, 2, 3, 4, 5, 30
_RTA_IP_PROTO, _RTA_SPORT, _RTA_DPORT = 27, 28, 29
_NHA_ID, _NHA_GROUP = 1, 2
_RTM_F_FIB_MATCH = 0x2000
_RTN_LOCAL = 2
_RTMSG = struct.Struct("=BBBBBBBBI")  # family, dst_len, src_len, tos, table, protocol, scope, type, flags
_NHMSG = struct.Struct("=BBBBI")
_MEMBER = struct.Struct("=IBBH")
_U32 = struct.Struct("=I")
_AF = {4: 2, 6: 10}
_PROTOCOLS = {"tcp": 6, "udp": 17}
_NO_WAY = (errno.ENETUNREACH, errno.EHOSTUNREACH)


@dataclass(frozen=True, slots=True)
class Way:
    """prefix: of the route that was found, empty if there is none. nexthop: its object, if it has one. link, gateway:
    index of the interface that this packet leaves by, 0 for none, and to whom. local: it ends here."""

    prefix: str = ""
    nexthop: int | None = None
    link: int = 0
    gateway: Address | None = None
    local: bool = False


def way(socket: Socket, link: int, header: Header) -> Way:
    """Of a packet that comes in by `link`."""
    family: Family = header.source.version
    try:
        (kind, route), (_, chosen) = (
            _route(socket, family, link, header, match=True),
            _route(socket, family, link, header, match=False),
        )
    except NetlinkError as error:
        if error.errno in _NO_WAY:
            return Way()
        raise
    length, type_ = kind[1], kind[7]
    destination = route.get(_RTA_DST, bytes(len(header.source.packed)))
    number = _U32.unpack(route[_RTA_NH_ID])[0] if _RTA_NH_ID in route else None
    out = _U32.unpack(chosen[_RTA_OIF])[0] if _RTA_OIF in chosen else 0
    prefix = ip_network((ip_address(destination), length), strict=False)
    gateway = ip_address(chosen[_RTA_GATEWAY]) if _RTA_GATEWAY in chosen else None
    return Way(str(prefix), number, out, gateway, type_ == _RTN_LOCAL)


def group_of(socket: Socket, address: Address) -> int | None:
    """The group that a route to this very address leads to."""
    bits = 8 * len(address.packed)
    body = _RTMSG.pack(_AF[address.version], bits, 0, 0, 0, 0, 0, 0, _RTM_F_FIB_MATCH)
    try:
        answers = socket.get(Message(_RTM_GETROUTE, 0, body + attribute(_RTA_DST, address.packed)))
    except NetlinkError as error:
        if error.errno in _NO_WAY:
            return None
        raise
    found = dict(attributes(answers[0], _RTMSG.size))
    return _U32.unpack(found[_RTA_NH_ID])[0] if answers[0][1] == bits and _RTA_NH_ID in found else None


def members(socket: Socket, group: int) -> Members:
    """Of a group; nobody if it is a single next hop."""
    body = _NHMSG.pack(0, 0, 0, 0, 0) + attribute(_NHA_ID, _U32.pack(group))
    for answer in socket.get(Message(_RTM_GETNEXTHOP, 0, body)):
        found = dict(attributes(answer, _NHMSG.size))
        return tuple((hop, low + 1) for hop, low, _, _ in _MEMBER.iter_unpack(found.get(_NHA_GROUP, b"")))
    return ()


def _route(socket: Socket, family: Family, link: int, header: Header, *, match: bool) -> tuple[bytes, dict[int, bytes]]:
    """match: the route as it is in the FIB; else what comes of it."""
    bits = 8 * len(header.source.packed)
    body = _RTMSG.pack(_AF[family], bits, bits, 0, 0, 0, 0, 0, _RTM_F_FIB_MATCH if match else 0)
    body += attribute(_RTA_DST, header.destination.packed) + attribute(_RTA_SRC, header.source.packed)
    body += attribute(_RTA_IIF, _U32.pack(link))
    body += attribute(_RTA_IP_PROTO, bytes((_PROTOCOLS[header.protocol],)))
    body += attribute(_RTA_SPORT, struct.pack(">H", header.source_port))
    body += attribute(_RTA_DPORT, struct.pack(">H", header.destination_port))
    answer = next(iter(socket.get(Message(_RTM_GETROUTE, 0, body))))
    return answer[: _RTMSG.size], dict(attributes(answer, _RTMSG.size))
