"""A load generator over raw sockets: little Python per request, so that it measures the server and not itself.

`run` sends requests of one generator from N keep-alive connections for some seconds, each waiting for its answer.
"""

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial


@dataclass(frozen=True, slots=True)
class Load:
    """rate: answers per second. p50, p99: milliseconds. failed: answers that were not 200."""

    rate: float
    p50: float
    p99: float
    failed: int


class _Connection(asyncio.Protocol):
    """One client: sends the next request as soon as the answer to the last is whole."""

    def __init__(self, requests: Iterator[bytes], deadline: float, done: asyncio.Future[None]) -> None:
        self.requests, self.deadline, self.done = requests, deadline, done
        self.times: list[float] = []
        self.failed = 0
        self.buffer = bytearray()
        self.missing = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.send()

    def send(self) -> None:
        self.sent = time.perf_counter()
        self.transport.write(next(self.requests))

    def data_received(self, data: bytes) -> None:
        if self.missing:
            self.missing -= len(data)
        else:
            self.buffer += data
            head = self.buffer.find(b"\r\n\r\n")
            if head < 0:
                return
            start = self.buffer.lower().find(b"content-length:", 0, head)
            length = int(self.buffer[start + 15 : self.buffer.find(b"\r\n", start)])
            self.missing = head + 4 + length - len(self.buffer)
            if self.buffer[9:12] != b"200":
                self.failed += 1
            self.buffer.clear()
        if self.missing == 0:
            now = time.perf_counter()
            self.times.append(now - self.sent)
            if now < self.deadline:
                self.send()
            else:
                self.transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(error) if error else self.done.set_result(None)


async def run(host: str, port: int, requests: Iterator[bytes], clients: int, seconds: float) -> Load:
    """requests: whole HTTP/1.1 requests, as many as are asked for. ConnectionError if the server goes away."""
    loop = asyncio.get_running_loop()
    start = time.perf_counter()
    connections = []
    for _ in range(clients):
        begin = partial(_Connection, requests, start + seconds, loop.create_future())
        _, protocol = await loop.create_connection(begin, host, port)
        connections.append(protocol)
    await asyncio.gather(*[connection.done for connection in connections])
    elapsed = time.perf_counter() - start
    times = sorted(t for connection in connections for t in connection.times)
    return Load(
        rate=len(times) / elapsed,
        p50=times[len(times) // 2] * 1000,
        p99=times[int(len(times) * 0.99)] * 1000,
        failed=sum(connection.failed for connection in connections),
    )


def get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()


def post(path: str, body: bytes) -> bytes:
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    return f"{head}\r\n\r\n".encode() + body
