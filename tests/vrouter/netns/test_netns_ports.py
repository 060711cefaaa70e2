"""A client's ports, used again."""

import socket
import struct
import time
from collections.abc import Iterator
from contextlib import closing, suppress

import pytest
from netns_node import VIP, Node, service

from vrouter import namespace
from vrouter.backends.netns.rules import CLOSING, MARGIN
from vrouter.state import Interface

RESET = struct.pack("ii", 1, 0)
PORTS = range(20_000, 20_100)


@pytest.fixture
def webs(node: Node) -> list[Interface]:
    return node.pods(2)


@pytest.fixture
def listeners(node: Node, webs: list[Interface]) -> Iterator[list[socket.socket]]:
    found = [namespace.inside(web.workload, listen) for web in webs]
    node.apply(service(8000, pods=webs))
    yield found
    for listener in found:
        listener.close()


@pytest.fixture
def client(node: Node, listeners: list[socket.socket]) -> Interface:
    return node.pods(1)[0]


def listen() -> socket.socket:
    """With a place for all connections that nobody takes; with none left it would say nothing to the next one."""
    listener = socket.create_server(("0.0.0.0", 80), backlog=4096)
    listener.setblocking(False)
    return listener


def make_room(listener: socket.socket) -> None:
    """Takes all connections that wait; their client has reset them, so nothing of it is sent."""
    with suppress(BlockingIOError):
        while True:
            listener.accept()[0].close()


def connect(client: Interface, port: int, to: tuple[str, int] = (str(VIP), 8000)) -> None:
    """From that port, and away with a reset, which leaves the port free. OSError: it is refused, or nobody answers."""
    with closing(namespace.inside(client.workload, socket.socket)) as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        one.settimeout(5)
        one.bind(("0.0.0.0", port))
        one.connect(to)


@pytest.mark.slow
def test_a_port_is_free_at_any_time_after_its_flow_has_ended(node: Node, client: Interface) -> None:
    """Also in the moment in which one of the flow's entries has been forgotten and the other has not."""
    for port in PORTS:
        connect(client, port)
    time.sleep(CLOSING + MARGIN / 2)
    for port in PORTS:
        connect(client, port)
    assert node.backend.drops() == []


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_port_that_is_reset_again_and_again_is_refused_for_a_moment_only(
    node: Node, client: Interface, webs: list[Interface], listeners: list[socket.socket]
) -> None:
    """Until the kernel has collected what was deleted. Nothing is left that another flow would be taken for: from the
    same port the pods are reached directly."""
    for port in PORTS[:3]:
        reset_until_refused(client, port, listeners)
        for web in webs:
            connect(client, port, (str(web.address), 80))
        until = time.monotonic() + 5
        while True:
            try:
                connect(client, port)
                break
            except ConnectionRefusedError:
                assert time.monotonic() < until
                time.sleep(0.5)
    assert {drop.reason for drop in node.backend.drops()} == {"FlowLim"}


def reset_until_refused(client: Interface, port: int, listeners: list[socket.socket]) -> None:
    """A hundred times, which takes in what follows on a refusal."""
    refused, until = 0, time.monotonic() + 90
    while refused < 100:
        assert time.monotonic() < until, f"refused {refused} times"
        try:
            connect(client, port)
        except ConnectionRefusedError:
            refused += 1
        for listener in listeners:
            make_room(listener)
