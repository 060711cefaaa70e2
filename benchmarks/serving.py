"""What one database's server does: start, creates, reads, lists, events to watchers; with several workers; and how
that scales with objects, references of an object, and clients."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from api_client import ApiClient, Operation
from benchmarks import watching
from benchmarks.load import Load, get, post, run
from benchmarks.report import Figure, Report
from cli.demo.programs import Program

PROJECT = ["default-domain", "default-project"]
TOGETHER = 999
"""Objects that are made in one transaction, beside what they stand in."""
LIST = 1000
WATCHERS = 200
CLIENTS = (1, 16, 64, 200)
REFERENCES = (1, 100, 1_000, 10_000)

TARGETS = {
    ("create", "SQLite", 1): ">= 750/s", ("create", "SQLite", 16): ">= 1 250/s, p99 < 50 ms",
    ("create", "PostgreSQL", 1): ">= 300/s", ("create", "PostgreSQL", 16): ">= 800/s, p99 < 50 ms",
    ("read", "SQLite", 16): ">= 2 300/s, 0.5", ("read", "PostgreSQL", 16): ">= 1 000/s, 0.5",
}  # fmt: skip


@asynccontextmanager
async def serving(database: str, *options: str) -> AsyncIterator[tuple[int, ApiClient, Program]]:
    """A server: its port, a client, the program."""
    with Program("serve", "--port", "0", "--database", database, "--log-level", "warning", *options) as server:
        url = server.wait_ready(60)
        async with ApiClient(url) as client:
            yield int(url.rsplit(":", 1)[1]), client, server


def numbered(make: Callable[[int], bytes]) -> Iterator[bytes]:
    number = 0
    while True:
        yield make(number)
        number += 1


def creating(pool: Sequence[str]) -> Iterator[bytes]:
    """Requests that create members of a pool."""
    stamp = time.time_ns()

    def make(number: int) -> bytes:
        properties = {"address": "10.0.0.1", "protocol_port": 80, "weight": 1, "admin_state": True}
        member = {
            "fq_name": [*pool, f"m-{stamp}-{number}"], "parent_type": "loadbalancer-pool",
            "loadbalancer_member_properties": properties,
        }  # fmt: skip
        return post("/loadbalancer-members", json.dumps({"loadbalancer-member": member}).encode())

    return numbered(make)


def reading(path: str) -> Iterator[bytes]:
    return numbered(lambda _: get(path))


async def new_pool(client: ApiClient, name: str) -> dict[str, Any]:
    return await client.create("loadbalancer-pool", {
        "fq_name": [*PROJECT, name], "parent_type": "project",
        "loadbalancer_pool_properties": {"protocol": "TCP", "loadbalancer_method": "ROUND_ROBIN"},
    })  # fmt: skip


async def fill(client: ApiClient, name: str, members: int) -> dict[str, Any]:
    """A new pool with so many members, the pool."""
    pool = await new_pool(client, name)
    for start in range(0, members, TOGETHER):
        numbers = range(start, min(start + TOGETHER, members))
        await client.transaction([
            Operation.create("loadbalancer-member", {
                "fq_name": [*pool["fq_name"], f"m{number}"], "parent_type": "loadbalancer-pool",
                "loadbalancer_member_properties": {
                    "address": f"10.0.{number >> 8 & 255}.{number & 255}", "protocol_port": 80,
                },
            })
            for number in numbers
        ])  # fmt: skip
    return pool


async def new_loadbalancer(client: ApiClient, name: str) -> str:
    """Its path."""
    made = await client.create(
        "loadbalancer", {"fq_name": [*PROJECT, name], "parent_type": "project", "loadbalancer_provider": "native"}
    )
    return f"/loadbalancer/{made['uuid']}"


async def figures(
    report: Report, name: str, database: str, seconds: float, limits: Mapping[str, float], workers: int = 1
) -> None:
    """Of an empty database. limits: per second, of the constant `route` and of the bare `driver`."""
    where: dict[str, Any] = {"database": name} | ({"workers": workers} if workers > 1 else {})
    driver = {"limit": limits["driver"], "beside": "the bare driver, 1 client"}
    route = {"limit": limits["route"], "beside": "the constant route, 1 process"}
    started = time.perf_counter()
    async with serving(database, *(["--workers", str(workers)] if workers > 1 else [])) as (port, client, _):
        await client.list("domain")
        elapsed = time.perf_counter() - started
        report.add(Figure("start to first answer, empty", elapsed, "s", where=where))
        pool = (await new_pool(client, f"bench-{workers}"))["fq_name"]
        for clients in (1, 16):
            load = await run("127.0.0.1", port, creating(pool), clients, seconds)
            target = TARGETS.get(("create", name, clients), "")
            report.load("durable create of a member", load, target=target, where=where | {"clients": clients}, **driver)
        path = await new_loadbalancer(client, f"lb-{workers}")
        for clients in (1, 16):
            load = await run("127.0.0.1", port, reading(path), clients, seconds)
            target = TARGETS.get(("read", name, clients), "")
            report.load("read of a loadbalancer", load, target=target, where=where | {"clients": clients}, **route)
        full = await fill(client, f"full-{workers}", LIST)
        path = f"/loadbalancer-members?detail=true&parent_id={full['uuid']}"
        load = await run("127.0.0.1", port, reading(path), 1, seconds)
        report.load(f"list of {LIST} members, detail", load, target=">= 60/s", where=where | {"clients": 1})
        delays = await watching.measure(port, full["fq_name"], WATCHERS, seconds)
        about = where | {"watchers": WATCHERS}
        report.add(Figure("POST -> event", delays.p50, "ms", delays.p99, target="p99 < 50 ms, none lost", where=about))


async def scaling(report: Report, name: str, database: str, seconds: float, sizes: Sequence[int]) -> None:
    """With ever more objects, then with references of one object, then with clients."""
    async with serving(database) as (port, client, _):
        path = await new_loadbalancer(client, "lb")
        pool = (await new_pool(client, "bench"))["fq_name"]
        full = await fill(client, "full", 100)
        listing = f"/loadbalancer-members?detail=true&parent_id={full['uuid']}"
        pools = 0
        for size in sizes:
            while await client.count("loadbalancer-member") < size - TOGETHER // 2:
                missing = size - await client.count("loadbalancer-member")
                await fill(client, f"fill-{pools}", min(TOGETHER, missing))
                pools += 1
            where = {"database": name, "objects": size}
            for what, requests in (
                ("read", reading(path)), ("create", creating(pool)), ("list of 100", reading(listing)),
            ):  # fmt: skip
                timed(report, what, await run("127.0.0.1", port, requests, 1, seconds), where)
            delays = await watching.measure(port, pool, 10, seconds)
            report.add(Figure("POST -> event", delays.p50, "ms", delays.p99, where=where | {"watchers": 10}))
        await references(report, name, port, client, seconds)
        for clients in CLIENTS:
            where = {"database": name, "clients": clients}
            report.load("read", await run("127.0.0.1", port, reading(path), clients, seconds), where=where)
            report.load("create", await run("127.0.0.1", port, creating(pool), clients, seconds), where=where)


def timed(report: Report, what: str, load: Load, where: Mapping[str, Any]) -> None:
    assert not load.failed, f"{what}: {load.failed} requests failed"
    report.add(Figure(what, load.p50, "ms", load.p99, where=where))


async def references(report: Report, name: str, port: int, client: ApiClient, seconds: float) -> None:
    """An object's read and update, with ever more references from it."""
    made: list[str] = []
    image = await client.create("device-image", {"fq_name": ["default-global-system-config", "image"]})
    for count in REFERENCES:
        while len(made) < count:
            numbers = range(len(made), min(len(made) + TOGETHER, count))
            answers = await client.transaction(
                [Operation.create("hardware", {"fq_name": [f"hardware-{number}"]}) for number in numbers]
            )
            made += [answer["hardware"]["uuid"] for answer in answers]
        refs = [{"uuid": uuid} for uuid in made]
        await client.update("device-image", image["uuid"], {"hardware_refs": refs})
        where, path = {"database": name, "references": count}, f"/device-image/{image['uuid']}"
        timed(report, "read", await run("127.0.0.1", port, reading(path), 1, seconds), where)
        took: list[float] = []
        until = time.perf_counter() + seconds
        while time.perf_counter() < until or len(took) < 5:
            begin = time.perf_counter()
            await client.update("device-image", image["uuid"], {"display_name": f"{begin}"})
            took.append((time.perf_counter() - begin) * 1000)
            await asyncio.sleep(0)
        took.sort()
        report.add(Figure("update", took[len(took) // 2], "ms", took[int(len(took) * 0.99)], where=where))
