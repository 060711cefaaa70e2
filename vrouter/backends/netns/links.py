"""Links, addresses and neighbours (linux/if_link.h, linux/neighbour.h): the veth between a VRF and a workload."""

import errno
import struct
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address

from vrouter.backends.netns.fib import AF, AF_UNSPEC, BITS
from vrouter.backends.netns.netlink import (
    NLM_F_CREATE,
    NLM_F_EXCL,
    NLM_F_REPLACE,
    Message,
    NetlinkError,
    Socket,
    attribute,
    attributes,
    nested,
)
from vrouter.state import Address

RTM_NEWLINK, RTM_DELLINK, RTM_GETLINK = 16, 17, 18
RTM_NEWADDR, RTM_GETADDR = 20, 22
RTM_NEWNEIGH, RTM_GETNEIGH = 28, 30
IFLA_ADDRESS, IFLA_IFNAME, IFLA_MTU, IFLA_MASTER, IFLA_LINKINFO, IFLA_IFALIAS = 1, 3, 4, 10, 18, 20
IFLA_STATS64, IFLA_NET_NS_FD = 23, 28
IFLA_INFO_KIND, IFLA_INFO_DATA, VETH_INFO_PEER = 1, 2, 1
IFLA_OPERSTATE, IF_OPER_UP = 16, 6
IFA_ADDRESS, IFA_LOCAL, IFA_FLAGS = 1, 2, 8
IFA_F_NODAD, IFA_F_NOPREFIXROUTE = 0x2, 0x200
NDA_DST, NDA_LLADDR = 1, 2
IFF_UP, IFF_LOWER_UP = 0x1, 0x1_0000
NUD_PERMANENT = 0x80
NTF_PROXY = 0x08
GATEWAY_MAC = "00:00:5e:00:01:00"  # what a workload of Contrail's vRouter sends to, whatever its gateway
LOOPBACK = 1  # lo's index, in every namespace

_IFINFO = struct.Struct("=BBHiII")  # family, pad, type, index, flags, change
_IFADDR = struct.Struct("=BBBBI")  # family, prefix length, flags, scope, index
_NDMSG = struct.Struct("=BBHiHBB")  # family, pad, pad, index, state, flags, type
_STATS = struct.Struct("=QQQQ")  # rx packets, tx packets, rx bytes, tx bytes: the first of rtnl_link_stats64


@dataclass(frozen=True, slots=True)
class Link:
    """A link as it stands. carrier: it is up and so is its peer. The counters are its own, not its peer's."""

    index: int
    name: str
    alias: str
    carrier: bool
    rx_packets: int = 0
    tx_packets: int = 0
    rx_bytes: int = 0
    tx_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Device:
    """What a link is. mac: six lower-case hexadecimal pairs. kind: of a virtual one, as the kernel calls it. master:
    index of the bridge or bond that has it, 0 for none."""

    index: int
    mac: str
    kind: str
    master: int


def add_veth(name: str, peer_name: str, peer_namespace: int, peer_mac: str, mtu: int | None = None) -> Message:
    """A veth here, with `GATEWAY_MAC`, whose other end is in the namespace of the file descriptor, with that MAC.
    mtu: of both ends, in bytes; None: the kernel's."""
    size = attribute(IFLA_MTU, struct.pack("=I", mtu)) if mtu else b""
    peer = _IFINFO.pack(0, 0, 0, 0, 0, 0) + attribute(IFLA_IFNAME, peer_name.encode() + b"\0")
    peer += attribute(IFLA_ADDRESS, mac_bytes(peer_mac))
    peer += attribute(IFLA_NET_NS_FD, struct.pack("=I", peer_namespace)) + size
    body = _IFINFO.pack(0, 0, 0, 0, 0, 0) + attribute(IFLA_IFNAME, name.encode() + b"\0")
    body += attribute(IFLA_ADDRESS, mac_bytes(GATEWAY_MAC)) + size
    data = nested(IFLA_INFO_DATA, attribute(VETH_INFO_PEER, peer))
    body += nested(IFLA_LINKINFO, attribute(IFLA_INFO_KIND, b"veth"), data)
    return Message(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, body)


def set_alias(name: str, alias: str) -> Message:
    body = _IFINFO.pack(0, 0, 0, 0, 0, 0) + attribute(IFLA_IFNAME, name.encode() + b"\0")
    return Message(RTM_NEWLINK, 0, body + attribute(IFLA_IFALIAS, alias.encode()))


def move(index: int, namespace: int, name: str, alias: str, mac: str | None = None) -> Message:
    """The link into the namespace of the file descriptor, where it has this name and alias (and MAC) from the
    beginning. It leaves its addresses and routes behind, and is down."""
    body = _IFINFO.pack(0, 0, 0, index, 0, 0) + attribute(IFLA_NET_NS_FD, struct.pack("=I", namespace))
    body += attribute(IFLA_IFNAME, name.encode() + b"\0") + attribute(IFLA_IFALIAS, alias.encode())
    return Message(RTM_NEWLINK, 0, body + (attribute(IFLA_ADDRESS, mac_bytes(mac)) if mac else b""))


def set_up(index: int) -> Message:
    return Message(RTM_NEWLINK, 0, _IFINFO.pack(0, 0, 0, index, IFF_UP, IFF_UP))


def delete(index: int) -> Message:
    """The link, with its addresses, neighbours, routes and next hops; a veth takes its peer along."""
    return Message(RTM_DELLINK, 0, _IFINFO.pack(0, 0, 0, index, 0, 0))


def put_address(index: int, address: Address) -> Message:
    """One of its own network. Nobody else can have it, so nobody is asked: it is of use at once."""
    family = address.version
    body = _IFADDR.pack(AF[family], BITS[family], 0, 0, index) + attribute(IFA_LOCAL, address.packed)
    if family == 6:
        body += attribute(IFA_FLAGS, struct.pack("=I", IFA_F_NODAD | IFA_F_NOPREFIXROUTE))
    return Message(RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, body + attribute(IFA_ADDRESS, address.packed))


def put_neighbour(index: int, address: Address, mac: str) -> Message:
    body = _NDMSG.pack(AF[address.version], 0, 0, index, NUD_PERMANENT, 0, 0) + attribute(NDA_DST, address.packed)
    return Message(RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, body + attribute(NDA_LLADDR, mac_bytes(mac)))


def put_proxy(index: int, address: Address) -> Message:
    """Answer on that link for who asks for the address."""
    return Message(RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, _proxy(index, address))


def delete_proxy(index: int, address: Address) -> Message:
    return Message(RTM_NEWNEIGH + 1, 0, _proxy(index, address))


def _proxy(index: int, address: Address) -> bytes:
    head = _NDMSG.pack(AF[address.version], 0, 0, index, NUD_PERMANENT, NTF_PROXY, 0)
    return head + attribute(NDA_DST, address.packed)


def delete_neighbour(index: int, address: Address) -> Message:
    body = _NDMSG.pack(AF[address.version], 0, 0, index, 0, 0, 0) + attribute(NDA_DST, address.packed)
    return Message(RTM_NEWNEIGH + 1, 0, body)


def read(socket: Socket) -> list[Link]:
    found: list[Link] = []
    for body in socket.dump(Message(RTM_GETLINK, 0, _IFINFO.pack(0, 0, 0, 0, 0, 0))):
        _, _, _, index, flags, _ = _IFINFO.unpack_from(body)
        values = dict(attributes(body, _IFINFO.size))
        counters = _STATS.unpack_from(values.get(IFLA_STATS64, bytes(_STATS.size)))
        up = flags & (IFF_UP | IFF_LOWER_UP) == IFF_UP | IFF_LOWER_UP
        rx_packets, tx_packets, rx_bytes, tx_bytes = counters
        found.append(
            Link(
                index,
                values[IFLA_IFNAME].rstrip(b"\0").decode(),
                _alias(values),
                up,
                rx_packets,
                tx_packets,
                rx_bytes,
                tx_bytes,
            )
        )
    return found


def find(socket: Socket, name: str) -> int | None:
    """The index of the link with that name, without reading all."""
    answer = _named(socket, name)
    return None if answer is None else int(_IFINFO.unpack_from(answer)[3])


def describe(socket: Socket, name: str) -> Device | None:
    """The link with that name, without reading all."""
    answer = _named(socket, name)
    if answer is None:
        return None
    values = dict(attributes(answer, _IFINFO.size))
    kind = dict(attributes(values.get(IFLA_LINKINFO, b""))).get(IFLA_INFO_KIND, b"")
    master = int.from_bytes(values.get(IFLA_MASTER, b""), sys.byteorder)
    mac = values.get(IFLA_ADDRESS, b"").hex(":")
    return Device(int(_IFINFO.unpack_from(answer)[3]), mac, kind.rstrip(b"\0").decode(), master)


def alias(socket: Socket, index: int) -> str:
    """Of one link, without reading all."""
    (answer,) = socket.get(Message(RTM_GETLINK, 0, _IFINFO.pack(0, 0, 0, index, 0, 0)))
    return _alias(dict(attributes(answer, _IFINFO.size)))


def is_operational(socket: Socket, index: int) -> bool:
    """Whether the link transmits: it has a carrier and the kernel has acted on that."""
    (answer,) = socket.get(Message(RTM_GETLINK, 0, _IFINFO.pack(0, 0, 0, index, 0, 0)))
    return dict(attributes(answer, _IFINFO.size)).get(IFLA_OPERSTATE) == bytes((IF_OPER_UP,))


def await_operational(ends: Sequence[tuple[Socket, int]], patience: float) -> None:
    """Wait until these links transmit, `patience` seconds at most: the end that was opened first does so only when the
    kernel has noticed its carrier, and until then drops what it should send."""
    deadline = time.monotonic() + patience
    while not all(is_operational(*end) for end in ends) and time.monotonic() < deadline:
        time.sleep(0.001)


def has_carrier(socket: Socket, index: int) -> bool | None:
    """Whether the link and its peer are up; None if it is gone."""
    try:
        (answer,) = socket.get(Message(RTM_GETLINK, 0, _IFINFO.pack(0, 0, 0, index, 0, 0)))
    except NetlinkError as error:
        if error.errno == errno.ENODEV:
            return None
        raise
    return bool(_IFINFO.unpack_from(answer)[4] & IFF_LOWER_UP)


def read_addresses(socket: Socket) -> set[tuple[int, Address]]:
    """(link's index, its address)."""
    found = set()
    for body in socket.dump(Message(RTM_GETADDR, 0, _IFADDR.pack(AF_UNSPEC, 0, 0, 0, 0))):
        values = dict(attributes(body, _IFADDR.size))
        address = values.get(IFA_LOCAL) or values.get(IFA_ADDRESS)
        if address is not None:
            found.add((int(_IFADDR.unpack_from(body)[4]), ip_address(address)))
    return found


def read_neighbours(socket: Socket) -> dict[tuple[int, Address], str]:
    """(link's index, address) -> MAC, of those that are permanent."""
    found = {}
    for body in socket.dump(Message(RTM_GETNEIGH, 0, _NDMSG.pack(AF_UNSPEC, 0, 0, 0, 0, 0, 0))):
        _, _, _, index, state, _, _ = _NDMSG.unpack_from(body)
        values = dict(attributes(body, _NDMSG.size))
        if state & NUD_PERMANENT and NDA_DST in values and NDA_LLADDR in values:
            found[index, ip_address(values[NDA_DST])] = values[NDA_LLADDR].hex(":")
    return found


def _named(socket: Socket, name: str) -> bytes | None:
    body = _IFINFO.pack(0, 0, 0, 0, 0, 0) + attribute(IFLA_IFNAME, name.encode() + b"\0")
    try:
        (answer,) = socket.get(Message(RTM_GETLINK, 0, body))
    except NetlinkError as error:
        if error.errno == errno.ENODEV:
            return None
        raise
    return answer


def _alias(values: Mapping[int, bytes]) -> str:
    return values.get(IFLA_IFALIAS, b"").rstrip(b"\0").decode(errors="replace")


def mac_bytes(mac: str) -> bytes:
    return bytes.fromhex(mac.replace(":", ""))
