"""A thousand watchers of one server, over real connections."""

import asyncio
import os
import re
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from serverlab import create

from api_server import descriptors
from cli.demo.programs import Program

WATCHERS = 1_000
WRITES = 50

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def resident(pid: int) -> int:
    """Bytes of a process in memory."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class Watching:
    """One connection; ids and names as they came."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.told: list[tuple[int, str]] = []

    @classmethod
    async def open(cls, url: str, after: int) -> "Watching":
        host, port = url.removeprefix("http://").split(":")
        self = cls(*await asyncio.open_connection(host, int(port)))
        query = f"resource_type=loadbalancer&since={after}"
        self.writer.write(f"GET /watch?{query} HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode())
        assert b" 200 " in await self.reader.readline()
        return self

    async def close(self) -> None:
        self.writer.close()
        await self.writer.wait_closed()

    async def until(self, revision: int) -> None:
        number, line = 0, ""
        while number < revision or line != "\n":  # the end of its frame
            line = (await self.reader.readline()).decode()
            assert line, "the server ended the watch"
            if line.startswith("id: "):
                number = int(line[4:])
            elif found := re.match(r'data: \{"loadbalancer":.*?"name":"([^"]*)"', line):
                self.told.append((number, found[1]))


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[tuple[str, int]]:
    """URL and process."""
    descriptors.allow_many()
    with Program("serve", "--port", "0", "--database", f"sqlite:///{tmp_path}/crowd.db") as program:
        yield program.wait_ready(), program.process.pid


async def test_each_of_a_thousand_sees_every_event_in_order(server: tuple[str, int]) -> None:
    url, pid = server
    async with httpx.AsyncClient(base_url=url, timeout=60) as client:
        start = int((await client.get("/healthz")).headers["X-Revision"])
        empty = resident(pid)
        watchers = [await Watching.open(url, start) for _ in range(WATCHERS)]
        refused = await client.get(f"/watch?resource_type=loadbalancer&since={start}")
        assert refused.status_code == 503
        assert "1000 watchers" in refused.text
        print(f"{(resident(pid) - empty) / WATCHERS / 1024:.1f} kB for each watcher")
        half = WRITES // 2
        for number in range(half):
            await create(client, "loadbalancer", f"lb-{number}")
        await asyncio.gather(*[one.until(start + half) for one in watchers])
        dropped = watchers[::5]  # two hundred at once, who come back while others write
        for one in dropped:
            await one.close()
        for number in range(half, WRITES):
            await create(client, "loadbalancer", f"lb-{number}")
        back = await asyncio.gather(*[Watching.open(url, start + half) for _ in dropped])
        expected = [(start + number + 1, f"lb-{number}") for number in range(WRITES)]
        stayed = [one for number, one in enumerate(watchers) if number % 5]
        await asyncio.gather(*[one.until(start + WRITES) for one in (*stayed, *back)])
        print(f"{(resident(pid) - empty) / WATCHERS / 1024:.1f} kB for each after the events")
        for one in stayed:
            assert one.told == expected
        for one in back:
            assert one.told == expected[half:]
        for one in (*stayed, *back):
            await one.close()
