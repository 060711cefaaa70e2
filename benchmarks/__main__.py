"""`make bench`: what Vaportrail does, beside what its parts can do, in one run on one machine.

    python -m benchmarks [--seconds 3] [--only create,read,...] [--postgres URL] [-o json]

Absolute figures are this machine's; the ratios are what travels.
"""

import argparse
import asyncio
import contextlib
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import uvicorn

from api_client import ApiClient
from benchmarks import limits
from benchmarks.dataplane import measure as measure_dataplane
from benchmarks.health import KINDS
from benchmarks.health import measure as measure_health
from benchmarks.load import Load, get, post, run
from cli.demo.programs import Program

PROJECT = ["default-domain", "default-project"]


class Report:
    def __init__(self) -> None:
        self.rows: list[tuple[str, str, str]] = []

    def add(self, what: str, figure: str, beside: str = "") -> None:
        self.rows.append((what, figure, beside))
        print(f"{what:<52} {figure:>26}   {beside}", flush=True)


def show(load: Load) -> str:
    assert not load.failed, f"{load.failed} requests failed"
    return f"{load.rate:,.0f}/s  p99 {load.p99:.1f} ms"


class ConstantRoute:
    """The constant route in a process of its own."""

    def __enter__(self) -> int:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks", "--serve-constant"], stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout
        return int(self.process.stdout.readline())

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait()
        assert self.process.stdout
        self.process.stdout.close()


def serve_constant() -> None:
    config = uvicorn.Config(limits.constant, port=0, log_level="error", access_log=False)
    socket = config.bind_socket()
    socket.listen()
    print(socket.getsockname()[1], flush=True)
    uvicorn.Server(config).run([socket])


def numbered(make: Callable[[int], bytes]) -> Iterator[bytes]:
    number = 0
    while True:
        yield make(number)
        number += 1


def create_member(pool: list[str]) -> Callable[[int], bytes]:
    stamp = time.time_ns()

    def make(number: int) -> bytes:
        member = {
            "fq_name": [*pool, f"m-{stamp}-{number}"],
            "parent_type": "loadbalancer-pool",
            "loadbalancer_member_properties": {
                "address": "10.0.0.1",
                "protocol_port": 80,
                "weight": 1,
                "admin_state": True,
            },
        }
        return post("/loadbalancer-members", json.dumps({"loadbalancer-member": member}).encode())

    return make


async def new_pool(client: ApiClient, name: str) -> dict[str, Any]:
    return await client.create("loadbalancer-pool", {
        "fq_name": [*PROJECT, name],
        "parent_type": "project",
        "loadbalancer_pool_properties": {"protocol": "TCP", "loadbalancer_method": "ROUND_ROBIN"},
    })  # fmt: skip


def member(pool: list[str], number: int) -> dict[str, Any]:
    address = f"10.0.{number >> 8}.{number & 255}"
    return {
        "fq_name": [*pool, f"m{number}"],
        "parent_type": "loadbalancer-pool",
        "loadbalancer_member_properties": {"address": address, "protocol_port": 80},
    }


async def fill(client: ApiClient, pool: list[str], members: int) -> None:
    for start in range(0, members, 64):
        numbers = range(start, min(start + 64, members))
        await asyncio.gather(*[client.create("loadbalancer-member", member(pool, number)) for number in numbers])


async def api(report: Report, name: str, database: str, seconds: float, constant: Load) -> None:
    started = time.perf_counter()
    with Program("serve", "--port", "0", "--database", database, "--log-level", "warning") as server:
        url = server.wait_ready()
        port = int(url.rsplit(":", 1)[1])
        async with ApiClient(url) as client:
            await client.list("domain")
            report.add(f"{name}: start-up to first answer, empty database", f"{time.perf_counter() - started:.2f} s")
            pool = await new_pool(client, "bench")
            for clients in (1, 16):
                load = await run("127.0.0.1", port, numbered(create_member(pool["fq_name"])), clients, seconds)
                report.add(f"{name}: durable create of a member, {clients} client(s)", show(load))
            full = await new_pool(client, "full")
            await fill(client, full["fq_name"], 1000)
            loadbalancer = await client.create(
                "loadbalancer",
                {"fq_name": [*PROJECT, "lb"], "parent_type": "project", "loadbalancer_provider": "native"},
            )
            path = f"/loadbalancer/{loadbalancer['uuid']}"
            load = await run("127.0.0.1", port, numbered(lambda _: get(path)), 16, seconds)
            report.add(
                f"{name}: read one loadbalancer, 16 clients", show(load), f"{load.rate / constant.rate:.0%} of constant"
            )
            path = f"/loadbalancer-members?detail=true&parent_id={full['uuid']}"
            load = await run("127.0.0.1", port, numbered(lambda _: get(path)), 1, seconds)
            report.add(f"{name}: list of 1000 members with detail, 1 client", show(load))


async def restart(report: Report, folder: Path) -> None:
    """Start-up and memory with 10 000 objects in the database."""
    database = f"sqlite:///{folder}/restart.db"
    with Program("serve", "--port", "0", "--database", database, "--log-level", "warning") as server:
        async with ApiClient(server.wait_ready()) as client:
            pool = await new_pool(client, "many")
            await fill(client, pool["fq_name"], 10_000)
    started = time.perf_counter()
    with Program("serve", "--port", "0", "--database", database, "--log-level", "warning") as server:
        async with ApiClient(server.wait_ready()) as client:
            await client.list("domain")
            elapsed = time.perf_counter() - started
            status = Path(f"/proc/{server.process.pid}/status").read_text()
            resident = int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1]) / 1024
    report.add("start-up to first answer, 10 000 objects", f"{elapsed:.2f} s", "target < 1.5 s")
    report.add("memory then", f"{resident:.0f} MB", "target < 150 MB")


async def dataplane(report: Report, folder: Path, sizes: list[int]) -> None:
    medians: dict[int, float] = {}
    async for what, services, figures in measure_dataplane(folder, sizes):
        if isinstance(figures, list):
            medians[services] = median = statistics.median(figures)
            p99 = sorted(figures)[int(len(figures) * 0.99)]
            times = f", {median / medians[min(medians)]:.2f} x that of {min(medians)}" if len(medians) > 1 else ""
            report.add(
                f"POST member -> kernel programmed, {services} services",
                f"p50 {median:.1f} p99 {p99:.1f} ms",
                f"target p99 < 50 ms, p50 <= 1.3 x at any size{times}",
            )
        else:
            begins = "nothing made yet" if what == "cold" else "all made already"
            target = "; target < 5 s with 10 000" if what == "cold" else ""
            label = f"agent: start to all applied, {services} services, {begins}"
            report.add(label, f"{figures.seconds:.2f} s", f"{figures}{target}")


async def measure(options: argparse.Namespace) -> Report:
    report = Report()
    only = set(options.only.split(",")) if options.only else None

    def wanted(name: str) -> bool:
        return only is None or name in only

    with tempfile.TemporaryDirectory(prefix="vaportrail-bench-") as temporary:
        folder = Path(temporary)
        with ConstantRoute() as port:
            constant = await run("127.0.0.1", port, numbered(lambda _: get("/")), 16, options.seconds)
        report.add("limit: constant FastAPI route, 16 clients", show(constant))
        rate = limits.durable_transactions(folder / "driver.db", options.seconds)
        report.add("limit: bare sqlite3, durable transactions", f"{rate:,.0f}/s")
        if wanted("api"):
            await api(report, "SQLite", f"sqlite:///{folder}/api.db", options.seconds, constant)
        if options.postgres:
            await api(report, "PostgreSQL", options.postgres, options.seconds, constant)
        if wanted("restart"):
            await restart(report, folder)
        if wanted("health") and os.geteuid() == 0:
            for kind in KINDS:
                share, probes = await asyncio.to_thread(measure_health, kind, 4 * options.seconds)
                report.add(
                    f"agent, 1 000 members probed every 5 s, {kind}",
                    f"{share:.1%} of a core",
                    f"{probes:,} probes; target < 10 %",
                )
        if wanted("dataplane"):
            await dataplane(report, folder, options.services)
    return report


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=3.0, help="of load for each figure")
    parser.add_argument("--only", help="api, restart, health, dataplane; comma separated")
    parser.add_argument("--postgres", metavar="URL", help="an empty PostgreSQL database to measure, too")
    parser.add_argument("--services", type=int, nargs="*", default=[10, 1000, 10_000], help="sizes for the data plane")
    parser.add_argument("--serve-constant", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve_constant:
        serve_constant()
        return
    machine = f"{os.cpu_count()} cores, Linux {platform.release().split('-')[0]}, Python {platform.python_version()}"
    print(f"{datetime.now(UTC):%Y-%m-%d}, {machine}\n")
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(measure(options))


if __name__ == "__main__":
    main()
