"""Figures for Prometheus. Labels come from fixed sets (route classes, methods, statuses), never from what a client
sends; but for the names of nodes, of which there is an end.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector

# Seconds. The store answers in about 1 ms, a group commit in tens; what is above is a fault to be seen.
LATENCY = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0)

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"})


class StoreCounts(Collector):
    """What the store has counted, read when it is asked for: writes / groups is the number of writes per commit."""

    def __init__(self, counts: Callable[[], Mapping[str, int]]) -> None:
        self.counts = counts

    def collect(self) -> Iterator[CounterMetricFamily]:
        for name, value in self.counts().items():
            yield CounterMetricFamily(f"vaportrail_store_{name}", f"Store: {name}.", value=value)


class NodeFigures(NamedTuple):
    """Of a node that has reported. behind: revisions that it has not applied; behind_seconds: since the first of them
    was written. age: seconds since its last report. failed: units that it could not make."""

    node: str
    behind: int
    behind_seconds: float
    age: float
    failed: int


class Nodes(Collector):
    """How far nodes are, as read just before. states: how many nodes are in which."""

    def __init__(self) -> None:
        self.states: Mapping[str, int] = {}
        self.figures: Sequence[NodeFigures] = ()

    def collect(self) -> Iterator[GaugeMetricFamily]:
        states = GaugeMetricFamily("vaportrail_nodes", "Nodes, by state.", labels=["state"])
        for state, count in self.states.items():
            states.add_metric([state], count)
        yield states
        for name, meaning, values in (
            ("behind_revisions", "Revisions that a node has not applied.", [one.behind for one in self.figures]),
            ("behind_seconds", "Age of the first of them.", [one.behind_seconds for one in self.figures]),
            ("report_age_seconds", "Since a node's last report.", [one.age for one in self.figures]),
            ("failed_units", "Units that a node could not make.", [one.failed for one in self.figures]),
        ):
            family = GaugeMetricFamily(f"vaportrail_node_{name}", meaning, labels=["node"])
            for one, value in zip(self.figures, values, strict=True):
                family.add_metric([one.node], value)
            yield family


class Metrics:
    """One application's figures, in a registry of its own: two applications in one process do not mix."""

    content_type = CONTENT_TYPE_LATEST

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Histogram(
            "vaportrail_request_seconds", "Time from request to answer.", ("route", "method"),
            registry=self.registry, buckets=LATENCY,
        )  # fmt: skip
        self.answers = Counter("vaportrail_answers", "Answers.", ("route", "method", "status"), registry=self.registry)
        self.revision = Gauge("vaportrail_revision", "Newest revision this process has seen.", registry=self.registry)
        self.watchers = Gauge("vaportrail_watchers", "Open GET /watch.", registry=self.registry)
        self.waiting = Gauge("vaportrail_waiting", "Open GET /status/wait.", registry=self.registry)
        self.nodes = Nodes()
        self.registry.register(self.nodes)
        self._seen: dict[tuple[str, str, int], tuple[Histogram, Counter]] = {}

    def observe(self, route: str, method: str, status: int, seconds: float) -> None:
        key = (route, method if method in METHODS else "other", status)
        pair = self._seen.get(key)
        if pair is None:
            route, method, _ = key
            pair = self._seen[key] = (
                self.requests.labels(route, method),
                self.answers.labels(route, method, str(status)),
            )
        pair[0].observe(seconds)
        pair[1].inc()

    def exposition(self) -> bytes:
        return generate_latest(self.registry)
