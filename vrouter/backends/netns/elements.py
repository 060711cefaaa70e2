"""Units as elements of the VRF's table (`rules.py`), and back: functions of values.

Names, which the forwarding needs no more than the kernel has a place for, are kept as comments of the set `label`,
where `nft list` shows them, in pieces of `COMMENT_LIMIT` bytes.
"""

import struct
from collections import Counter
from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address, ip_address

from vrouter.backends.netns import limits
from vrouter.backends.netns.nftables import COMMENT_LIMIT, Elements, Place, Value
from vrouter.backends.netns.rules import ID_MASK, NEW, STICKY
from vrouter.state import Address, Family, Protocol

PROTOCOLS: tuple[Protocol, ...] = ("tcp", "udp")

# What stands in the table is in these; all others are dynamic.
STATIC_SETS = (
    *(
        "sticky",
        "sticky_service",
        "sticky_member",
        "vip",
        "split",
        "service_vip",
        "service_port",
        "endpoint",
        "endpoint_address",
        "endpoint_port",
        "self",
        "watched",
        "guarded",
        "exits",
        "uplinks",
        "floating",
        "float_in",
        "float_out",
        "label",
    ),
    *(f"{name}_{protocol}" for name in ("service", "target", "exception", "limited") for protocol in PROTOCOLS),
)

# Those for packets that no VIP translates. If one of them has an element, such packets are watched (`rules.py`).
WATCHING = frozenset({"guarded", "exits", "uplinks", "floating", "float_in", "float_out"})

# The first field of a label's key: what the name is of.
VRF_LABEL, INTERFACE_LABEL, VIP_LABEL, REMOTE_LABEL, OUTSIDE_LABEL = 0, 1, 2, 3, 4
NOWHERE = IPv4Address(0)

# Where surrogates begin: prefixes that are on no wire (RFC 1112, RFC 6666).
SURROGATES: Mapping[Family, Address] = {4: IPv4Address("240.0.0.0"), 6: IPv6Address("100::")}
LENGTHS: Mapping[Family, int] = {4: 4, 6: 16}  # bytes of an address
POD = 0  # the port of the endpoint that is the pod itself

Service = tuple[Protocol, int]
"""(protocol, port) of a listener."""

_MARK = struct.Struct("=I")
_PORT = struct.Struct(">H2x")


@dataclass(slots=True)
class VipTable:
    """What the table has of one VIP. targets: the port of most pods. exceptions: the port of a pod that has another.
    sticky: services with affinity -> the pods that take new connections. limits: services -> the most connections."""

    name: str
    surrogates: dict[Service, Address] = field(default_factory=dict)
    targets: dict[Service, int] = field(default_factory=dict)
    exceptions: dict[tuple[Service, Address], int] = field(default_factory=dict)
    sticky: dict[Service, set[Address]] = field(default_factory=dict)
    limits: dict[Service, int] = field(default_factory=dict)

    @property
    def split(self) -> bool:
        """Whether each listener has a group of its own."""
        return len(self.surrogates) > 1 or bool(self.sticky)

    def port(self, service: Service, pod: Address) -> int:
        """Where that pod listens for that service."""
        target = self.targets[service]
        return self.exceptions.get((service, pod), target) if self.exceptions else target

    @property
    def chains(self) -> dict[Service, str]:
        """Of limited services, the name of the chain and the set that each has."""
        return {
            service: limits.name(service[0], self.surrogates[service], limit) for service, limit in self.limits.items()
        }

    def elements(self, vip: Address) -> Elements:
        family = vip.version
        found: Elements = {Place(family, "vip", vip.packed): Value(), **label(VIP_LABEL, vip, self.name)}
        if self.split:
            found[Place(family, "split", vip.packed)] = Value(mark(NEW | STICKY if self.sticky else NEW))
        for service, surrogate in self.surrogates.items():
            protocol, port = service
            found[Place(family, f"service_{protocol}", service_key(vip, port))] = Value(surrogate.packed)
            found[Place(family, "service_vip", surrogate.packed)] = Value(vip.packed)
            found[Place(family, "service_port", surrogate.packed)] = Value(struct.pack(">H", port))
        for (protocol, port), target in self.targets.items():
            found[Place(family, f"target_{protocol}", service_key(vip, port))] = Value(mark(target))
        for ((protocol, port), pod), target in self.exceptions.items():
            found[Place(family, f"exception_{protocol}", service_key(vip, port) + pod.packed)] = Value(mark(target))
        for service, pods in self.sticky.items():
            surrogate = self.surrogates[service]
            found[Place(family, "sticky", surrogate.packed)] = Value(_sticky(surrogate))
            found[Place(family, "sticky_service", _sticky(surrogate))] = Value(surrogate.packed)
            found.update({Place(family, "sticky_member", _sticky(surrogate) + pod.packed): Value() for pod in pods})
        for (protocol, port), chain in self.chains.items():
            found[Place(family, f"limited_{protocol}", service_key(vip, port))] = Value(chain=chain)
        return found


def choose_ports(ports: Mapping[Address, int], standing: int | None) -> tuple[int | None, dict[Address, int]]:
    """A listener's target port and the pods that have another, from pod -> port.

    A target that still holds for a pod stays, so that one member's change is one element's; else the most frequent one.
    """
    if not ports:
        return standing, {}
    different = set(ports.values())
    if len(different) == 1:
        return different.pop(), {}
    frequent = Counter(ports.values())
    target = standing if standing in frequent else min(frequent, key=lambda port: (-frequent[port], port))
    assert target is not None
    return target, {pod: port for pod, port in ports.items() if port != target}


def endpoint_elements(pod: Address, port: int, number: int) -> Elements:
    """Of one endpoint and its id."""
    family = pod.version
    found = {
        Place(family, "endpoint", pod.packed + mark(port)): Value(mark(number)),
        Place(family, "endpoint_address", mark(number)): Value(pod.packed),
    }
    if port != POD:
        found[Place(family, "endpoint_port", mark(number))] = Value(struct.pack(">H", port))
    return found


def self_element(pod: Address) -> Elements:
    return {Place(pod.version, "self", pod.packed * 2): Value()}


def guard(pod: Address) -> Elements:
    return {Place(pod.version, "guarded", pod.packed): Value()}


def watch(family: Family) -> Elements:
    """Packets that no VIP translates have no mark."""
    return {Place(family, "watched", mark(0)): Value()}


def way_out(family: Family, link: int, *, uplink: bool) -> Elements:
    """Of a link by which what nobody is known to have leaves."""
    found = {Place(family, "exits", mark(link)): Value()}
    return found | ({Place(family, "uplinks", mark(link)): Value()} if uplink else {})


def egress(pod: Address) -> Elements:
    return {Place(pod.version, "floating", pod.packed): Value()}


def one_to_one(outside: Address, pod: Address, link: int) -> Elements:
    """link: by which the pod's packets come."""
    return {
        Place(pod.version, "float_in", outside.packed): Value(pod.packed),
        Place(pod.version, "float_out", mark(link) + pod.packed): Value(outside.packed),
    }


def label(kind: int, address: Address, name: str) -> Elements:
    text = name.encode()
    pieces = [text[start : start + COMMENT_LIMIT] for start in range(0, len(text), COMMENT_LIMIT)]
    return {
        Place(address.version, "label", mark(kind) + address.packed + mark(number)): Value(comment=piece)
        for number, piece in enumerate(pieces)
    }


def complete() -> Elements:
    """Only a table of IPv6 with this is whole; that of IPv4 is there before its namespace has a name."""
    return label(VRF_LABEL, IPv6Address(0), "complete")


def read_labels(elements: Elements) -> dict[tuple[int, Address], str]:
    """(kind, address) -> name."""
    pieces: dict[tuple[int, Address], dict[int, bytes]] = {}
    for place, value in elements.items():
        if place.set == "label":
            kind, number = number_of(place.key[:4]), number_of(place.key[-4:])
            pieces.setdefault((kind, ip_address(place.key[4:-4])), {})[number] = value.comment
    return {
        key: b"".join(parts[number] for number in sorted(parts)).decode(errors="replace")
        for key, parts in pieces.items()
    }


def read_vips(elements: Elements, labels: Mapping[tuple[int, Address], str]) -> dict[Address, VipTable]:
    """VIP -> what the table has of it."""
    found = {
        vip: VipTable(labels.get((VIP_LABEL, vip), ""))
        for vip in (ip_address(place.key) for place in elements if place.set == "vip")
    }
    sticky: dict[Address, set[Address]] = {}  # surrogate -> pods
    for place in elements:
        if place.set == "sticky":
            sticky.setdefault(ip_address(place.key), set())
        elif place.set == "sticky_member":
            surrogate = SURROGATES[place.family] + (number_of(place.key[:4]) & ID_MASK)
            sticky.setdefault(surrogate, set()).add(ip_address(place.key[4:]))
    for place, value in elements.items():
        kind, _, protocol = place.set.partition("_")
        if protocol not in PROTOCOLS:
            continue
        length = LENGTHS[place.family]
        table = found.get(ip_address(place.key[:length]))
        if table is None:
            continue
        service: Service = (protocol, _PORT.unpack_from(place.key, length)[0])
        if kind == "service":
            surrogate = table.surrogates[service] = ip_address(value.data)
            if surrogate in sticky:
                table.sticky[service] = sticky[surrogate]
        elif kind == "target":
            table.targets[service] = number_of(value.data)
        elif kind == "exception":
            table.exceptions[service, ip_address(place.key[-length:])] = number_of(value.data)
        elif kind == "limited" and (limit := limits.limit_of(value.chain)):
            table.limits[service] = limit
    return found


def read_endpoints(elements: Elements) -> dict[Address, dict[int, int]]:
    """Pod -> port -> id of the endpoint."""
    found: dict[Address, dict[int, int]] = {}
    for place, value in elements.items():
        if place.set == "endpoint":
            pod, port = ip_address(place.key[:-4]), number_of(place.key[-4:])
            found.setdefault(pod, {})[port] = number_of(value.data)
    return found


def mark(number: int) -> bytes:
    return _MARK.pack(number)


def number_of(mark: bytes) -> int:
    return int(_MARK.unpack(mark)[0])


def of_other_pods(table: Elements, pods: Container[Address]) -> Elements:
    """What the table has of the pods that are not among these."""
    gone: set[bytes] = set()  # ids of endpoints
    found: Elements = {}
    for place, value in table.items():
        match place.set:
            case "endpoint_address":
                other = ip_address(value.data) not in pods
                if other:
                    gone.add(place.key)
            case "endpoint" | "self" | "guarded":
                other = ip_address(place.key[: LENGTHS[place.family]]) not in pods
            case "label":
                of_pod = place.key[:4] in (mark(INTERFACE_LABEL), mark(REMOTE_LABEL))
                other = of_pod and ip_address(place.key[4:-4]) not in pods
            case _:
                other = False
        if other:
            found[place] = value
    found.update({p: v for p, v in table.items() if p.set == "endpoint_port" and p.key in gone})
    return found


def _sticky(surrogate: Address) -> bytes:
    """The mark of a new flow to a sticky service."""
    return mark(NEW | STICKY | int(surrogate) & ID_MASK)


def refused(vip: Address, service: Service) -> Place:
    """Where what a limited listener has refused is counted."""
    return Place(vip.version, f"refused_{service[0]}", service_key(vip, service[1]))


def service_key(vip: Address, port: int) -> bytes:
    return vip.packed + _PORT.pack(port)
