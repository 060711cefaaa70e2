"""Overload: what is accepted at 4 times the load that can be carried, and a client that asks seldom beside 200 greedy.

A greedy client sends its next request as soon as the last is answered, refused or not; they are in a process of their
own. 4 times the load are as many of them as would ask for 4 times what can be done while a request may wait. The client
that asks seldom takes half of the share that each would have, so that it has its samples in seconds.
"""

import asyncio
import multiprocessing
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial

from api_server.settings import Settings
from benchmarks.report import Figure, Report
from benchmarks.serving import creating, new_loadbalancer, new_pool, reading, serving

GREEDY = 200
CARRIED = 16  # clients that are as many as can be carried: more have no higher rate
MOST = 800  # clients

Requests = Callable[[], Iterator[bytes]]
"""Whole HTTP/1.1 requests of one client."""


@dataclass(slots=True)
class Times:
    """accepted: seconds of the answers that were 200. refused: how many others. seconds: all of it took."""

    accepted: list[float] = field(default_factory=list)
    refused: int = 0
    seconds: float = 0

    @property
    def rate(self) -> float:
        return len(self.accepted) / self.seconds

    def share(self, part: float) -> float:
        """Milliseconds within which this part of them came."""
        return sorted(self.accepted)[int(len(self.accepted) * part)] * 1000


async def client(port: int, requests: Iterator[bytes], times: Times, until: float, pause: float = 0) -> None:
    """AssertionError if an answer is neither 200 nor a refusal that says when to try again."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        started = 0.0
        while started < until:
            started = time.perf_counter()
            writer.write(next(requests))
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            start = head.index(b"content-length:") + len(b"content-length:")
            await reader.readexactly(int(head[start : head.index(b"\r\n", start)]))
            if head[9:12] == b"200":
                times.accepted.append(time.perf_counter() - started)
            else:
                assert head[9:12] == b"503", head
                assert b"\r\nretry-after:" in head, head
                times.refused += 1
            await asyncio.sleep(pause)
    finally:
        writer.close()


def crowd(port: int, requests: Requests, number: int, seconds: float) -> Times:
    """So many greedy clients, in this process."""

    async def all_of_them() -> Times:
        times, begin = Times(), time.perf_counter()
        await asyncio.gather(*[client(port, requests(), times, begin + seconds) for _ in range(number)])
        times.seconds = time.perf_counter() - begin
        return times

    return asyncio.run(all_of_them())


async def measure(report: Report, name: str, database: str, seconds: float) -> None:
    loop, max_wait = asyncio.get_running_loop(), Settings.model_fields["max_wait"].default
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        async with serving(database) as (port, api, _):
            pool = (await new_pool(api, "pool"))["fq_name"]
            path = await new_loadbalancer(api, "lb")
            for what, requests in (("read", partial(reading, path)), ("create", partial(creating, pool))):
                carried = await loop.run_in_executor(process, crowd, port, requests, CARRIED, seconds)
                number = min(MOST, round(4 * carried.rate * max_wait))
                over = await loop.run_in_executor(process, crowd, port, requests, number, seconds)
                refused = over.refused / (over.refused + len(over.accepted))
                report.add(Figure(
                    f"{what}, 4 x what can be carried", over.rate, "/s", over.share(0.99),
                    target=f"p99 <= 1 000 ms; {refused:.0%} refused", where={"database": name, "clients": number},
                ))  # fmt: skip
                pause = 2 * GREEDY / carried.rate
                alone, beside = Times(), Times()
                await client(port, requests(), alone, time.perf_counter() + 4 * seconds, pause)
                greedy = loop.run_in_executor(process, crowd, port, requests, GREEDY, 5 * seconds)
                await asyncio.sleep(seconds / 2)
                await client(port, requests(), beside, time.perf_counter() + 4 * seconds, pause)
                await greedy
                times = (
                    f"{beside.share(0.99) / alone.share(0.99):.1f} x, p50 {beside.share(0.5) / alone.share(0.5):.1f} x"
                )
                report.add(Figure(
                    f"{what}, seldom, beside {GREEDY} greedy", beside.share(0.5), "ms", beside.share(0.99),
                    target=f"p99 <= 3 x that alone; {times}", where={"database": name, "clients": 1},
                ))  # fmt: skip
