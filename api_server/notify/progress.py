"""What a publisher has done and how things stand, for the metrics."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector


@dataclass(slots=True)
class Progress:
    """confirmed: the last revision that the broker has, as far as this process knows. published: messages, those sent
    again included. skipped: revisions that were compacted before they could be sent."""

    confirmed: int = 0
    published: int = 0
    skipped: int = 0
    connected: bool = False
    publishing: bool = False


class NotifyFigures(Collector):
    """newest: the newest revision there is."""

    def __init__(self, progress: Progress, newest: Callable[[], int]) -> None:
        self.progress = progress
        self.newest = newest

    def collect(self) -> Iterator[CounterMetricFamily | GaugeMetricFamily]:
        now = self.progress
        yield CounterMetricFamily("vaportrail_notify_published", "Messages the broker confirmed.", value=now.published)
        yield CounterMetricFamily(
            "vaportrail_notify_skipped", "Revisions compacted before they were published.", value=now.skipped
        )
        yield GaugeMetricFamily("vaportrail_notify_connected", "1: connected to a broker.", value=now.connected)
        yield GaugeMetricFamily("vaportrail_notify_publishing", "1: this process publishes.", value=now.publishing)
        yield GaugeMetricFamily(
            "vaportrail_notify_lag", "Revisions that are not published.", value=max(0, self.newest() - now.confirmed)
        )
