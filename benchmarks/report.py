"""What was measured: printed as it comes, and written as JSON, plots and a table."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.forwarding.plot import bars
from benchmarks.load import Load

SIZES = "objects"


@dataclass(frozen=True, slots=True)
class Figure:
    """value: in `unit`. p99: milliseconds. limit: what the parts can do at most, in the same unit, and `beside` what
    that is. target: of the project's plan. where: what it was measured with (database, clients, workers, ...)."""

    what: str
    value: float
    unit: str
    p99: float | None = None
    limit: float | None = None
    beside: str = ""
    target: str = ""
    where: Mapping[str, Any] = field(default_factory=dict)

    @property
    def ratio(self) -> float | None:
        return self.value / self.limit if self.limit else None

    @property
    def cells(self) -> tuple[str, str, str, str]:
        """what, where, figure, beside it."""
        value = f"{self.value:,.0f}" if self.value >= 100 else f"{self.value:,.2f}"
        figure = f"{value} {self.unit}".replace(" /s", "/s") + ("" if self.p99 is None else f", p99 {self.p99:.1f} ms")
        where = ", ".join(
            told if name == "database" else f"{told:,} {name.removesuffix('s') if told == 1 else name}"
            for name, told in self.where.items()
        )
        ratio = "" if self.ratio is None else f"{self.ratio:.2f} of {self.beside} ({self.limit:,.0f}{self.unit})"
        return self.what, where, figure, "; ".join(filter(None, (ratio, self.target and f"target {self.target}")))


class Report:
    """about: when and on which machine."""

    def __init__(self, about: str) -> None:
        self.about = about
        self.figures: list[Figure] = []
        print(f"{about}\n", flush=True)

    def add(self, figure: Figure) -> None:
        self.figures.append(figure)
        what, where, value, beside = figure.cells
        print(f"{what:<38} {where:<34} {value:>26}   {beside}", flush=True)

    def load(self, what: str, load: Load, **told: Any) -> None:
        """Answers per second; the rest of a Figure. AssertionError if requests failed."""
        assert not load.failed, f"{what}: {load.failed} requests failed"
        self.add(Figure(what, load.rate, "/s", load.p99, **told))

    def document(self) -> dict[str, Any]:
        figures = [asdict(figure) | {"ratio": figure.ratio} for figure in self.figures]
        return {"about": self.about, "figures": figures}

    def write(self, folder: Path) -> None:
        """bench.json and the plots; the table and what shows the plots, between their marks in performance.md, and
        what has a target in the README beside the folder."""
        (folder / "bench.json").write_text(json.dumps(self.document(), indent=2) + "\n")
        (folder / "bench.svg").write_text(self._limits())
        (folder / "scaling.svg").write_text(self._scaling())
        plot = "![ratios to what the parts can do]({}bench.svg)"
        scaling = "![times beside those with the fewest objects](scaling.svg)"
        renew(folder / "performance.md", f"{self.about}\n\n{plot.format('')}\n\n{scaling}\n\n{table(self.figures)}")
        aimed = [figure for figure in self.figures if figure.target]
        renew(folder.parent / "README.md", f"{self.about}\n\n{plot.format('docs/')}\n\n{table(aimed)}")

    def _limits(self) -> str:
        series = ["SQLite", "PostgreSQL"]
        limited = [figure for figure in self.figures if figure.ratio and figure.where.get("database") in series]
        groups: dict[str, list[float | None]] = {}
        for figure in limited:
            clients = figure.where.get("clients", 1)
            values = groups.setdefault(f"{figure.what}, {clients} at a time", [None, None])
            if figure.where.get("workers", 1) == 1:
                values[series.index(figure.where["database"])] = figure.ratio
        return bars("Beside what the parts can do = 1", series, groups)

    def _scaling(self) -> str:
        """Medians at each size beside that at the least one."""
        sized = [figure for figure in self.figures if SIZES in figure.where]
        sizes = sorted({figure.where[SIZES] for figure in sized})
        groups: dict[str, list[float | None]] = {}
        for figure in sized:
            values = groups.setdefault(f"{figure.what}, {figure.where['database']}", [None] * len(sizes))
            values[sizes.index(figure.where[SIZES])] = figure.value
        related: dict[str, Sequence[float | None]] = {
            name: [None if value is None else value / first for value in values]
            for name, values in groups.items()
            if (first := values[0])
        }
        return bars("Time beside that with the fewest objects = 1", [f"{size:,}" for size in sizes], related)


def table(figures: Sequence[Figure]) -> str:
    rows = ["| what | with | figure | beside |", "|---|---|---|---|"]
    return "\n".join([*rows, *(f"| {' | '.join(figure.cells)} |" for figure in figures)])


def renew(page: Path, text: str) -> None:
    """What stands between the marks of a page."""
    marks = re.compile(r"(<!-- bench -->\n).*?(<!-- end -->)", re.DOTALL)
    new, count = marks.subn(lambda at: f"{at[1]}\n{text}\n\n{at[2]}", page.read_text())
    if not count:
        raise SystemExit(f"{page} has no marks <!-- bench --> and <!-- end -->")
    page.write_text(new)
