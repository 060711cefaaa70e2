"""`make bench`: what Vaportrail does, beside what its parts can do, in one run on one machine.

    python -m benchmarks [--seconds 2] [--only api,scaling,...] [--objects 1000 ...] [--json FILE] [--docs docs]

Both databases are measured; PostgreSQL is started for it, where there is one. Absolute figures are this machine's; the
ratios are what travels.
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
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import uvicorn

from benchmarks import limits
from benchmarks.dataplane import measure as measure_dataplane
from benchmarks.health import CLOSING, KINDS
from benchmarks.health import measure as measure_health
from benchmarks.load import run
from benchmarks.overload import measure as measure_overload
from benchmarks.postgres import Unavailable, durable_server
from benchmarks.report import Figure, Report
from benchmarks.serving import figures, fill, reading, scaling, serving


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


async def restart(report: Report, folder: Path) -> None:
    """Start-up and memory with 10 000 objects in the database."""
    database, where = f"sqlite:///{folder}/restart.db", {"database": "SQLite", "stored": 10_000}
    async with serving(database) as (_, client, _):
        await fill(client, "many", 10_000)
    started = time.perf_counter()
    async with serving(database) as (_, client, server):
        await client.list("domain")
        elapsed = time.perf_counter() - started
        status = Path(f"/proc/{server.process.pid}/status").read_text()
        resident = int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1]) / 1024
    report.add(Figure("start to first answer", elapsed, "s", target="< 1.5 s", where=where))
    report.add(Figure("memory then", resident, "MB", target="< 150 MB", where=where))


async def dataplane(report: Report, folder: Path, sizes: Sequence[int]) -> None:
    medians: dict[int, float] = {}
    async for what, services, found in measure_dataplane(folder, list(sizes)):
        where = {"services": services}
        if isinstance(found, list):
            medians[services] = median = statistics.median(found)
            p99 = sorted(found)[int(len(found) * 0.99)]
            times = f"; {median / medians[min(medians)]:.2f} x that of {min(medians)}" if len(medians) > 1 else ""
            target = f"p99 < 50 ms, p50 <= 1.3 x at any size{times}"
            report.add(Figure("POST member -> kernel programmed", median, "ms", p99, target=target, where=where))
        else:
            begins = "nothing made yet" if what == "cold" else "all made already"
            target = f"{found}" + ("; < 5 s with 10 000" if what == "cold" else "")
            report.add(Figure(f"agent to all applied, {begins}", found.seconds, "s", target=target, where=where))


async def measure(report: Report, options: argparse.Namespace) -> None:
    def wanted(name: str) -> bool:
        return not options.only or name in options.only.split(",")

    seconds = options.seconds
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="vaportrail-bench-")))
        with ConstantRoute() as port:
            route = await run("127.0.0.1", port, reading("/"), 16, seconds)
        report.load("limit: constant FastAPI route", route, where={"clients": 16})
        databases: dict[str, Callable[[], str]] = {"SQLite": lambda: f"sqlite:///{folder}/{time.time_ns()}.db"}
        drivers = {"SQLite": limits.sqlite_transactions(folder / "driver.db", seconds)}
        try:
            postgres = stack.enter_context(durable_server())
        except Unavailable as reason:
            print(f"PostgreSQL is not measured: {reason}", file=sys.stderr)
        else:
            databases["PostgreSQL"] = lambda: stack.enter_context(postgres.database())
            drivers["PostgreSQL"] = limits.postgresql_transactions(postgres.url("postgres"), seconds)
        for name, rate in drivers.items():
            where = {"database": name, "clients": 1}
            report.add(Figure("limit: bare driver, transactions", rate, "/s", where=where))
        for name, new in databases.items():
            limit = {"driver": drivers[name], "route": route.rate}
            if wanted("api"):
                await figures(report, name, new(), seconds, limit)
            if wanted("workers") and name == "PostgreSQL":
                await figures(report, name, new(), seconds, limit, options.workers)
            if wanted("scaling"):
                await scaling(report, name, new(), seconds, options.objects)
            if wanted("overload"):
                await measure_overload(report, name, new(), seconds / 2)
        if wanted("restart"):
            await restart(report, folder)
        if wanted("health") and os.geteuid() == 0:
            for kind in KINDS:
                share, probes = await asyncio.to_thread(measure_health, kind, 4 * seconds)
                target = f"{probes:,} probes" + ("; < 10 %" if kind != CLOSING else "")
                report.add(Figure(f"agent, probes every 5 s, {kind}", 100 * share, "% of a core", target=target,
                                  where={"members": 1000}))  # fmt: skip
        if wanted("dataplane"):
            await dataplane(report, folder, options.services)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=2.0, help="of load for each figure")
    parser.add_argument("--only", help="api, workers, scaling, overload, restart, health, dataplane; comma separated")
    parser.add_argument("--objects", type=int, nargs="*", default=[1_000, 10_000, 100_000], help="sizes, ascending")
    parser.add_argument("--workers", type=int, default=max(2, os.cpu_count() or 2), help="of a server on PostgreSQL")
    parser.add_argument("--services", type=int, nargs="*", default=[10, 1000, 10_000], help="sizes for the data plane")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    parser.add_argument("--docs", type=Path, metavar="FOLDER", help="renew bench.json, the plots and the table there")
    parser.add_argument("--serve-constant", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve_constant:
        serve_constant()
        return
    machine = f"{os.cpu_count()} cores, Linux {platform.release().split('-')[0]}, Python {platform.python_version()}"
    report = Report(f"{datetime.now(UTC):%Y-%m-%d}, {machine}")
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(measure(report, options))
        if options.docs:
            report.write(options.docs)
    if options.json:
        options.json.write_text(json.dumps(report.document(), indent=2) + "\n")


if __name__ == "__main__":
    main()
