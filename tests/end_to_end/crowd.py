"""Thousands of connections at once: the clients in the test's own process, the pods' servers in another.

python crowd.py POD... -- PORT...     answers as `faults_traffic.Servers` do, until its standard input ends
"""

import resource
import select
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Self

from faults_traffic import Servers

from cli.demo.programs import ENVIRONMENT
from vrouter import namespace

AT_ONCE = 200  # connections that are asked before the first must have answered
PATIENCE = 5.0  # seconds; nobody answers after so long

Who = tuple[str, int]  # pod and port
BROKEN: Who = ("nobody", 0)


@dataclass(eq=False, slots=True)
class Held:
    """A connection that is open. who: answered last."""

    socket: socket.socket
    protocol: str
    who: Who = BROKEN


class Crowd:
    """The clients, with one epoll for all."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._held: dict[int, Held] = {}  # file descriptor -> connection

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close(list(self._held.values()))
        self._epoll.close()

    def open(self, clients: Sequence[str], address: str, port: int, number: int, protocol: str = "tcp") -> list[Held]:
        """So many from each of these workloads, asked once."""
        opened: list[Held] = []
        for client in clients:
            for size in _sizes(number):
                opened += self._connect(client, address, port, size, protocol)
        self.ask(opened)
        return opened

    def ask(self, connections: Sequence[Held]) -> None:
        """Note who answers each of them now."""
        for start in range(0, len(connections), AT_ONCE):
            self._exchange(connections[start : start + AT_ONCE])

    def close(self, connections: Iterable[Held]) -> None:
        for held in connections:
            del self._held[held.socket.fileno()]
            held.socket.close()

    def _connect(self, client: str, address: str, port: int, number: int, protocol: str) -> list[Held]:
        kind = socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        sockets = namespace.inside(client, lambda: [socket.socket(family, kind) for _ in range(number)])
        waiting = select.poll()
        for each in sockets:
            each.setblocking(False)
            each.connect_ex((address, port))
            waiting.register(each, select.POLLOUT)
        deadline, pending = time.monotonic() + PATIENCE, {each.fileno() for each in sockets}
        while pending and time.monotonic() < deadline:
            for number, _ in waiting.poll(100):
                waiting.unregister(number)
                pending.discard(number)
        opened = [Held(each, protocol) for each in sockets]
        for held in opened:
            self._held[held.socket.fileno()] = held
            self._epoll.register(held.socket, select.EPOLLIN)
        return opened

    def _exchange(self, connections: Sequence[Held]) -> None:
        pending = set()
        for held in connections:
            held.who = BROKEN
            try:
                held.socket.send(b"who?")
                pending.add(held)
            except OSError:  # it was broken before
                continue
        deadline = time.monotonic() + PATIENCE
        while pending and time.monotonic() < deadline:
            for number, _ in self._epoll.poll(0.1, AT_ONCE):
                held = self._held[number]
                pending.discard(held)
                try:
                    pod, port = held.socket.recv(200).decode().split()
                    held.who = pod, int(port)
                except (OSError, ValueError):  # a reset, or the end of the stream
                    self._epoll.unregister(number)


def _sizes(number: int) -> Iterator[int]:
    while number > 0:
        yield min(number, AT_ONCE)
        number -= AT_ONCE


@contextmanager
def files(number: int) -> Iterator[None]:
    """With so many file descriptors for this process and those it starts; the hard limit must allow them."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(number, soft), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@contextmanager
def serving(pods: Sequence[str], ports: Sequence[int]) -> Iterator[None]:
    """With servers in these pods, in a process of their own."""
    command = [sys.executable, __file__, *pods, "--", *map(str, ports)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT
    ) as process:
        assert process.stdin
        assert process.stdout
        assert process.stdout.readline() == "serving\n"
        try:
            yield
        finally:
            process.stdin.close()
            process.wait(30)


def main() -> None:
    border = sys.argv.index("--")
    with Servers() as servers:
        for pod in sys.argv[1:border]:
            servers.listen(pod, [int(port) for port in sys.argv[border + 1 :]])
        servers.start()
        print("serving", flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
