"""Addresses outside: floating-ips of external networks, of a load balancer or a pod."""

from collections.abc import Iterator, Sequence

from vrouter.compiler.outside import Floating, floating, of_pool
from vrouter.objects import Object
from vrouter.state import Outside, Uplink
from vrouter.why.ground import Ground
from vrouter.why.lines import Line, line


def floating_ip(ground: Ground, found: Object) -> Iterator[Line]:
    """A VIP's, or an address outside: of a load balancer, which has its reasons, or a pod."""
    vips, one = ground.vips(found), of_pool(ground.view, found)
    unit = _unit(ground, one) if one else None
    address = found.get("floating_ip_address")
    yield line(0, bool(vips or unit) or None, f"floating-ip {found.name}: {address}")
    owners: list[Object | None] = [
        owner for interface in found.targets("virtual-machine-interface")
        for uuid in ground.view.referrers(interface, "loadbalancer") if (owner := ground.cache.get(uuid))
    ]  # fmt: skip
    for owner in owners or [None]:
        yield from ground.said(1, found, owner)
    for vip in vips:
        yield from ground.standing(1, vip)
    if unit is not None:
        yield from _standing(ground, unit)


def addresses(ground: Ground, interfaces: Sequence[str], owner: Object | None = None) -> Iterator[Line]:
    """Those that these interfaces answer for. owner: the loadbalancer they are of."""
    for one in floating(ground.view, interfaces):
        yield from ground.said(1, one.found, owner)
        if (unit := _unit(ground, one)) is not None:
            yield from _standing(ground, unit)


def _unit(ground: Ground, one: Floating) -> Outside | None:
    network = ground.view.network(one.network)
    vrf = network.vrf if network else None
    found = ground.compiler.desired.get(("outside", vrf.index, str(one.address))) if vrf else None
    return found if isinstance(found, Outside) else None


def _standing(ground: Ground, unit: Outside) -> Iterator[Line]:
    uplink, trouble = ground.compiler.desired.get(("uplink", unit.vrf)), ground.trouble(unit.key)
    way = f"by {uplink.device}" if isinstance(uplink, Uplink) else "by nothing"
    told = ", and this node answers for it there" if unit.announced else "; another node answers for it there"
    whose = f"is {unit.inside} in VRF {unit.home}" if unit.inside is not None else f"leads to {unit.name}"
    yield line(1, not trouble, f"{unit.address} {whose}; it is reached from outside {way}{told}")
    if trouble:
        yield line(2, False, trouble)
