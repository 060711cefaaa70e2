"""The `Lab` on namespaces: real sockets, made by threads that enter a workload's namespace and end there.

A socket stays in the namespace where it was made, so everything after that happens in ordinary threads: the tests' own
for the clients, one with a selector for all servers.
"""

import errno
import json
import os
import selectors
import shutil
import socket
import struct
import threading
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from uuid import uuid4

from lab import VIPS, VTEPS, Answer, Echo, Endpoint, Outcome, Refused, Silence

from vrouter import namespace
from vrouter.backends.netns import NetnsBackend, fib, links
from vrouter.backends.netns.netlink import NETLINK_ROUTE
from vrouter.backends.netns.netlink import Socket as Netlink
from vrouter.backends.protocol import BackendSettings, Delete, Operation
from vrouter.state import FLOW_LIMIT, Address, Family, Interface, Vrf
from vrouter.state import Protocol as Transport

PATIENCE = 1.0  # seconds until nothing counts as silence
IP_RECVERR, IP_PKTINFO = 11, 8  # <linux/in.h>
IPV6_RECVERR, IPV6_RECVPKTINFO = 25, 49  # <linux/in6.h>
AF = {4: socket.AF_INET, 6: socket.AF_INET6}
ANYWHERE = {4: "0.0.0.0", 6: "::"}
ERRORS = {4: (socket.IPPROTO_IP, IP_RECVERR), 6: (socket.IPPROTO_IPV6, IPV6_RECVERR)}
ECHO = {4: (socket.IPPROTO_ICMP, 8, 0), 6: (socket.IPPROTO_ICMPV6, 128, 129)}  # protocol, request, reply
RESET = {errno.ECONNREFUSED, errno.ECONNRESET, errno.EPIPE}
UNREACHABLE = {errno.EHOSTUNREACH, errno.ENETUNREACH}


def outcome_of(error: OSError) -> Refused | Silence:
    if isinstance(error, TimeoutError):
        return Silence()
    if error.errno in RESET:
        return Refused("reset")
    if error.errno in UNREACHABLE:
        return Refused("unreachable")
    raise error


class Servers:
    """One thread that answers every message of every connection with who was asked by whom."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._lock = threading.Lock()
        self._sockets: dict[tuple[str, Transport, int], list[socket.socket]] = {}
        self._wake, waker = socket.socketpair()
        self._selector.register(waker, selectors.EVENT_READ, None)
        self._waker = waker
        self._ending = False
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def listen(self, interface: Interface, protocol: Transport, port: int) -> None:
        key = (interface.uuid, protocol, port)
        with self._lock:
            if key in self._sockets:
                return
            self._sockets[key] = []
            handle = self._accept if protocol == "tcp" else self._datagram
            for one in interface.addresses:
                make = partial(self._server, one.address.version, protocol, port)
                server = namespace.inside(interface.workload, make)
                self._sockets[key].append(server)
                self._selector.register(server, selectors.EVENT_READ, partial(handle, key, server))
        self._wake.send(b".")

    def end(self, interface: str) -> None:
        with self._lock:
            for key in [key for key in self._sockets if key[0] == interface]:
                for each in self._sockets.pop(key):
                    self._forget(each)

    def close(self) -> None:
        self._ending = True
        self._wake.send(b".")
        self._thread.join()
        for key in list(self._sockets):
            self.end(key[0])
        self._selector.close()
        self._wake.close()
        self._waker.close()

    @staticmethod
    def _server(family: Family, protocol: Transport, port: int) -> socket.socket:
        server = socket.socket(AF[family], socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM)
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == 6:
            server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        server.bind((ANYWHERE[family], port))
        if protocol == "tcp":
            server.listen(256)
        elif family == 4:
            server.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)
        else:
            server.setsockopt(socket.IPPROTO_IPV6, IPV6_RECVPKTINFO, 1)
        server.setblocking(False)
        return server

    def _run(self) -> None:
        while not self._ending:
            for key, _ in self._selector.select():
                with self._lock:
                    if key.data is None:
                        self._waker.recv(64)
                    elif key.fileobj.fileno() >= 0:
                        key.data()

    def _accept(self, key: tuple[str, Transport, int], server: socket.socket) -> None:
        try:
            connection, _ = server.accept()
        except OSError:
            return
        connection.setblocking(False)
        self._sockets[key].append(connection)
        self._selector.register(connection, selectors.EVENT_READ, partial(self._stream, key, connection))

    def _stream(self, key: tuple[str, Transport, int], connection: socket.socket) -> None:
        try:
            if connection.recv(64):
                connection.send(answer_bytes(key[0], connection.getpeername(), connection.getsockname()))
                return
        except OSError:
            pass
        self._sockets[key].remove(connection)
        self._forget(connection)

    def _datagram(self, key: tuple[str, Transport, int], server: socket.socket) -> None:
        try:
            _, ancillary, _, client = server.recvmsg(64, 64)
            ((_, _, info),) = ancillary
            # struct in_pktinfo {interface, local, destination}, struct in6_pktinfo {destination, interface}
            local = info[8:12] if server.family == socket.AF_INET else info[:16]
            server.sendto(answer_bytes(key[0], client, (str(ip_address(local)), key[2])), client)
        except OSError:
            return

    def _forget(self, each: socket.socket) -> None:
        self._selector.unregister(each)
        each.close()


def answer_bytes(member: str, client: tuple[str, int], local: tuple[str, int]) -> bytes:
    return json.dumps([member, client[:2], local[:2]]).encode() + b"\n"


@dataclass
class Socket:
    socket: socket.socket
    source_port: int

    def exchange(self) -> Outcome:
        try:
            self.socket.send(b"who?")
            heard = b""
            while not heard.endswith(b"\n"):
                more = self.socket.recv(512)
                if not more:
                    return Refused("reset")
                heard += more
        except OSError as error:
            return outcome_of(error)
        member, client, local = json.loads(heard)
        return Answer(member, endpoint(client), endpoint(local))

    def close(self) -> None:
        self.socket.close()

    def abort(self) -> None:
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()


def endpoint(pair: list) -> Endpoint:
    return ip_address(pair[0]), pair[1]


def complain_always() -> None:
    """A pod's own kernel sends an ICMP error once in a second, or so, unless told otherwise."""
    settings = {"ipv4/icmp_ratelimit": "0", "ipv6/icmp/ratelimit": "0", "ipv4/icmp_msgs_burst": "10000"}
    for name, value in settings.items():
        with suppress(FileNotFoundError):  # the last is each namespace's own on newer kernels only
            Path("/proc/sys/net", name).write_text(value)


class NetnsLab:
    name = "netns"
    survives_restart = True

    def __init__(self, family: Family = 4, flow_limit: int = FLOW_LIMIT) -> None:
        self.family, self.vip = family, VIPS[family]
        self.foretells = family == 4  # of IPv6 the kernel hashes a question otherwise than a packet
        self._settings = BackendSettings(f"t{uuid4().hex[:8]}", create_workloads=True, flow_limit=flow_limit)
        self._old: list[NetnsBackend] = []
        self._hosts = [f"{self._settings.node}-{number}" for number in (1, 2)]
        self._far: NetnsBackend | None = None
        self.backend = self._start()
        self._servers = Servers()
        self._clients: list[socket.socket] = []

    @classmethod
    def unavailable(cls) -> str | None:
        if os.geteuid() != 0:
            return "namespaces need root here"
        return None if shutil.which("nft") else "there is no nft"

    def _start(self) -> NetnsBackend:
        backend = NetnsBackend(self._settings, underlay=self._hosts[0])
        backend.open()
        return backend

    def apply_elsewhere(self, *operations: Operation) -> None:
        for error in filter(None, self._other().apply(operations)):
            raise error

    def _other(self) -> NetnsBackend:
        """Two hosts, each in a namespace of its own, and a cable between them."""
        if self._far is None:
            for host in self._hosts:
                namespace.create(host)
            self._plug()
            self._far = NetnsBackend(BackendSettings(self._hosts[1], create_workloads=True), underlay=self._hosts[1])
            self._far.open()
        return self._far

    def _plug(self) -> None:
        handle = namespace.open_handle(self._hosts[1])
        sockets = [Netlink(NETLINK_ROUTE, host) for host in self._hosts]
        try:
            sockets[0].send([links.add_veth("cable", "cable", handle, "02:00:00:00:00:02")])
            for socket_, address in zip(sockets, VTEPS[self.family], strict=True):
                index = links.find(socket_, "cable")
                assert index is not None
                peer = next(one for one in VTEPS[self.family] if one != address)
                up = [links.set_up(links.LOOPBACK), links.set_up(index), links.put_address(index, address)]
                socket_.send([*up, fib.put_default_route(peer, index, metric=1)])
        finally:
            os.close(handle)
            for socket_ in sockets:
                socket_.close()

    def apply(self, *operations: Operation) -> None:
        if any(isinstance(operation.unit, Vrf) and operation.unit.vtep for operation in operations):
            self._other()
        answers = self.backend.apply(operations)
        for operation in operations:
            if isinstance(operation, Delete) and isinstance(operation.unit, Interface):
                self.silence(operation.unit.uuid)
        for error in filter(None, answers):
            raise error

    def restart(self) -> None:
        """The old one is only let go at the end: a killed process does not tidy up."""
        self._old.append(self.backend)
        self.backend = self._start()

    def listen(self, interface: Interface, protocol: Transport, port: int) -> None:
        namespace.inside(interface.workload, complain_always)
        self._servers.listen(interface, protocol, port)

    def silence(self, interface: str) -> None:
        self._servers.end(interface)

    def open(
        self,
        interface: Interface,
        protocol: Transport,
        address: Address,
        port: int,
        source_port: int | None = None,
    ) -> Socket | Refused | Silence:
        kind = socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM
        client = namespace.inside(interface.workload, lambda: socket.socket(AF[address.version], kind))
        self._clients.append(client)
        try:
            client.settimeout(PATIENCE)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if protocol == "udp":
                client.setsockopt(*ERRORS[address.version], 1)
            client.bind((ANYWHERE[address.version], source_port or 0))
            client.connect((str(address), port))
        except OSError as error:
            client.close()
            return outcome_of(error)
        return Socket(client, client.getsockname()[1])

    def ping(self, interface: Interface, address: Address) -> Echo | Refused | Silence:
        client = namespace.inside(
            interface.workload, lambda: socket.socket(AF[address.version], socket.SOCK_RAW, ECHO[address.version][0])
        )
        identifier = int.from_bytes(os.urandom(2))
        with client:
            try:
                client.settimeout(PATIENCE)
                client.setsockopt(*ERRORS[address.version], 1)
                client.connect((str(address), 0))
                _, request, reply = ECHO[address.version]
                client.send(echo_request(request, identifier))
                while True:
                    packet, (source, *_) = client.recvfrom(256)
                    header = 4 * (packet[0] & 0x0F) if address.version == 4 else 0
                    kind, _, _, found = struct.unpack_from("!BBHH", packet, header)
                    if (kind, found) == (reply, identifier):
                        return Echo(ip_address(source))
            except OSError as error:
                return outcome_of(error)

    def close(self) -> None:
        for client in self._clients:
            client.close()
        self._servers.close()
        self.backend.cleanup()
        if self._far is not None:
            self._far.cleanup()
            self._old.append(self._far)
        for backend in (*self._old, self.backend):
            backend.close()
        for host in self._hosts:
            namespace.remove(host)


def echo_request(kind: int, identifier: int) -> bytes:
    """An ICMP echo request (RFC 792) without data. Of ICMPv6 (RFC 4443) the kernel makes the checksum."""
    words = [kind << 8, 0, identifier, 1]
    total = sum(words)
    total = (total & 0xFFFF) + (total >> 16)
    words[1] = ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF
    return struct.pack("!4H", *words)
