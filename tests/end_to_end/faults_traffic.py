"""Real connections from and to workloads. A socket stays in the namespace where it was made, so pods need no process
of their own: one thread answers for all of them."""

import selectors
import socket
import struct
import threading
from collections.abc import Iterable
from functools import partial
from typing import Self

from vrouter import namespace

PATIENCE = 5.0  # seconds; nothing answers after so long
ECHO_REPLY, ECHO_REQUEST = 0, 8
IP_RECVERR = 11  # linux/in.h: report also what is no final error


def opened(workload: str, protocol: str, family: socket.AddressFamily = socket.AF_INET) -> socket.socket:
    """A socket in the workload."""
    kind = socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM
    return namespace.inside(workload, partial(socket.socket, family, kind))


class Servers:
    """Answer every message with the name of the pod and the port."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._wake, waker = socket.socketpair()
        self._selector.register(waker, selectors.EVENT_READ)
        self._sockets = {waker}
        self._thread = threading.Thread(target=self._run)

    def listen(self, pod: str, ports: Iterable[int]) -> None:
        """Before `start`."""
        for protocol in ("tcp", "udp"):
            for port in ports:
                server = opened(pod, protocol, socket.AF_INET6)
                server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)  # IPv4 as well
                server.bind(("::", port))
                answer = f"{pod} {port}".encode()
                if protocol == "tcp":
                    server.listen(1024)
                    self._register(server, partial(self._accept, server, answer))
                else:
                    self._register(server, partial(self._datagram, server, answer))

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._wake.close()
        if self._thread.ident is not None:
            self._thread.join()
        for each in self._sockets:
            each.close()
        self._selector.close()

    def _register(self, each: socket.socket, handle: "partial[None]") -> None:
        each.setblocking(False)
        self._sockets.add(each)
        self._selector.register(each, selectors.EVENT_READ, handle)

    def _run(self) -> None:
        while True:
            for key, _ in self._selector.select():
                if key.data is None:
                    return
                key.data()

    def _accept(self, server: socket.socket, answer: bytes) -> None:
        connection, _ = server.accept()
        self._register(connection, partial(self._stream, connection, answer))

    def _stream(self, connection: socket.socket, answer: bytes) -> None:
        try:
            if connection.recv(64):
                connection.send(answer)
                return
        except ConnectionResetError:
            pass
        self._selector.unregister(connection)
        self._sockets.remove(connection)
        connection.close()

    def _datagram(self, server: socket.socket, answer: bytes) -> None:
        try:
            _, client = server.recvfrom(64)
        except OSError:  # an answer that nobody wanted came back as an error
            return
        server.sendto(answer, client)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Connection:
    """From a workload to an address; UDP too."""

    def __init__(self, workload: str, protocol: str, address: str, port: int) -> None:
        self.socket = opened(workload, protocol)
        self.socket.settimeout(PATIENCE)
        try:
            if protocol == "udp":
                self.socket.setsockopt(socket.IPPROTO_IP, IP_RECVERR, 1)
            self.socket.connect((address, port))
        except OSError:
            self.socket.close()
            raise

    def exchange(self) -> tuple[str, int]:
        """Who answered: pod and port."""
        self.socket.send(b"who?")
        pod, port = self.socket.recv(200).decode().split()
        return pod, int(port)

    def close(self) -> None:
        self.socket.close()


def ping(workload: str, address: str) -> bool:
    """Whether an echo request is answered, with the answer's content its own."""
    request = struct.pack(">BBHHH4s", ECHO_REQUEST, 0, 0, 4711, 1, b"echo")
    words = struct.unpack(">6H", request)
    total = sum(words)
    checksum = ~(total + (total >> 16)) & 0xFFFF
    request = request[:2] + struct.pack(">H", checksum) + request[4:]
    asking = namespace.inside(workload, partial(socket.socket, socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP))
    with asking:
        asking.settimeout(PATIENCE)
        asking.setsockopt(socket.IPPROTO_IP, IP_RECVERR, 1)
        asking.connect((address, 0))  # hears that address only
        asking.send(request)
        try:
            while (answer := asking.recv(200)[20:])[0] == ECHO_REQUEST:  # its own, where a pod asks itself
                pass
        except OSError:
            return False
    return answer[0] == ECHO_REPLY and answer[4:] == request[4:]


def ask(workload: str, protocol: str, address: str, port: int) -> tuple[str, int] | None:
    """Who answers a new connection; None if it is refused. TimeoutError if nobody says anything."""
    try:
        connection = Connection(workload, protocol, address, port)
    except (ConnectionRefusedError, ConnectionResetError):
        return None
    except OSError as error:
        if isinstance(error, TimeoutError):
            raise
        return None
    try:
        return connection.exchange()
    except TimeoutError:
        raise
    except OSError:
        return None
    finally:
        connection.close()


def answering(workload: str, protocol: str, address: str, port: int, wanted: set[tuple[str, int]]) -> set[object]:
    """Who answers: asks until all who are wanted have, or somebody else does, or 2000 times."""
    found: set[object] = set()
    for _ in range(2000):
        found.add(ask(workload, protocol, address, port))
        if found >= (wanted or {None}) or found - wanted:
            break
    return found
