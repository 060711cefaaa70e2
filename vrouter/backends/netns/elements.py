"""Units as elements of the VRF's table (`rules.py`), and back: functions of values.

Names, which the forwarding needs no more than the kernel has a place for, are kept as comments of the set `label`,
where `nft list` shows them, in pieces of `COMMENT_LIMIT` bytes.
"""

import struct
from collections import Counter
from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address

from vrouter.backends.netns.nftables import COMMENT_LIMIT, Elements, Place, Value
from vrouter.state import Protocol

PROTOCOLS: tuple[Protocol, ...] = ("tcp", "udp")

# What stands in the table is in these; all others are dynamic.
STATIC_SETS = (
    *("vip", "split", "service_vip", "service_port", "endpoint", "endpoint_address", "endpoint_port", "self", "label"),
    *(f"{name}_{protocol}" for name in ("service", "target", "exception") for protocol in PROTOCOLS),
)

# The first field of a label's key: what the name is of.
VRF_LABEL, INTERFACE_LABEL, VIP_LABEL = 0, 1, 2
NOWHERE = IPv4Address(0)

SURROGATES = IPv4Address("240.0.0.0")
POD = 0  # the port of the endpoint that is the pod itself

Service = tuple[Protocol, int]
"""(protocol, port) of a listener."""

_MARK = struct.Struct("=I")
_PORT = struct.Struct(">H2x")


@dataclass(slots=True)
class VipTable:
    """What the table has of one VIP. targets: the port of most pods. exceptions: the port of a pod that has another."""

    name: str
    surrogates: dict[Service, IPv4Address] = field(default_factory=dict)
    targets: dict[Service, int] = field(default_factory=dict)
    exceptions: dict[tuple[Service, IPv4Address], int] = field(default_factory=dict)

    @property
    def split(self) -> bool:
        """Whether each listener has a group of its own."""
        return len(self.surrogates) > 1

    def port(self, service: Service, pod: IPv4Address) -> int:
        """Where that pod listens for that service."""
        return self.exceptions.get((service, pod), self.targets[service])

    def elements(self, vip: IPv4Address) -> Elements:
        found: Elements = {Place(4, "vip", vip.packed): Value(), **label(VIP_LABEL, vip, self.name)}
        if self.split:
            found[Place(4, "split", vip.packed)] = Value()
        for service, surrogate in self.surrogates.items():
            protocol, port = service
            found[Place(4, f"service_{protocol}", _service_key(vip, port))] = Value(surrogate.packed)
            found[Place(4, "service_vip", surrogate.packed)] = Value(vip.packed)
            found[Place(4, "service_port", surrogate.packed)] = Value(struct.pack(">H", port))
        for (protocol, port), target in self.targets.items():
            found[Place(4, f"target_{protocol}", _service_key(vip, port))] = Value(mark(target))
        for ((protocol, port), pod), target in self.exceptions.items():
            found[Place(4, f"exception_{protocol}", _service_key(vip, port) + pod.packed)] = Value(mark(target))
        return found


def choose_ports(ports: Mapping[IPv4Address, int], standing: int | None) -> tuple[int | None, dict[IPv4Address, int]]:
    """A listener's target port and the pods that have another, from pod -> port.

    A target that still holds for a pod stays, so that one member's change is one element's; else the most frequent one.
    """
    if not ports:
        return standing, {}
    frequent = Counter(ports.values())
    target = standing if standing in frequent else min(frequent, key=lambda port: (-frequent[port], port))
    assert target is not None
    return target, {pod: port for pod, port in ports.items() if port != target}


def endpoint_elements(pod: IPv4Address, port: int, number: int) -> Elements:
    """Of one endpoint and its id."""
    found = {
        Place(4, "endpoint", pod.packed + mark(port)): Value(mark(number)),
        Place(4, "endpoint_address", mark(number)): Value(pod.packed),
    }
    if port != POD:
        found[Place(4, "endpoint_port", mark(number))] = Value(struct.pack(">H", port))
    return found


def self_element(pod: IPv4Address) -> Elements:
    return {Place(4, "self", pod.packed * 2): Value()}


def label(kind: int, address: IPv4Address, name: str) -> Elements:
    text = name.encode()
    pieces = [text[start : start + COMMENT_LIMIT] for start in range(0, len(text), COMMENT_LIMIT)]
    return {
        Place(4, "label", mark(kind) + address.packed + mark(number)): Value(comment=piece)
        for number, piece in enumerate(pieces)
    }


def read_labels(elements: Elements) -> dict[tuple[int, IPv4Address], str]:
    """(kind, address) -> name."""
    pieces: dict[tuple[int, IPv4Address], dict[int, bytes]] = {}
    for place, value in elements.items():
        if place.set == "label":
            kind, number = number_of(place.key[:4]), number_of(place.key[8:])
            pieces.setdefault((kind, IPv4Address(place.key[4:8])), {})[number] = value.comment
    return {
        key: b"".join(parts[number] for number in sorted(parts)).decode(errors="replace")
        for key, parts in pieces.items()
    }


def read_vips(elements: Elements, labels: Mapping[tuple[int, IPv4Address], str]) -> dict[IPv4Address, VipTable]:
    """VIP -> what the table has of it."""
    found = {
        vip: VipTable(labels.get((VIP_LABEL, vip), ""))
        for vip in (IPv4Address(place.key) for place in elements if place.set == "vip")
    }
    for place, value in elements.items():
        kind, _, protocol = place.set.partition("_")
        if protocol not in PROTOCOLS:
            continue
        table = found.get(IPv4Address(place.key[:4]))
        if table is None:
            continue
        service: Service = (protocol, _PORT.unpack_from(place.key, 4)[0])
        if kind == "service":
            table.surrogates[service] = IPv4Address(value.data)
        elif kind == "target":
            table.targets[service] = number_of(value.data)
        elif kind == "exception":
            table.exceptions[service, IPv4Address(place.key[8:12])] = number_of(value.data)
    return found


def read_endpoints(elements: Elements) -> dict[IPv4Address, dict[int, int]]:
    """Pod -> port -> id of the endpoint."""
    found: dict[IPv4Address, dict[int, int]] = {}
    for place, value in elements.items():
        if place.set == "endpoint":
            pod, port = IPv4Address(place.key[:4]), number_of(place.key[4:])
            found.setdefault(pod, {})[port] = number_of(value.data)
    return found


def mark(number: int) -> bytes:
    return _MARK.pack(number)


def number_of(mark: bytes) -> int:
    return int(_MARK.unpack(mark)[0])


def of_other_pods(table: Elements, pods: Container[IPv4Address]) -> Elements:
    """What the table has of the pods that are not among these."""
    gone: set[bytes] = set()  # ids of endpoints
    found: Elements = {}
    for place, value in table.items():
        match place.set:
            case "endpoint_address":
                other = IPv4Address(value.data) not in pods
                if other:
                    gone.add(place.key)
            case "endpoint" | "self":
                other = IPv4Address(place.key[:4]) not in pods
            case "label":
                other = place.key[:4] == mark(INTERFACE_LABEL) and IPv4Address(place.key[4:8]) not in pods
            case _:
                other = False
        if other:
            found[place] = value
    found.update({p: v for p, v in table.items() if p.set == "endpoint_port" and p.key in gone})
    return found


def _service_key(vip: IPv4Address, port: int) -> bytes:
    return vip.packed + _PORT.pack(port)
