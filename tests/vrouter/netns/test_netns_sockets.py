"""Sockets in namespaces that wait for what does not work at once."""

import asyncio
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from netns_node import VRF, Node

from vrouter import namespace
from vrouter.backends.netns.sockets import Socket, Sockets
from vrouter.backends.protocol import BackendError
from vrouter.state import Interface

PORT = 8080
STREAM = (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)


@pytest.fixture
def pod(node: Node) -> Interface:
    return node.pods(1)[0]


@pytest.fixture
def network(node: Node, pod: Interface) -> str:
    return f"vt-{node.settings.node}-{VRF.index}"


@pytest.fixture
def sockets() -> Iterator[Sockets]:
    made = Sockets()
    yield made
    made.close()


def listening(pod: Interface, backlog: int = 10) -> socket.socket:
    return namespace.inside(pod.workload, lambda: socket.create_server(("0.0.0.0", PORT), backlog=backlog))


def nft(pod: Interface, text: str) -> None:
    words = ["ip", "netns", "exec", pod.workload, "nft", "-f", "-"]
    subprocess.run(words, input=text, text=True, check=True)


@asynccontextmanager
async def connected(sockets: Sockets, network: str, pod: Interface) -> AsyncIterator[tuple[Socket, socket.socket]]:
    """One side of a connection, and the other one."""
    one = await sockets.open(network, *STREAM)
    with listening(pod) as listener:
        await one.connect(str(pod.address), PORT)
        other, _ = listener.accept()
    with other:
        other.settimeout(10)
        yield one, other
        one.close()


async def test_a_connection_that_is_taken_later(sockets: Sockets, network: str, pod: Interface) -> None:
    one = await sockets.open(network, *STREAM)
    with listening(pod) as listener:
        nft(pod, "table ip deaf { chain in { type filter hook input priority 0; tcp flags syn drop; }; }")
        connecting = asyncio.create_task(one.connect(str(pod.address), PORT))
        await asyncio.wait([connecting], timeout=0.1)
        assert not connecting.done()
        nft(pod, "delete table ip deaf")
        await connecting  # with the second SYN
        with listener.accept()[0] as other:
            await one.send(b"heard")
            assert other.recv(100) == b"heard"
    one.close()


async def test_what_cannot_be_reached(sockets: Sockets, network: str, pod: Interface) -> None:
    refused = await sockets.open(network, *STREAM)
    with pytest.raises(ConnectionRefusedError):
        await refused.connect(str(pod.address), PORT)
    refused.close()


async def test_more_than_there_is_room_for(sockets: Sockets, network: str, pod: Interface) -> None:
    sent = bytes(range(256)) * 65536
    async with connected(sockets, network, pod) as (one, other):
        sending = asyncio.create_task(one.send(sent))
        await asyncio.wait([sending], timeout=0.1)
        assert not sending.done()

        def read() -> bytes:
            heard = bytearray()
            while len(heard) < len(sent):
                heard += other.recv(len(sent))
            return bytes(heard)

        assert await asyncio.to_thread(read) == sent
        await sending
        later = asyncio.create_task(one.receive(100))
        await asyncio.sleep(0.01)
        other.sendall(b"heard")
        assert await later == b"heard"


async def test_one_that_is_given_up_can_be_asked_again(sockets: Sockets, network: str, pod: Interface) -> None:
    async with connected(sockets, network, pod) as (one, other):
        for turn in (b"first", b"second"):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await one.receive(100)
            later = asyncio.create_task(one.receive(100))
            await asyncio.sleep(0.01)
            other.sendall(turn)
            assert await later == turn
        other.shutdown(socket.SHUT_WR)
        assert await one.receive(100) == b""


async def test_many_that_wait_together_have_what_is_their_own(sockets: Sockets, network: str, pod: Interface) -> None:
    made = await asyncio.gather(*[sockets.open(network, *STREAM) for _ in range(50)])
    with listening(pod, backlog=50) as listener:
        others = {}
        for each in made:
            await each.connect(str(pod.address), PORT)
            others[each] = listener.accept()[0]
    waiting = [asyncio.create_task(each.receive(100)) for each in made]
    await asyncio.sleep(0.01)
    for number, each in reversed(list(enumerate(made))):
        others[each].sendall(str(number).encode())
    assert await asyncio.gather(*waiting) == [str(number).encode() for number in range(50)]
    for each in made:
        each.close()
        others[each].close()


async def test_one_without_a_namespace_is_no_harm_to_others(sockets: Sockets, network: str) -> None:
    opened, failed = await asyncio.gather(
        sockets.open(network, *STREAM), sockets.open("vt-nobody", *STREAM), return_exceptions=True
    )
    assert isinstance(failed, BackendError)
    assert isinstance(opened, Socket)
    opened.close()


def test_one_event_loop_after_the_other(sockets: Sockets, network: str, pod: Interface) -> None:
    async def ask(number: int) -> None:
        async with connected(sockets, network, pod) as (one, other):
            later = asyncio.create_task(one.receive(100))
            await asyncio.sleep(0.01)
            other.sendall(str(number).encode())
            assert await later == str(number).encode()

    for number in range(3):
        asyncio.run(ask(number))


async def test_closing_leaves_no_file_open(network: str, pod: Interface) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    sockets = Sockets()
    async with connected(sockets, network, pod) as (one, other):
        other.sendall(b"heard")
        later = asyncio.create_task(one.receive(100))
        assert await later == b"heard"
        waits = asyncio.create_task(one.receive(100))
        await asyncio.sleep(0.01)
        waits.cancel()
    sockets.close()
    assert len(list(Path("/proc/self/fd").iterdir())) == before
