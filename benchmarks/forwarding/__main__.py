"""`make bench-dataplane`: what the way through a VIP costs, beside the direct way and what others do, in one run.

    python -m benchmarks.forwarding [--rounds 9] [--seconds 0.4] [--pods 4] [--json FILE] [--docs FOLDER]

Every figure is a ratio to the direct way: a routed veth without any rule, measured just before or just after it, in
turns. The median of the rounds' ratios is shown, with its quartiles; absolute figures are this machine's.
"""

import argparse
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.forwarding import plot, ways
from benchmarks.forwarding.bed import (
    DISCARD,
    PORT,
    SERVICE,
    SERVICE_DISCARD,
    VIPS,
    Bed,
    Router,
    Vaportrail,
    address,
    laid_out,
)
from vrouter.state import Address, Family

KINDS = {"bulk": "TCP bulk", "connect": "connections/s", "datagrams": "64-byte packets/s", "request": "requests/s"}
CLIENTS = {"connect": 2, "request": 4}
SMALL_MTU = 1400


@dataclass(frozen=True, slots=True)
class Target:
    bed: Bed
    address: Address
    port: int
    discard: int

    def measure(self, kind: str, seconds: float) -> "Sample":
        port = self.discard if kind == "bulk" else self.port
        words = (str(self.address), str(port), str(seconds))
        if kind == "datagrams":
            before, start = self.bed.datagrams_arrived(), time.monotonic()
            self.bed.ask(kind, *words)
            return Sample((self.bed.datagrams_arrived() - before) / (time.monotonic() - start))
        rate, *rest = self.bed.ask(kind, *words, *([str(CLIENTS[kind])] if kind in CLIENTS else []))
        if kind == "connect" and rest[0] > rate * seconds / 1000:
            raise SystemExit(f"{rest[0]:.0f} connections from {self.bed.client} to {self.address} failed")
        return Sample(rate, *rest) if kind == "request" else Sample(rate)


@dataclass(frozen=True, slots=True)
class Sample:
    """rate: per second. p50, p99: microseconds, of requests."""

    rate: float
    p50: float = 0.0
    p99: float = 0.0


@dataclass(slots=True)
class Way:
    """direct: what it is compared with. pairs: kind -> (direct, this) of each round."""

    name: str
    direct: Target
    target: Target
    kinds: Sequence[str] = tuple(KINDS)
    pairs: dict[str, list[tuple[Sample, Sample]]] = field(default_factory=dict)

    def measure(self, round_: int, seconds: float) -> None:
        for kind in self.kinds:
            first, second = (self.direct, self.target) if round_ % 2 else (self.target, self.direct)
            samples = {one: one.measure(kind, seconds) for one in (first, second)}
            self.pairs.setdefault(kind, []).append((samples[self.direct], samples[self.target]))

    def ratio(self, kind: str) -> tuple[float, float, float] | None:
        """Median and quartiles."""
        ratios = [way.rate / direct.rate for direct, way in self.pairs.get(kind, ())]
        if not ratios:
            return None
        low, _, high = statistics.quantiles(ratios, n=4) if len(ratios) > 1 else (ratios[0],) * 3
        return statistics.median(ratios), low, high

    def median(self, kind: str, figure: Callable[[Sample], float]) -> tuple[float, float]:
        """Of the direct way and this one."""
        direct, way = zip(*self.pairs[kind], strict=True)
        return statistics.median(map(figure, direct)), statistics.median(map(figure, way))


def lay_out(stack: ExitStack, load: Path, pods: int) -> list[Way]:
    prefix = f"vtb{os.getpid()}"

    def bed(make: Callable[[str, int, Path, int], Bed], name: str, mtu: int = 1500) -> Bed:
        return stack.enter_context(laid_out(make(f"{prefix}{name}", pods, load, mtu)))

    def pod(where: Bed, family: Family = 4) -> Target:
        return Target(where, address(1, family), PORT, DISCARD)

    def vip(where: Bed, family: Family = 4) -> Target:
        return Target(where, VIPS[family], SERVICE, SERVICE_DISCARD)

    plain, own = bed(Router, "d"), bed(Vaportrail, "v")
    found = [
        Way("Vaportrail", pod(plain), vip(own)),
        Way("Vaportrail, IPv6", pod(plain, 6), vip(own, 6)),
        Way("Vaportrail, pod to pod", pod(plain), pod(own)),
    ]
    for name, put in (
        ("nftables DNAT", ways.nftables_dnat),
        ("iptables DNAT", ways.iptables_dnat),
        ("haproxy", ways.haproxy),
    ):
        router = bed(Router, name[0])
        assert isinstance(router, Router)
        stack.enter_context(put(router))
        kinds = [kind for kind in KINDS if name != "haproxy" or kind != "datagrams"]
        found.append(Way(name, pod(plain), vip(router), kinds))
    narrow = pod(bed(Router, "dm", SMALL_MTU)), vip(bed(Vaportrail, "vm", SMALL_MTU))
    found.append(Way(f"Vaportrail, MTU {SMALL_MTU} behind", *narrow, ["bulk"]))
    return found


def table(found: Sequence[Way]) -> str:
    lines = [f"| way | {' | '.join(KINDS.values())} | a request, p50 / p99 |", "|---|" + "---|" * (len(KINDS) + 1)]
    for way in found:
        ratios = [way.ratio(kind) for kind in KINDS]
        cells = [f"{one[0]:.2f} ({one[1]:.2f}-{one[2]:.2f})" if one else "" for one in ratios]
        lines.append(f"| {way.name} | {' | '.join(cells)} | {latency(way, 1)} |")
    bulk, *rates = (found[0].median(kind, lambda one: one.rate)[0] for kind in KINDS)
    cells = [f"{bulk / 1e9:.1f} Gbit/s", *(f"{rate:,.0f}" for rate in rates)]
    return "\n".join([*lines, f"| direct, absolute | {' | '.join(cells)} | {latency(found[0], 0)} |"])


def latency(way: Way, which: int) -> str:
    """which: 0 the direct way, 1 this one."""
    if "request" not in way.pairs:
        return ""
    p50, p99 = way.median("request", lambda one: one.p50), way.median("request", lambda one: one.p99)
    return f"{p50[which]:.0f} / {p99[which]:.0f} us"


def figures(found: Sequence[Way], about: str) -> dict[str, object]:
    rows = [
        {"way": way.name, "kind": kind, "ratio": median, "quartiles": [low, high],
         "direct": way.median(kind, lambda one: one.rate)[0], "rate": way.median(kind, lambda one: one.rate)[1]}
        for way in found for kind in KINDS if (ratio := way.ratio(kind)) for median, low, high in [ratio]
    ]  # fmt: skip
    return {"about": about, "rows": rows}


def write_docs(folder: Path, found: Sequence[Way], about: str) -> None:
    """The plot, and the table between its marks in performance.md."""
    groups = {
        way.name: [ratio[0] if (ratio := way.ratio(kind)) else None for kind in KINDS]
        for way in found
        if len(way.kinds) > 1
    }
    (folder / "forwarding.svg").write_text(plot.bars("Through a VIP, direct = 1", list(KINDS.values()), groups))
    page = folder / "performance.md"
    marks = re.compile(r"(<!-- forwarding -->\n).*?(<!-- end -->)", re.DOTALL)
    new, count = marks.subn(lambda at: f"{at[1]}\n{about}\n\n{table(found)}\n\n{at[2]}", page.read_text())
    if not count:
        raise SystemExit(f"{page} has no marks <!-- forwarding --> and <!-- end -->")
    page.write_text(new)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.forwarding", description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=0.4, help="of load for each sample")
    parser.add_argument("--pods", type=int, default=4)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    parser.add_argument("--docs", type=Path, metavar="FOLDER", help="renew table and plot there")
    options = parser.parse_args()
    if os.geteuid() != 0:
        raise SystemExit("This makes network namespaces: run it as root.")
    release = platform.release().split("-")[0]
    about = f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores, Linux {release}, {options.rounds} rounds"
    with TemporaryDirectory(prefix="vaportrail-bench-") as temporary, ExitStack() as stack:
        load = Path(temporary, "load")
        source = Path(__file__).with_name("load.c")
        subprocess.run(["cc", "-O2", "-pthread", "-o", str(load), str(source)], check=True)
        found = lay_out(stack, load, options.pods)
        time.sleep(0.3)  # the servers listen
        for round_ in range(options.rounds):
            for way in found:
                way.measure(round_, options.seconds)
            print(f"round {round_ + 1} of {options.rounds}", file=sys.stderr)
    print(f"{about}\n\n{table(found)}")
    if options.json:
        options.json.write_text(json.dumps(figures(found, about), indent=2) + "\n")
    if options.docs:
        write_docs(options.docs, found, about)


if __name__ == "__main__":
    main()
