"""Overload: what is accepted at 4 times the load that can be carried, and a client that asks seldom beside 200 greedy.

A greedy client sends its next request as soon as the last is answered, refused or not. 4 times the load are as many of
them as ask for 4 times what can be done while a request may wait (at most 800). A polite one sends ten a second
in place of one, so that a p99 takes seconds and not minutes; that is nothing beside what the greedy ones ask for.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

GREEDY = 200
CARRIED = 16  # clients that are as many as can be carried: more have no higher rate
MAX_WAIT = 0.5  # seconds, the server's default
MOST = 800


@dataclass(slots=True)
class Times:
    """Seconds of the answers that were 200, and how many others there were."""

    accepted: list[float] = field(default_factory=list)
    refused: int = 0

    @property
    def p99(self) -> float:
        return sorted(self.accepted)[int(len(self.accepted) * 0.99)]


async def exchange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes, times: Times) -> None:
    started = time.perf_counter()
    writer.write(request)
    head = await reader.readuntil(b"\r\n\r\n")
    start = head.lower().index(b"content-length:") + len(b"content-length:")
    await reader.readexactly(int(head[start : head.index(b"\r\n", start)]))
    if head[9:12] == b"200":
        times.accepted.append(time.perf_counter() - started)
    else:
        times.refused += 1


async def client(port: int, requests: Iterator[bytes], times: Times, pause: float = 0) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        while True:
            await exchange(reader, writer, next(requests), times)
            if pause:
                await asyncio.sleep(pause)
    finally:
        writer.close()


@asynccontextmanager
async def clients(port: int, requests: Callable[[], Iterator[bytes]], number: int) -> AsyncIterator[Times]:
    """Greedy ones, while the block runs."""
    times = Times()
    tasks = [asyncio.create_task(client(port, requests(), times)) for _ in range(number)]
    try:
        yield times
    finally:
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(one, asyncio.CancelledError) for one in ended), ended


async def polite(port: int, requests: Iterator[bytes], seconds: float) -> Times:
    times = Times()
    task = asyncio.create_task(client(port, requests, times, pause=0.1))
    await asyncio.wait([task], timeout=seconds)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return times


@dataclass(frozen=True, slots=True)
class Figures:
    """rate: answers per second of what is carried. p99, alone, beside: seconds. refused: share."""

    rate: float
    p99: float
    refused: float
    alone: float
    beside: float

    def told(self) -> tuple[str, str]:
        """In short, and the rest."""
        beside = f"polite p99 {self.alone * 1000:.1f} ms alone, {self.beside * 1000:.1f} beside {GREEDY} greedy"
        return (
            f"at 4 x {self.rate:,.0f}/s: p99 {self.p99 * 1000:.0f} ms",
            f"target <= 1 s; {self.refused:.0%} refused; {beside} ({self.beside / self.alone:.1f} x, target <= 3 x)",
        )


async def measure(port: int, requests: Callable[[], Iterator[bytes]], seconds: float) -> Figures:
    """requests: whole HTTP/1.1 requests of one client."""
    alone = await polite(port, requests(), 4 * seconds)
    async with clients(port, requests, CARRIED) as carried:
        await asyncio.sleep(seconds)
    number = min(MOST, int(4 * len(carried.accepted) / seconds * MAX_WAIT))
    async with clients(port, requests, number) as more:
        await asyncio.sleep(seconds)
    async with clients(port, requests, GREEDY):
        beside = await polite(port, requests(), 4 * seconds)
    refused = more.refused / (more.refused + len(more.accepted))
    return Figures(len(carried.accepted) / seconds, more.p99, refused, alone.p99, beside.p99)
