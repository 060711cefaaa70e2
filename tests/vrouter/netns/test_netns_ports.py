"""A client's ports, used again."""

import socket
import struct
import time
from collections.abc import Iterator
from contextlib import closing

import pytest
from netns_node import VIP, Node, service

from vrouter import namespace
from vrouter.backends.netns.rules import CLOSING, MARGIN
from vrouter.state import Interface

RESET = struct.pack("ii", 1, 0)
PORTS = range(20_000, 20_100)


@pytest.fixture
def client(node: Node) -> Iterator[Interface]:
    client, *webs = node.pods(3)
    listeners = [namespace.inside(web.workload, listen) for web in webs]
    node.apply(service(8000, pods=webs))
    yield client
    for listener in listeners:
        listener.close()


def listen() -> socket.socket:
    """With a place for all connections that nobody takes."""
    return socket.create_server(("0.0.0.0", 80), backlog=4096)


def connect(client: Interface, port: int) -> None:
    """From that port, and away with a reset, which leaves the port free. ConnectionRefusedError."""
    with closing(namespace.inside(client.workload, socket.socket)) as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        one.settimeout(5)
        one.bind(("0.0.0.0", port))
        one.connect((str(VIP), 8000))


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
def test_a_port_that_is_reset_again_and_again_is_refused_for_a_moment_only(node: Node, client: Interface) -> None:
    """Until the kernel has collected what was deleted; nothing is left that another flow would be taken for."""
    refused = 0
    until = time.monotonic() + 4
    while time.monotonic() < until:
        try:
            connect(client, PORTS[0])
        except ConnectionRefusedError:
            refused += 1
    assert refused
    until = time.monotonic() + 5
    while True:
        try:
            connect(client, PORTS[0])
            break
        except ConnectionRefusedError:
            assert time.monotonic() < until
            time.sleep(0.5)
    assert {drop.reason for drop in node.backend.drops()} == {"FlowLim"}
