"""What has passed, for Prometheus: of each VIP, listener and member, of each interface, and what was refused.

Made of what the back-end was asked for one scrape. `detail` bounds the number of series: to the member, the listener or
the VIP, or none of these.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Literal

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from vrouter.backends.protocol import Drop, Vif
from vrouter.introspect.stats import ListenerTraffic, MemberTraffic, Totals, VipTraffic

Detail = Literal["member", "listener", "vip", "none"]

_LABELS: dict[Detail, list[str]] = {
    "vip": ["vrf", "service", "vip"],
    "listener": ["vrf", "service", "vip", "protocol", "port"],
    "member": ["vrf", "service", "vip", "protocol", "port", "member", "address", "target_port"],
    "none": [],
}
_DIRECTIONS = {"in": ("packets", "bytes"), "out": ("reverse_packets", "reverse_bytes")}


class TrafficMetrics(Collector):
    """vrf_name, interface_name: index and uuid -> name, None if there is none."""

    def __init__(
        self,
        services: Sequence[VipTraffic],
        vifs: Sequence[Vif],
        drops: Sequence[Drop],
        detail: Detail,
        *,
        vrf_name: Callable[[int], str | None],
        interface_name: Callable[[str | None], str | None],
    ) -> None:
        self._services = services
        self._vifs = vifs
        self._drops = drops
        self._detail = detail
        self._vrf_name = vrf_name
        self._interface_name = interface_name

    def collect(self) -> Iterator[Metric]:
        if self._detail != "none":
            yield from self._service()
        if self._detail in ("member", "listener"):
            yield from self._limits()
        yield from self._interfaces()
        refused = {
            "packets": CounterMetricFamily("vaportrail_refused_packets", "Refused", labels=["vrf", "reason"]),
            "bytes": CounterMetricFamily("vaportrail_refused_bytes", "Bytes of these", labels=["vrf", "reason"]),
        }
        for drop in self._drops:
            for what, family in refused.items():
                family.add_metric([self._vrf(drop.vrf), drop.reason], getattr(drop, what))
        yield from refused.values()

    def _service(self) -> Iterator[Metric]:
        labels = _LABELS[self._detail]
        connections = CounterMetricFamily("vaportrail_service_connections", "Connections begun", labels=labels)
        moving = {
            "packets": CounterMetricFamily(
                "vaportrail_service_packets", "Packets to (in) and from (out) members", labels=[*labels, "direction"]
            ),
            "bytes": CounterMetricFamily("vaportrail_service_bytes", "Bytes of these", labels=[*labels, "direction"]),
        }
        for values, totals in self._rows():
            connections.add_metric(values, totals["connections"])
            for direction, counters in _DIRECTIONS.items():
                for family, counter in zip(moving.values(), counters, strict=True):
                    family.add_metric([*values, direction], totals[counter])
        yield connections
        yield from moving.values()

    def _limits(self) -> Iterator[Metric]:
        labels = _LABELS["listener"]
        limit = GaugeMetricFamily("vaportrail_listener_limit", "Connections a listener may have", labels=labels)
        taken = GaugeMetricFamily("vaportrail_listener_connections", "Connections it has of these", labels=labels)
        refused = CounterMetricFamily("vaportrail_listener_refused_packets", "Refused beyond its limit", labels=labels)
        for vip in self._services:
            for listener in vip.listeners.values():
                if (places := listener.places) is not None:
                    values = [self._vrf(vip.vrf), vip.name, str(vip.address), *_listener(listener)]
                    limit.add_metric(values, places.limit)
                    taken.add_metric(values, places.taken)
                    refused.add_metric(values, places.refused)
        yield from (limit, taken, refused)

    def _rows(self) -> Iterator[tuple[list[str], Totals]]:
        for vip in self._services:
            of_vip = [self._vrf(vip.vrf), vip.name, str(vip.address)]
            if self._detail == "vip":
                yield of_vip, vip.totals
                continue
            for listener in vip.listeners.values():
                of_listener = [*of_vip, *_listener(listener)]
                if self._detail == "listener":
                    yield of_listener, listener.totals
                    continue
                for member in listener.members.values():
                    yield [*of_listener, *self._member(member)], member.totals

    def _member(self, member: MemberTraffic) -> tuple[str, str, str]:
        name = self._interface_name(member.member) or member.member or ""
        return name, str(member.address), str(member.port)

    def _interfaces(self) -> Iterator[Metric]:
        labels = ["vrf", "interface", "workload", "device", "direction"]
        packets = CounterMetricFamily(
            "vaportrail_interface_packets", "Packets that a workload received (in) and sent (out)", labels=labels
        )
        size = CounterMetricFamily("vaportrail_interface_bytes", "Bytes of these", labels=labels)
        for vif in self._vifs:
            of_vif = [self._vrf(vif.vrf), self._interface_name(vif.uuid) or vif.uuid, vif.workload, vif.device]
            for direction, counts in (
                ("in", (vif.rx_packets, vif.rx_bytes)),
                ("out", (vif.tx_packets, vif.tx_bytes)),
            ):
                packets.add_metric([*of_vif, direction], counts[0])
                size.add_metric([*of_vif, direction], counts[1])
        yield packets
        yield size

    def _vrf(self, index: int) -> str:
        return self._vrf_name(index) or str(index)


def _listener(listener: ListenerTraffic) -> tuple[str, str]:
    return listener.protocol, str(listener.port)
