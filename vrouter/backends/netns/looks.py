"""A look at one object of the kernel's, without reading the others of its kind."""

import errno
import struct
from dataclasses import dataclass

from vrouter.backends.netns import fib, links
from vrouter.backends.netns.fib import Hop, Members
from vrouter.backends.netns.netlink import Message, NetlinkError, Socket, attribute, attributes
from vrouter.state import Address

_RTM_F_FIB_MATCH = 0x2000
_NUD_PERMANENT = 0x80
_IFINFO = struct.Struct("=BBHiII")
_NHMSG = struct.Struct("=BBBBI")
_RTMSG = struct.Struct("=BBBBBBBBI")
_NDMSG = struct.Struct("=BBHiHBB")
_U32 = struct.Struct("=I")
_FAMILY = {4: 2, 6: 10}  # AF_INET, AF_INET6


@dataclass(frozen=True, slots=True)
class Link:
    """up: by its owner's will. carrier: its peer is up, too."""

    up: bool
    carrier: bool
    alias: str


@dataclass(frozen=True, slots=True)
class Way:
    """The route the kernel takes. length: of its prefix. nexthop: id, 0 for none. message: that deletes it."""

    length: int
    table: int
    nexthop: int
    link: int
    delete: Message


def link(socket: Socket, index: int) -> Link | None:
    answer = _get(socket, Message(links.RTM_GETLINK, 0, _IFINFO.pack(0, 0, 0, index, 0, 0)))
    if answer is None:
        return None
    flags = _IFINFO.unpack_from(answer)[4]
    alias = dict(attributes(answer, _IFINFO.size)).get(links.IFLA_IFALIAS, b"")
    carrier = flags & (links.IFF_UP | links.IFF_LOWER_UP) == links.IFF_UP | links.IFF_LOWER_UP
    return Link(bool(flags & links.IFF_UP), carrier, alias.rstrip(b"\0").decode(errors="replace"))


def nexthop(socket: Socket, number: int) -> Hop | Members | None:
    """A next hop, or the members of a group. One that is neither as ours are is none."""
    body = _NHMSG.pack(0, 0, 0, 0, 0) + attribute(fib.NHA_ID, _U32.pack(number))
    answer = _get(socket, Message(fib.RTM_GETNEXTHOP, 0, body))
    return None if answer is None else fib.parse_nexthop(answer)


def neighbour(socket: Socket, index: int, address: Address) -> str | None:
    """The MAC of a permanent one."""
    body = _NDMSG.pack(_FAMILY[address.version], 0, 0, index, 0, 0, 0) + attribute(links.NDA_DST, address.packed)
    answer = _get(socket, Message(links.RTM_GETNEIGH, 0, body))
    if answer is None or not _NDMSG.unpack_from(answer)[4] & _NUD_PERMANENT:
        return None
    return dict(attributes(answer, _NDMSG.size)).get(links.NDA_LLADDR, b"").hex(":")


def way(socket: Socket, address: Address) -> Way | None:
    """Where a packet to that address goes."""
    family, bits = _FAMILY[address.version], address.max_prefixlen
    body = _RTMSG.pack(family, bits, 0, 0, 0, 0, 0, 0, _RTM_F_FIB_MATCH) + attribute(fib.RTA_DST, address.packed)
    answer = _get(socket, Message(fib.RTM_GETROUTE, 0, body))
    if answer is None:
        return None
    found = dict(attributes(answer, _RTMSG.size))
    number, out = (_U32.unpack(found.get(kind, bytes(4)))[0] for kind in (fib.RTA_NH_ID, fib.RTA_OIF))
    through = (fib.RTA_NH_ID,) if number else (fib.RTA_OIF, fib.RTA_GATEWAY)
    kept = (fib.RTA_DST, fib.RTA_PRIORITY, *through)
    named = b"".join(attribute(kind, data) for kind, data in found.items() if kind in kept)
    header = answer[:8] + bytes(4)  # without flags
    return Way(answer[1], answer[4], number, out, Message(fib.RTM_NEWROUTE + 1, 0, header + named))


def _get(socket: Socket, message: Message) -> bytes | None:
    try:
        return next(iter(socket.get(message)), None)
    except NetlinkError as error:
        if error.errno in (errno.ENODEV, errno.ENOENT, errno.ENETUNREACH, errno.EHOSTUNREACH):
            return None
        raise
