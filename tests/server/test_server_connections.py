"""What a connection may do: heads that are too long or do not come, requests sent ahead, connections too many."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress

import pytest
from serverlab import listening

from api_server.app import create_app
from api_server.connections import AHEAD, LONGEST_HEAD, SURPLUS
from api_server.settings import Settings

GET = b"GET /domains HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


class Peer:
    """A client of raw bytes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def ask(self, request: bytes) -> tuple[int, bytes]:
        """Status and body of the next answer."""
        self.writer.write(request)
        head = await self.reader.readuntil(b"\r\n\r\n")
        length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        return int(head[9:12]), await self.reader.readexactly(int(length[15:]))

    async def ends(self) -> bool:
        return await self.reader.read() == b""

    async def close(self) -> None:
        self.writer.close()
        with suppress(ConnectionError):
            await self.writer.wait_closed()


Connect = Callable[[], Awaitable[Peer]]


@pytest.fixture
async def connect(settings: Settings) -> AsyncIterator[Connect]:
    """Opens a connection to a server of small limits."""
    peers: list[Peer] = []
    async with listening(create_app(settings.model_copy(update={"client_timeout": 0.2, "max_connections": 2}))) as url:
        host, port = url.removeprefix("http://").split(":")

        async def connected() -> Peer:
            peers.append(Peer(*await asyncio.open_connection(host, int(port))))
            return peers[-1]

        yield connected
        for peer in peers:
            await peer.close()


@pytest.mark.parametrize("pieces", [1, 9])
@pytest.mark.parametrize(
    "name", [b"GET /domains?obj_uuids=%b HTTP/1.1\r\n", b"GET /domains HTTP/1.1\r\nX-Long: %b\r\n"]
)
async def test_a_head_at_its_limit_is_taken_and_one_beyond_is_not(connect: Connect, name: bytes, pieces: int) -> None:
    rest = b"Host: 127.0.0.1\r\n\r\n"
    room = LONGEST_HEAD - len(name % b"") - len(rest)
    peer = await connect()
    for request in (name % (b"x" * room) + rest, GET):
        status, _ = await peer.ask(request)
        assert status == 200
    long = name % (b"x" * (room + 1)) + rest
    size = len(long) // pieces
    while len(long) > size:
        peer.writer.write(long[:size])
        await asyncio.sleep(0.005)
        long = long[size:]
    status, text = await peer.ask(long)
    assert status == 431
    assert b"longer than 65536 bytes" in text
    assert await peer.ends()


async def test_a_head_that_does_not_come_is_not_waited_for(connect: Connect) -> None:
    silent, slow = await connect(), await connect()
    status, text = await slow.ask(b"GET /domains HTTP/1.1\r\nX-Slow: ")
    assert (status, text) == (408, b"The head of the request was not here after 0.2 s")
    assert await slow.ends()
    assert await silent.ends()
    again = await connect()
    assert (await again.ask(GET))[0] == 200
    status, _ = await again.ask(b"\r\nG")
    assert status == 408


async def test_one_connection_too_many_is_told_so(connect: Connect) -> None:
    kept = [await connect() for _ in range(2)]
    for one in kept:
        assert (await one.ask(GET))[0] == 200
    surplus = await connect()
    surplus.writer.write(GET)
    told = await surplus.reader.read()
    assert told.startswith(b"HTTP/1.1 503")
    assert b"\r\nretry-after: 1\r\n" in told
    assert b"\r\nconnection: close\r\n" in told
    assert b"2 connections, which is the limit" in told
    crowd = [await connect() for _ in range(SURPLUS + 1)]
    assert await crowd[-1].ends()
    for one in (*kept[1:], *crowd):
        await one.close()
    while (status := (await (await connect()).ask(GET))[0]) != 200:
        assert status == 503
    assert (await kept[0].ask(GET))[0] == 200


async def test_requests_sent_ahead_are_answered_as_far_as_there_may_be_any(connect: Connect) -> None:
    peer = await connect()
    peer.writer.write(GET * (AHEAD + 1))
    told = [await peer.ask(b"") for _ in range(AHEAD + 1)]
    assert {status for status, _ in told} == {200}
    peer.writer.write(GET * (AHEAD + 100))
    told = [await peer.ask(b"") for _ in range(AHEAD + 1)]
    assert {status for status, _ in told} == {200}
    assert await peer.ends()
