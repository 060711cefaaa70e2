"""A way to a server that keeps what is answered on each connection, by what was asked on it."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Self

CHUNK = 1 << 16


class Counted:
    """A relay on the loopback. whose: of the first line of a request, whom its answer is counted for, None for nobody;
    a connection is counted for the last of them that asked. heard: what was answered since `forget`."""

    def __init__(self, port: int, whose: Callable[[str], str | None]) -> None:
        self.heard: dict[str, bytearray] = {}
        self._port = port
        self._whose = whose
        self._server: asyncio.Server | None = None
        self._relays: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, backlog=1000)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for relay in list(self._relays):
            relay.cancel()
        await asyncio.gather(*self._relays, return_exceptions=True)

    def forget(self) -> None:
        for heard in self.heard.values():
            heard.clear()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        relay = asyncio.ensure_future(self._relay(reader, writer))
        self._relays.add(relay)
        relay.add_done_callback(self._relays.discard)

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self._port)
        asker: list[str] = []

        async def ask() -> None:
            with suppress(ConnectionError):
                while data := await reader.read(CHUNK):
                    line = data.partition(b"\r\n")[0].decode("latin-1")
                    if (name := self._whose(line)) is not None:
                        asker[:] = [name]
                        self.heard.setdefault(name, bytearray())
                    back.write(data)
            back.close()

        async def answer() -> None:
            with suppress(ConnectionError):
                while data := await there.read(CHUNK):
                    for name in asker:
                        self.heard[name] += data
                    writer.write(data)
            writer.close()

        try:
            await asyncio.gather(ask(), answer())
        finally:
            back.close()
            writer.close()
