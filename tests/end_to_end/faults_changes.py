"""Whatever is changed in network namespaces, told by the kernel itself: links, addresses, neighbours, routes, next
hops and elements of nft tables. What packets do (flows come and go) the kernel does not tell.

As a program, inside one namespace, it says `listening`, and for a line of its input what it has heard so far.
"""

import socket
import struct
import sys
from collections.abc import Iterable, Iterator
from functools import partial
from ipaddress import IPv4Address
from typing import Self

from vrouter import namespace

ROUTE, NETFILTER = 0, 12  # linux/netlink.h
GROUPS = {ROUTE: (1, 3, 5, 7, 32), NETFILTER: (7,)}  # RTNLGRP_LINK, NEIGH, IPV4_IFADDR, IPV4_ROUTE, NEXTHOP; NFTABLES
SOL_NETLINK, ADD_MEMBERSHIP = 270, 1
NAMES = {
    16: "link", 17: "link gone", 20: "address", 21: "address gone", 24: "route", 25: "route gone",
    28: "neighbour", 29: "neighbour gone", 104: "next hop", 105: "next hop gone",
}  # fmt: skip
RTA_DST = 1

_HEADER, _ATTRIBUTE = struct.Struct("=IHHII"), struct.Struct("=HH")


def listener(protocol: int) -> socket.socket:
    """In the namespace of the calling thread."""
    found = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, protocol)
    found.bind((0, 0))
    for group in GROUPS[protocol]:
        found.setsockopt(SOL_NETLINK, ADD_MEMBERSHIP, group)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
    found.setblocking(False)
    return found


class Changes:
    """Of these namespaces, from now on."""

    def __init__(self, networks: Iterable[str]) -> None:
        self._listeners = [
            (protocol, namespace.inside(network, partial(listener, protocol)))
            for network in networks
            for protocol in GROUPS
        ]

    def heard(self) -> list[str]:
        """Since the last call: `route 10.0.0.1`, say."""
        return [change for protocol, each in self._listeners for change in changes(protocol, each)]

    def close(self) -> None:
        for _, each in self._listeners:
            each.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def changes(protocol: int, each: socket.socket) -> Iterator[str]:
    while True:
        try:
            data = each.recv(1 << 16)
        except BlockingIOError:
            return
        while len(data) >= _HEADER.size:
            length, kind, _, _, _ = _HEADER.unpack_from(data)
            yield _route(kind, data[_HEADER.size : length]) if protocol == ROUTE else f"nft {kind & 0xFF}"
            data = data[(length + 3) & ~3 :]


def _route(kind: int, body: bytes) -> str:
    name = NAMES.get(kind, str(kind))
    if kind in (24, 25):
        rest = body[12:]
        while len(rest) >= _ATTRIBUTE.size:
            length, number = _ATTRIBUTE.unpack_from(rest)
            if number == RTA_DST:
                return f"{name} {IPv4Address(rest[4:length])}"
            rest = rest[(length + 3) & ~3 :]
    return name


def main() -> None:
    listeners = [(protocol, listener(protocol)) for protocol in GROUPS]
    print("listening", flush=True)
    for _ in sys.stdin:
        print([change for protocol, each in listeners for change in changes(protocol, each)], flush=True)


if __name__ == "__main__":
    main()
