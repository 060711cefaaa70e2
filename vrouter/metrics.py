"""The agent's figures for Prometheus, read off its state when somebody scrapes; forwarding pays nothing for them."""

from collections import Counter
from collections.abc import Callable, Iterator
from typing import get_args

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from api_client import Watch
from vrouter.cache import Cache
from vrouter.health import HealthChecks
from vrouter.health.probing import State
from vrouter.progress import Progress
from vrouter.reconciler import Reconciler


class AgentMetrics(Collector):
    def __init__(
        self,
        cache: Cache,
        reconciler: Reconciler,
        progress: Progress,
        health: HealthChecks,
        watch: Callable[[], Watch | None],
    ) -> None:
        self._cache = cache
        self._reconciler = reconciler
        self._progress = progress
        self._health = health
        self._watch = watch

    def collect(self) -> Iterator[Metric]:
        watch = self._watch()
        yield GaugeMetricFamily(
            "vaportrail_agent_connected", "Whether the API server is watched", bool(watch and watch.connected)
        )
        revision = GaugeMetricFamily("vaportrail_agent_revision", "Newest revision", labels=["stage"])
        revision.add_metric(["seen"], self._progress.seen.revision)
        revision.add_metric(["applied"], self._progress.applied.revision)
        yield revision
        objects = GaugeMetricFamily("vaportrail_agent_objects", "Objects held", labels=["type"])
        for kind, count in self._cache.counts().items():
            objects.add_metric([kind], count)
        yield objects
        units = GaugeMetricFamily("vaportrail_agent_units", "Units of the data plane", labels=["kind", "state"])
        counts: dict[tuple[str, str], int] = {}
        for key, status in self._reconciler.status.items():
            counts[str(key[0]), status.state] = counts.get((str(key[0]), status.state), 0) + 1
        for labels, count in sorted(counts.items()):
            units.add_metric(labels, count)
        yield units
        drift = CounterMetricFamily(
            "vaportrail_agent_drift", "Objects that others had changed, and stand again", labels=["kind"]
        )
        for kind, count in sorted(self._reconciler.repairs.counts.items()):
            drift.add_metric([kind], count)
        yield drift
        members = GaugeMetricFamily("vaportrail_agent_probed_members", "Members that are probed", labels=["state"])
        found = Counter(self._health.state(check).state for check in self._health.checks.values())
        for state in get_args(State):
            members.add_metric([state], found[state])
        yield members
        probes = CounterMetricFamily("vaportrail_agent_probes", "Probes of members, by answer", labels=["answer"])
        for good, count in self._health.answers.items():
            probes.add_metric(["good" if good else "bad"], count)
        yield probes
