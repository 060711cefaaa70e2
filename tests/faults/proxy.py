"""A TCP proxy that treats its connections badly, whatever they carry."""

import asyncio
import contextlib
from typing import Self


class Proxy:
    """On a free port, to a port of this machine. delay: seconds that every piece of data waits, either way."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.delay = 0.0
        self._links: set[_Link] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = int(self._server.sockets[0].getsockname()[1])
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        tasks = [link.task for link in self._links]
        self.cut()
        await asyncio.gather(*tasks, return_exceptions=True)

    def cut(self) -> None:
        """All connections, both ways, in the middle of what they carry."""
        for link in self._links:
            link.cut()

    def half_close(self) -> None:
        """The server hears no more from anybody, and its answers to what it has heard still come."""
        for link in self._links:
            link.silence(0)

    def swallow(self) -> None:
        """Nobody hears from the server any more, and nobody is told."""
        for link in self._links:
            link.silence(1)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        try:
            there = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.close()
            return
        link = _Link(task, writer, there[1])
        self._links.add(link)
        try:
            await asyncio.gather(self._pump(reader, there[1], link, 0), self._pump(there[0], writer, link, 1))
        finally:
            self._links.discard(link)
            link.cut()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, link: "_Link", way: int) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                if self.delay:
                    await asyncio.sleep(self.delay)
                if not link.silent[way]:
                    writer.write(data)
                    await writer.drain()
        link.cut()


class _Link:
    """The two ends of a connection; silent: whether what client and server say is thrown away."""

    def __init__(self, task: "asyncio.Task[None]", client: asyncio.StreamWriter, server: asyncio.StreamWriter) -> None:
        self.task = task
        self.silent = [False, False]
        self._ends = (client, server)

    def cut(self) -> None:
        for end in self._ends:
            end.transport.abort()

    def silence(self, way: int) -> None:
        self.silent[way] = True
        if way == 0:
            with contextlib.suppress(OSError):
                self._ends[1].write_eof()
