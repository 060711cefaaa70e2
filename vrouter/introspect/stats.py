"""`/stats`: what has gone through each VIP, listener and member; `/metrics` has the same.

The kernel counts (`Backend.stats`); nothing is lost when flows expire or members leave. A member that has never got
anything is shown with zeros, one that is no member any more for an hour or longer by itself, then together with others,
with port 0 of no address.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request

from vrouter.backends.protocol import Places, Stat
from vrouter.compiler.view import View
from vrouter.introspect.questions import BadQuestion
from vrouter.introspect.sources import Sources
from vrouter.state import Address, Protocol, Vip
from vrouter.subjects import Subjects

COUNTERS = ("connections", "packets", "bytes", "reverse_packets", "reverse_bytes")
Totals = dict[str, int]


@dataclass(slots=True)
class MemberTraffic:
    """member: uuid of the interface, None if nobody has the address now. weight: 0 of one that is no member now."""

    member: str | None
    address: Address
    port: int
    weight: int = 0
    totals: Totals = field(default_factory=lambda: dict.fromkeys(COUNTERS, 0))


@dataclass(slots=True)
class ListenerTraffic:
    """current: whether the VIP has such a listener now. places: of one with a limit."""

    protocol: Protocol
    port: int
    current: bool = False
    members: dict[tuple[Address, int], MemberTraffic] = field(default_factory=dict)
    places: Places | None = None

    @property
    def totals(self) -> Totals:
        return _sum(one.totals for one in self.members.values())


@dataclass(slots=True)
class VipTraffic:
    vrf: int
    address: Address
    name: str
    listeners: dict[tuple[Protocol, int], ListenerTraffic] = field(default_factory=dict)

    @property
    def totals(self) -> Totals:
        return _sum(one.totals for one in self.listeners.values())


def traffic(stats: Iterable[Stat], places: Iterable[Places], vips: Iterable[Vip]) -> list[VipTraffic]:
    """Of these VIPs, in the order of name and VRF."""
    found = {vip.key: _expected(vip) for vip in vips}
    for stat in stats:
        vip = found.get(("vip", stat.vrf, str(stat.vip)))
        if vip is None:
            continue
        listener = vip.listeners.setdefault((stat.protocol, stat.port), ListenerTraffic(stat.protocol, stat.port))
        place = (stat.member_address, stat.member_port)
        member = listener.members.setdefault(place, MemberTraffic(stat.member, *place))
        for name in COUNTERS:
            member.totals[name] += getattr(stat, name)
    for one in places:
        vip = found.get(("vip", one.vrf, str(one.vip)))
        if vip is not None and (one.protocol, one.port) in vip.listeners:
            vip.listeners[one.protocol, one.port].places = one
    return sorted(found.values(), key=lambda one: (one.name, one.vrf, str(one.address)))


def _expected(vip: Vip) -> VipTraffic:
    found = VipTraffic(vip.vrf, vip.address, vip.name)
    for one in vip.listeners:
        listener = found.listeners[one.protocol, one.port] = ListenerTraffic(one.protocol, one.port, current=True)
        for member in one.backends.values():
            place = (member.address, member.port)
            listener.members[place] = MemberTraffic(member.interface, *place, member.weight)
    return found


def _sum(parts: Iterable[Totals]) -> Totals:
    total = dict.fromkeys(COUNTERS, 0)
    for part in parts:
        for name, value in part.items():
            total[name] += value
    return total


async def stats(sources: Sources, request: Request) -> Any:
    """vrf, service (by any name): only of that."""
    vrf = sources.vrf(request)
    vips = [vip for vip in _vips(sources, request.query_params.get("service")) if vrf in (None, vip.vrf)]
    only = vrf if vrf is not None else _single({vip.vrf for vip in vips})
    limited = [vip for vip in vips if any(one.limit for one in vip.listeners)]
    found, places = await sources.reconciler.ask(
        lambda: (sources.backend.stats(only), [one for vip in limited for one in sources.backend.places(vip)])
    )
    return [_row(sources, one) for one in traffic(found, places, vips)]


def _vips(sources: Sources, service: str | None) -> Sequence[Vip]:
    if service is None:
        return [unit for unit in sources.compiler.desired.values() if isinstance(unit, Vip)]
    found = Subjects(sources.cache, View(sources.compiler)).services(service)
    if not found:
        raise BadQuestion(f"no service is called {service!r}")
    results = [sources.compiler.result(("loadbalancer", one.uuid)) for one in found]
    return [unit for result in results if result for unit in result.units if isinstance(unit, Vip)]


def _single(vrfs: set[int]) -> int | None:
    return next(iter(vrfs)) if len(vrfs) == 1 else None


def _row(sources: Sources, vip: VipTraffic) -> dict[str, Any]:
    return {
        "vrf": vip.vrf, "vrf_name": sources.vrf_name(vip.vrf), "vip": vip.address, "name": vip.name, **vip.totals,
        "listeners": [
            {"protocol": one.protocol, "port": one.port, "current": one.current, **one.totals,
             "places": _places(one.places), "members": list(_members(sources, one))}
            for _, one in sorted(vip.listeners.items())
        ],
    }  # fmt: skip


def _places(found: Places | None) -> dict[str, int] | None:
    return {"limit": found.limit, "taken": found.taken, "refused": found.refused} if found else None


def _members(sources: Sources, listener: ListenerTraffic) -> Iterator[dict[str, Any]]:
    for one in sorted(listener.members.values(), key=lambda one: (one.address.packed, one.port)):
        yield {"member": one.member, "member_name": sources.interface_name(one.member), "address": one.address,
               "port": one.port, "weight": one.weight, **one.totals}  # fmt: skip
