"""How long, deep and many what a client sends may be: beyond it a clear refusal, whoever else is there is served, and
memory stays bounded."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from itertools import cycle
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from serverlab import PROJECT

from api_server.resources.filters import MOST
from cli.demo.programs import Program

DEEPEST = 1024
"""Levels of JSON that orjson takes."""


def nested(levels: int) -> bytes:
    return b"[" * levels + b"]" * levels


def named(length: int) -> bytes:
    """A create of a pool whose whole name has so many bytes."""
    name = "x" * (length - len(":".join(PROJECT)) - 1)
    return orjson.dumps({"loadbalancer-pool": {"fq_name": [*PROJECT, name], "parent_type": "project"}})


def filtered(values: int) -> dict[str, Any]:
    return {"type": "loadbalancer-pool", "filters": ",".join(["display_name==x"] * values)}


@pytest.mark.parametrize(
    ("path", "within", "beyond", "text"),
    [
        ("/list-bulk-collection", b'{"type": "domain", "x": %b}' % nested(DEEPEST - 1), nested(DEEPEST + 1),
         "Invalid JSON: depth limit exceeded: line 1 column 1026 (char 1025)"),
        ("/list-bulk-collection", orjson.dumps(filtered(MOST)), orjson.dumps(filtered(MOST + 1)),
         "Invalid filter: filters has more than 256 comparisons, which is the limit"),
        ("/loadbalancer-pools", named(2048), named(2049), "Bad Request, fq_name is longer than 2048 bytes: ["),
        ("/list-bulk-collection", b'{"type": "domain", "page_limit": 2147483648}',
         b'{"type": "domain", "page_limit": 0}',
         "Invalid page_limit 0: page_limit has to be greater than zero"),
        ("/list-bulk-collection", orjson.dumps({"type": "domain", "obj_uuids": ["x" * 36] * 20_000}),
         orjson.dumps({"type": "domain", "obj_uuids": ["x" * 36] * 20_000 + [5]}),
         "Bad Request, obj_uuids must be text, comma separated: ["),
    ],
    ids=["depth", "filters", "name", "page", "uuids"],
)  # fmt: skip
async def test_what_is_too_much_is_named_and_changes_nothing(
    client: httpx.AsyncClient, path: str, within: bytes, beyond: bytes, text: str
) -> None:
    assert (await client.post(path, content=within)).status_code == 200
    before = (await client.get("/domains")).headers["x-revision"]
    refused = await client.post(path, content=beyond)
    assert refused.status_code == 400
    assert refused.text.startswith(text)
    assert (await client.get("/domains")).headers["x-revision"] == before


# --- all at once

CEILING = 160 * 1024 * 1024
"""Bytes of the server's memory above that at rest: 64 MiB of bodies, what one of them is once it is parsed, and the
heads of those who send no more."""


def resident(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def post(path: str, body: bytes, length: int | None = None) -> bytes:
    length = len(body) if length is None else length
    return b"POST %b HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: %d\r\n\r\n%b" % (path.encode(), length, body)


HALVES = [
    b"G", b"GET /domains HTTP/1.1\r\nX-Long: " + b"x" * 5_000_000,
    b"GET /domains HTTP/1.1\r\nX-Long: " + b"x" * 60_000, b"\r\n" * 100,
    post("/loadbalancer-pools", b"{" + b" " * 500_000, 1_000_000), post("/loadbalancer-pools", b"{", 10**12),
]  # fmt: skip
"""Beginnings of requests of which no more comes."""

WHOLES = [
    post("/loadbalancer-pools", nested(500_000)), post("/list-bulk-collection", nested(DEEPEST)),
    post("/list-bulk-collection", orjson.dumps({"type": "domain", "obj_uuids": ["x" * 36] * 25_000})),
    post("/loadbalancer-pools", named(1_000_000)), post("/transaction", orjson.dumps({"operations": [{}] * 300_000})),
    post("/list-bulk-collection", orjson.dumps(filtered(50_000))),
    b"GET /domains?filters=%b HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" % (b"a==1," * 12_000),
    b"GET /domains?fields=%b HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" % (b"a," * 30_000),
    b"GET /domains HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" * 5_000,
]  # fmt: skip


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[tuple[str, int]]:
    """URL and process."""
    database = f"sqlite:///{tmp_path}/limits.db"
    with Program("serve", "--port", "0", "--database", database, "--client-timeout", "3") as program:
        yield program.wait_ready(60), program.process.pid


async def send(url: str, requests: Iterator[bytes], *, again: bool) -> None:
    """One connection after the other, until cancelled. again: as soon as the server has said anything or ended it."""
    host, port = url.removeprefix("http://").split(":")
    while True:
        reader, writer = await asyncio.open_connection(host, int(port))
        try:
            with suppress(ConnectionError):
                writer.write(next(requests))
                await (reader.read(100) if again else reader.read())
        finally:
            writer.transport.abort()


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_others_are_served_and_memory_is_bounded_whatever_is_sent(server: tuple[str, int]) -> None:
    url, pid = server
    async with httpx.AsyncClient(base_url=url, timeout=60) as client:
        made = await client.post("/loadbalancer-pools", content=named(100))
        path = f"/loadbalancer-pool/{made.json()['loadbalancer-pool']['uuid']}"
        revision, rest = made.headers["x-revision"], resident(pid)
        halves, wholes = cycle(HALVES), cycle(WHOLES)
        crowd = [asyncio.create_task(send(url, halves, again=False)) for _ in range(150)]
        crowd += [asyncio.create_task(send(url, wholes, again=True)) for _ in range(18)]
        most = 0
        for _ in range(30):
            await asyncio.sleep(0.1)
            answer = await client.get(path)
            assert answer.status_code == 200, answer.text
            assert answer.headers["x-revision"] == revision
            most = max(most, resident(pid))
        for task in crowd:
            task.cancel()
        ended = await asyncio.gather(*crowd, return_exceptions=True)
        assert all(isinstance(one, asyncio.CancelledError) for one in ended), ended
        print(f"{(most - rest) / 1024 / 1024:.0f} MiB above {rest / 1024 / 1024:.0f}")
        assert most - rest < CEILING
        assert (await client.post("/loadbalancer-pools", content=named(101))).status_code == 200
