"""What others do in the namespaces of VRFs, as the kernel tells it: which object to look at, never what is wrong.

Two sockets for each VRF, of rtnetlink and of nftables, are read by one thread. What the backend itself has sent is
dropped in the kernel: a notification names the socket that asked for the change, and a filter there compares. So the
backend's own work costs nothing here, however much it is, and what is left was done by somebody else or by the kernel
itself (a carrier that went, a next hop it took away).

If more happens than a socket holds, the VRF is to be compared as a whole (`comparison.py`).
"""

import ctypes
import errno
import os
import selectors
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from typing import Literal, NamedTuple

from vrouter import namespace
from vrouter.backends.netns import elements, fib, links, nftables, vxlan
from vrouter.backends.netns.departed import Count
from vrouter.backends.netns.netlink import NETLINK_NETFILTER, NETLINK_ROUTE, attributes
from vrouter.backends.netns.nftables import Place
from vrouter.backends.netns.rules import TABLE
from vrouter.state import Address, Family

_SOL_NETLINK, _ADD_MEMBERSHIP = 270, 1
_SO_ATTACH_FILTER, _SO_RCVBUFFORCE = 26, 33
_BUFFER = 4 << 20  # bytes of notifications that may wait
# RTNLGRP_*: LINK, NEIGH, IPV4_IFADDR, IPV4_ROUTE, IPV6_IFADDR, IPV6_ROUTE, NEXTHOP; NFNLGRP_NFTABLES
_GROUPS = {NETLINK_ROUTE: (1, 3, 5, 7, 9, 11, 32), NETLINK_NETFILTER: (7,)}
_HEADER = struct.Struct("=IHHII")
_IN_DELETE, _IN_CLOEXEC = 0x200, 0o2000000
_FAMILIES: dict[int, Family] = {2: 4, 10: 6}
_RTM = {
    **dict.fromkeys((links.RTM_NEWLINK, links.RTM_DELLINK), "link"),
    **dict.fromkeys((links.RTM_NEWADDR, links.RTM_NEWADDR + 1), "address"),
    **dict.fromkeys((links.RTM_NEWNEIGH, links.RTM_NEWNEIGH + 1), "neighbour"),
    **dict.fromkeys((fib.RTM_NEWROUTE, fib.RTM_NEWROUTE + 1), "route"),
    **dict.fromkeys((fib.RTM_NEWNEXTHOP, fib.RTM_DELNEXTHOP), "nexthop"),
}

What = int | Address | Place | Family | Count | None
Kind = Literal[
    "namespace", "table", "interface", "address", "nexthop", "route", "element", "counter", "sysctl", "everything"
]


class Suspect(NamedTuple):
    """An object to look at.

    what: of an interface or its address the index of its link, of a next hop or group its id, of a route the address
    (None: the way of what has no other), of an element its place, of a counter what it had, of a table the family.
    """

    kind: Kind
    what: What = None


class Watched(NamedTuple):
    """The namespace of the VRF of that index. own: ports of the backend's sockets there, of rtnetlink and nftables.
    flow_limit: for how many flows its table is."""

    vrf: int
    network: str
    own: tuple[int, int]
    flow_limit: int


class Events:
    """A thread that calls `found(index of the VRF, suspect)`. Namespaces are added and dropped from any thread."""

    def __init__(self, found: Callable[[int, Suspect], None]) -> None:
        self._found = found
        self._selector = selectors.DefaultSelector()
        self._lock = threading.Lock()
        self._sockets: dict[int, list[socket.socket]] = {}  # index of a VRF -> its sockets
        self._names: dict[str, int] = {}  # namespace -> index of its VRF
        self._wake, self._waker = socket.socketpair()
        self._selector.register(self._wake, selectors.EVENT_READ, None)
        self._removals = _removals(namespace.mode().directory)
        self._selector.register(self._removals, selectors.EVENT_READ, self._name_removed)
        self._ending = False
        self._thread = threading.Thread(target=self._run, name="kernel events", daemon=True)
        self._thread.start()

    def add(self, watched: Watched) -> None:
        """From now on. OSError: there is no such namespace."""
        sockets = []
        for protocol, own in zip((NETLINK_ROUTE, NETLINK_NETFILTER), watched.own, strict=True):
            one = namespace.inside(watched.network, partial(_listener, protocol, own))
            sockets.append(one)
            heard = partial(self._heard, watched.vrf, _routing if protocol == NETLINK_ROUTE else _tables)
            self._selector.register(one, selectors.EVENT_READ, partial(heard, one))
        with self._lock:
            self._sockets[watched.vrf] = sockets
            self._names[watched.network] = watched.vrf
        self._waker.send(b".")

    def drop(self, index: int) -> None:
        with self._lock:
            for one in self._sockets.pop(index, ()):
                self._selector.unregister(one)
                one.close()
            self._names = {name: each for name, each in self._names.items() if each != index}

    def close(self) -> None:
        self._ending = True
        self._waker.send(b".")
        self._thread.join()
        for index in list(self._sockets):
            self.drop(index)
        self._selector.close()
        os.close(self._removals)
        self._wake.close()
        self._waker.close()

    def _run(self) -> None:
        while not self._ending:
            for key, _ in self._selector.select():
                if key.data is None:
                    self._wake.recv(64)
                    continue
                with self._lock:
                    if key.fd == self._removals or key.fileobj.fileno() >= 0:  # type: ignore[union-attr]
                        key.data()

    def _heard(self, index: int, read: Callable[[int, bytes], Iterator[Suspect]], one: socket.socket) -> None:
        try:
            data = one.recv(1 << 16)
        except OSError as error:
            if error.errno == errno.ENOBUFS:
                self._found(index, Suspect("everything"))
            return
        offset = 0
        while offset + _HEADER.size <= len(data):
            length, kind, _, _, _ = _HEADER.unpack_from(data, offset)
            for suspect in read(kind, data[offset + _HEADER.size : offset + length]):
                self._found(index, suspect)
            offset += max((length + 3) & ~3, _HEADER.size)

    def _name_removed(self) -> None:
        data, offset = os.read(self._removals, 1 << 16), 0
        while offset < len(data):
            _, _, _, length = struct.unpack_from("=iIII", data, offset)
            name = data[offset + 16 : offset + 16 + length].rstrip(b"\0").decode(errors="replace")
            if name in self._names:
                self._found(self._names[name], Suspect("namespace"))
            offset += 16 + length


def _listener(protocol: int, own: int) -> socket.socket:
    """In the namespace of the calling thread."""
    found = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
    try:
        found.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER)
    except PermissionError:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
    _ignore(found, own)
    found.bind((0, 0))
    for group in _GROUPS[protocol]:
        found.setsockopt(_SOL_NETLINK, _ADD_MEMBERSHIP, group)
    found.setblocking(False)
    return found


def _ignore(listener: socket.socket, port: int) -> None:
    """Drop, before it costs anything, what is about a request of that port: classic BPF that reads `nlmsg_pid`."""
    load_word, jump_equal, answer = 0x20, 0x15, 0x06  # BPF_LD|W|ABS, BPF_JMP|JEQ|K, BPF_RET|K
    program = b"".join(
        struct.pack("=HBBI", *instruction)
        for instruction in (
            (load_word, 0, 0, 12),
            (jump_equal, 0, 1, socket.htonl(port)),  # the word is read in network order
            (answer, 0, 0, 0),
            (answer, 0, 0, 0xFFFF_FFFF),
        )
    )
    code = ctypes.create_string_buffer(program)
    filtering = struct.pack("@HP", len(program) // 8, ctypes.addressof(code))
    listener.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, filtering)


def _removals(directory: Path) -> int:
    """A file descriptor that tells which names are removed in a directory (inotify)."""
    libc = ctypes.CDLL(None, use_errno=True)
    handle: int = libc.inotify_init1(_IN_CLOEXEC)
    directory.mkdir(parents=True, exist_ok=True)
    if handle < 0 or libc.inotify_add_watch(handle, os.fsencode(directory), _IN_DELETE) < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return handle


def _routing(kind: int, body: bytes) -> Iterator[Suspect]:
    match _RTM.get(kind):
        case "link" | "address" | "neighbour" as which:
            # struct ifinfomsg, ifaddrmsg and ndmsg all have the index at 4
            if which == "neighbour" and body[0] in _FAMILIES:
                yield from _neighbour(body)
            elif which == "link" or body[0] in (*_FAMILIES, vxlan.AF_BRIDGE):  # an entry by which a device forwards
                yield Suspect("address" if which == "address" else "interface", struct.unpack_from("=i", body, 4)[0])
        case "nexthop":
            found = dict(attributes(body, 8))
            if fib.NHA_ID in found:
                yield Suspect("nexthop", struct.unpack("=I", found[fib.NHA_ID])[0])
        case "route":
            family = _FAMILIES.get(body[0])
            if family is None or body[4] != fib.RT_TABLE_MAIN:
                return
            found = dict(attributes(body, 12))
            if body[1] <= 1:  # to anywhere, or half of it
                yield Suspect("route")
            elif fib.RTA_DST in found and body[1] == 8 * len(found[fib.RTA_DST]):
                yield Suspect("route", ip_address(found[fib.RTA_DST]))


def _neighbour(body: bytes) -> Iterator[Suspect]:
    """Whoever has its address."""
    found = dict(attributes(body, 12))
    if links.NDA_DST in found:
        yield Suspect("route", ip_address(found[links.NDA_DST]))


def _tables(kind: int, body: bytes) -> Iterator[Suspect]:
    family = _FAMILIES.get(body[0])
    if family is None:
        return
    number = kind & 0xFF
    found = list(attributes(body, 4))
    values = dict(found)
    if values.get(1, b"").rstrip(b"\0").decode(errors="replace") != TABLE:  # every message has its table as number 1
        return
    if number not in (nftables.NFT_MSG_NEWSETELEM, nftables.NFT_MSG_DELSETELEM):
        if number in _STRUCTURE:
            yield Suspect("table", family)
        return
    name = values.get(nftables.NFTA_SET_ELEM_LIST_SET, b"").rstrip(b"\0").decode()
    if name not in elements.STATIC_SETS:
        return
    for key in nftables.keys(values.get(nftables.NFTA_SET_ELEM_LIST_ELEMENTS, b"")):
        yield Suspect("element", Place(family, name, key))


# NFT_MSG_*: a table, chain, rule, set, or object that was made or removed
_STRUCTURE = {0, 2, 3, 5, 6, 8, 9, 11, 18, 20}
