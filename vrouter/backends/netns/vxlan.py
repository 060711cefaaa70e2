"""The VXLAN device of a VRF (RFC 7348; linux/if_link.h, linux/neighbour.h): the way to other nodes.

It is made in the agent's own network namespace, so that its packets travel in the underlay, and stands in the VRF's.
It learns nothing and floods nothing: a packet goes to the node whose MAC its next hop has, and that has one forwarding
entry for each node. MACs are nodes', not pods': what comes out of a tunnel is routed, as any packet in the VRF.

*Own addresses.* So that a VRF can speak for itself to pods of other nodes (probes, ICMP errors), its device has an
address of a prefix that is on no wire, made of its VTEP's; the answer finds back by the same rule.
"""

import errno
import struct
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from ipaddress import IPv4Address, IPv6Address, ip_address

from vrouter.backends.netns import links
from vrouter.backends.netns.fib import AF
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
from vrouter.state import Address, Family, Vtep

PORT = 4789  # UDP (RFC 7348, section 8.1)
# Bytes before a packet in the underlay: its IP header, UDP, VXLAN, Ethernet.
OVERHEAD: Mapping[Family, int] = {4: 20 + 8 + 8 + 14, 6: 40 + 8 + 8 + 14}
USUAL_MTU = 1500

# Where own addresses are: reserved (RFC 1112, RFC 8215), and apart from surrogates (`elements.SURROGATES`).
OWN: Mapping[Family, Address] = {4: IPv4Address("248.0.0.0"), 6: IPv6Address("64:ff9b:1:ffff::")}
OWN_LENGTHS: Mapping[Family, int] = {4: 5, 6: 64}

AF_BRIDGE = 7
NUD_NOARP, NTF_SELF = 0x40, 0x02
IFLA_MTU = 4
_ID, _LOCAL, _LEARNING, _PORT, _LOCAL6, _ZERO_CHECKSUM6 = 1, 4, 7, 15, 17, 20  # IFLA_VXLAN_*

_IFINFO = struct.Struct("=BBHiII")
_IFADDR = struct.Struct("=BBBBI")
_NDMSG = struct.Struct("=BBHiHBB")


@dataclass(frozen=True, slots=True)
class Device:
    """One that stands. link: its index. mtu: of what goes through it. up: by its owner's will."""

    link: int
    name: str
    vtep: Vtep
    mtu: int
    up: bool = True


def name(vtep: Vtep) -> str:
    return f"vxlan{vtep.vni}"


def mac(router: Address) -> str:
    """Of the VXLAN devices of a node: by it they are found, and nobody has to be asked. Locally administered."""
    if router.version == 4:
        return "02:56:" + router.packed.hex(":")
    return "02:" + blake2b(router.packed, digest_size=5).digest().hex(":")


def own_address(router: Address, family: Family) -> Address:
    """Of the VRFs of the node with that VTEP."""
    return OWN[family] + int(router) % (1 << (27 if family == 4 else 32))


def is_own(address: Address) -> bool:
    """Whether it is some VRF's own."""
    return int(address) - int(OWN[address.version]) in range(
        1 << (address.max_prefixlen - OWN_LENGTHS[address.version])
    )


def add(vtep: Vtep, mtu: int, namespace: int) -> Message:
    """To be sent in the underlay's namespace: the device, in that of the file descriptor."""
    data = [
        attribute(_ID, struct.pack("=I", vtep.vni)),
        attribute(_LOCAL if vtep.address.version == 4 else _LOCAL6, vtep.address.packed),
        attribute(_LEARNING, b"\0"),
        attribute(_PORT, struct.pack(">H", PORT)),
    ]
    if vtep.address.version == 6:  # RFC 6935 lets VTEPs of hardware send none; Linux itself sends them
        data.append(attribute(_ZERO_CHECKSUM6, b"\1"))
    body = _IFINFO.pack(0, 0, 0, 0, 0, 0) + attribute(links.IFLA_IFNAME, name(vtep).encode() + b"\0")
    body += attribute(links.IFLA_ADDRESS, links.mac_bytes(mac(vtep.address))) + attribute(
        IFLA_MTU, struct.pack("=I", mtu)
    )
    body += attribute(links.IFLA_NET_NS_FD, struct.pack("=I", namespace))
    kind = attribute(links.IFLA_INFO_KIND, b"vxlan")
    body += nested(links.IFLA_LINKINFO, kind, nested(links.IFLA_INFO_DATA, *data))
    return Message(links.RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, body)


def restate(device: Device, routers: Collection[Address], families: Collection[Family]) -> list[Message]:
    """All that the device has to have."""
    own = [_put_own_address(device, family) for family in families]
    ways = [message for router in routers for message in put_router(device, router, families)]
    return [_set_up(device), *own, *ways]


def _set_up(device: Device) -> Message:
    body = _IFINFO.pack(0, 0, 0, device.link, links.IFF_UP, links.IFF_UP)
    return Message(links.RTM_NEWLINK, 0, body + attribute(IFLA_MTU, struct.pack("=I", device.mtu)))


def _put_own_address(device: Device, family: Family) -> Message:
    """With the prefix in which those of other nodes are."""
    address = own_address(device.vtep.address, family)
    body = _IFADDR.pack(AF[family], OWN_LENGTHS[family], 0, 0, device.link) + attribute(links.IFA_LOCAL, address.packed)
    if family == 6:
        body += attribute(links.IFA_FLAGS, struct.pack("=I", links.IFA_F_NODAD))
    body += attribute(links.IFA_ADDRESS, address.packed)
    return Message(links.RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, body)


def put_router(device: Device, router: Address, families: Collection[Family]) -> list[Message]:
    """The way to another node."""
    way = mac(router)
    own = [links.put_neighbour(device.link, own_address(router, family), way) for family in families]
    return [_entry(links.RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, device.link, router), *own]


def delete_router(device: Device, router: Address, families: Collection[Family]) -> list[Message]:
    own = [links.delete_neighbour(device.link, own_address(router, family)) for family in families]
    return [_entry(links.RTM_NEWNEIGH + 1, 0, device.link, router), *own]


def read(socket: Socket) -> Device | None:
    """The one in the socket's namespace, if there is one."""
    kind = nested(links.IFLA_LINKINFO, attribute(links.IFLA_INFO_KIND, b"vxlan"))
    bodies = socket.dump(Message(links.RTM_GETLINK, 0, _IFINFO.pack(0, 0, 0, 0, 0, 0) + kind))
    return next((device for body in bodies if (device := _parse(body)) is not None), None)


def look(socket: Socket, link: int) -> Device | None:
    """The one with that index."""
    try:
        (body,) = socket.get(Message(links.RTM_GETLINK, 0, _IFINFO.pack(0, 0, 0, link, 0, 0)))
    except NetlinkError as error:
        if error.errno == errno.ENODEV:
            return None
        raise
    return _parse(body)


def read_routers(socket: Socket, device: Device) -> dict[str, Address]:
    """MAC -> VTEP, of the entries by which the device forwards; those are ours that `mac` has made."""
    message = Message(links.RTM_GETNEIGH, 0, _NDMSG.pack(AF_BRIDGE, 0, 0, device.link, 0, 0, 0))
    found = {}
    for body in socket.dump(message):
        _, _, _, index, _, _, _ = _NDMSG.unpack_from(body)
        values = dict(attributes(body, _NDMSG.size))
        if index == device.link and links.NDA_LLADDR in values and links.NDA_DST in values:
            found[values[links.NDA_LLADDR].hex(":")] = ip_address(values[links.NDA_DST])
    return found


def underlay_mtu(socket: Socket, address: Address) -> int:
    """Of the link that has the address, in the socket's namespace. An address of the loopback, or that nobody has yet,
    says nothing: `USUAL_MTU`."""
    owners = {link for link, one in links.read_addresses(socket) if one == address}
    for body in socket.dump(Message(links.RTM_GETLINK, 0, _IFINFO.pack(0, 0, 0, 0, 0, 0))):
        index = _IFINFO.unpack_from(body)[3]
        if index in owners and index != links.LOOPBACK:
            return int(struct.unpack("=I", dict(attributes(body, _IFINFO.size))[IFLA_MTU])[0])
    return USUAL_MTU


def _entry(kind: int, flags: int, link: int, router: Address) -> Message:
    """Of the device's forwarding table: which MAC is at which VTEP."""
    body = _NDMSG.pack(AF_BRIDGE, 0, 0, link, links.NUD_PERMANENT | NUD_NOARP, NTF_SELF, 0)
    body += attribute(links.NDA_LLADDR, links.mac_bytes(mac(router))) + attribute(links.NDA_DST, router.packed)
    return Message(kind, flags, body)


def _parse(body: bytes) -> Device | None:
    values = dict(attributes(body, _IFINFO.size))
    info = dict(attributes(values.get(links.IFLA_LINKINFO, b"")))
    if info.get(links.IFLA_INFO_KIND, b"").rstrip(b"\0") != b"vxlan":
        return None
    data = dict(attributes(info.get(links.IFLA_INFO_DATA, b"")))
    local = data.get(_LOCAL) or data.get(_LOCAL6)
    if local is None or _ID not in data:
        return None
    vtep = Vtep(ip_address(local), struct.unpack("=I", data[_ID])[0])
    _, _, _, index, flags, _ = _IFINFO.unpack_from(body)
    title = values[links.IFLA_IFNAME].rstrip(b"\0").decode()
    return Device(index, title, vtep, struct.unpack("=I", values[IFLA_MTU])[0], bool(flags & links.IFF_UP))
