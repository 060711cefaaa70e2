"""What stands: VRFs, interfaces, routes and nexthops, with the columns of vif, rt and nh."""

from collections.abc import Mapping
from typing import Any

from starlette.requests import Request

from vrouter.backends.protocol import Nexthop, host_prefix
from vrouter.introspect.sources import Sources, plain
from vrouter.state import Address, Interface, Link, Remote, Tunnel, Vip, Vrf, addresses_of


async def vrfs(sources: Sources, request: Request) -> Any:
    uses: dict[tuple[int, str], int] = {}
    for unit in sources.compiler.desired.values():
        if isinstance(unit, Interface | Vip):
            uses[unit.vrf, type(unit).__name__] = uses.get((unit.vrf, type(unit).__name__), 0) + 1
    return [
        {"index": unit.index, "name": unit.name, "interfaces": uses.get((unit.index, "Interface"), 0),
         "vips": uses.get((unit.index, "Vip"), 0), **sources.state(unit.key)}
        for unit in sources.desired(Vrf)
    ]  # fmt: skip


async def interfaces(sources: Sources, request: Request) -> Any:
    vrf = sources.vrf(request)
    standing = {vif.uuid: vif for vif in await sources.reconciler.ask(lambda: sources.backend.vifs(vrf))}
    rows = []
    for unit in sources.desired(Interface):
        if vrf in (None, unit.vrf):
            row = {**plain(unit), "vrf_name": sources.vrf_name(unit.vrf), "device": None, **sources.state(unit.key)}
            row |= {"address": unit.address, "port": unit.device or None}
            if unit.uuid in standing:
                row |= plain(standing[unit.uuid])
            rows.append(row)
    return rows


async def remotes(sources: Sources, request: Request) -> Any:
    """What VRFs here reach of other nodes and other VRFs. router, vni: of the tunnel; through: index of the VRF it is
    reached through; one of the two."""
    vrf = sources.vrf(request)
    rows = []
    for unit in sources.desired(Remote):
        if vrf in (None, unit.vrf):
            row = {"uuid": unit.uuid, "name": unit.name, "vrf": unit.vrf, "vrf_name": sources.vrf_name(unit.vrf)}
            row |= {"addresses": unit.addresses, "via": str(unit.via), "guarded": unit.guarded}
            own = sources.compiler.desired.get(("vrf", unit.vrf))
            tunnel = unit.via if isinstance(unit.via, Tunnel) else None
            vni = own.vtep.vni if tunnel and isinstance(own, Vrf) and own.vtep else None
            row |= {"router": tunnel.router if tunnel else None, "vni": vni}
            row["through"] = unit.via.vrf if isinstance(unit.via, Link) else None
            rows.append(row | sources.state(unit.key))
    return rows


async def routes(sources: Sources, request: Request) -> Any:
    """The tools' columns: Destination, PPL, Flags, Label, Nexthop. label: the VNI of a tunnel. flags: R = refused at
    once."""
    tables = await sources.tables(sources.vrf(request))
    kinds = {(nexthop.vrf, nexthop.id): nexthop for nexthop in tables.nexthops}
    names = {(unit.vrf, host_prefix(unit.address)): unit.name for unit in sources.desired(Vip)}
    bases: list[Interface | Remote] = [*sources.desired(Interface), *sources.desired(Remote)]
    names |= {(unit.vrf, host_prefix(one)): unit.name for unit in bases for one in addresses_of(unit)}
    rows = []
    for route in sorted(tables.routes, key=lambda route: (route.vrf, ":" in route.prefix)):
        nexthop = kinds.get((route.vrf, route.nexthop)) if route.nexthop is not None else None
        rows.append({
            "vrf": route.vrf, "vrf_name": sources.vrf_name(route.vrf), "prefix": route.prefix, "ppl": "-",
            "flags": "R" if route.refused else "-", "label": (nexthop and nexthop.vni) or "-", "nexthop": route.nexthop,
            "type": nexthop.kind if nexthop else None, "members": len(nexthop.members) if nexthop else 0,
            "name": names.get((route.vrf, route.prefix)) or _surrogate(route.prefix), "refused": route.refused,
        })  # fmt: skip
    return rows


async def nexthops(sources: Sources, request: Request) -> Any:
    tables = await sources.tables(sources.vrf(request))
    uses: dict[tuple[int, int], int] = {}
    for vrf, used in [
        *((route.vrf, route.nexthop) for route in tables.routes if route.nexthop is not None),
        *((nexthop.vrf, member) for nexthop in tables.nexthops for member, _ in nexthop.members),
    ]:
        uses[vrf, used] = uses.get((vrf, used), 0) + 1
    addresses = {(nexthop.vrf, nexthop.id): nexthop.address for nexthop in tables.nexthops}
    return [
        {"vrf": nexthop.vrf, "id": nexthop.id, "type": nexthop.kind.capitalize(),
         "family": _family(nexthop, addresses),
         "flags": ["Valid", "Ecmp"] if nexthop.kind == "composite" else ["Valid"],
         "ref_count": uses.get((nexthop.vrf, nexthop.id), 0), "device": nexthop.device, "address": nexthop.address,
         "interface": nexthop.interface, "interface_name": sources.interface_name(nexthop.interface),
         "router": nexthop.router, "vni": nexthop.vni,
         "members": [{"id": member, "weight": weight} for member, weight in nexthop.members]}
        for nexthop in tables.nexthops
    ]  # fmt: skip


def _surrogate(prefix: str) -> str | None:
    """What a route is for that no object asked for; 240.0.0.0/8 and 100::/64: docs/design/listeners.md."""
    return "group of one listener of several" if prefix.startswith(("240.", "100::")) else None


def _family(nexthop: Nexthop, addresses: Mapping[tuple[int, int], Address | None]) -> str:
    """Of its address; of a group, that of its members'."""
    number = nexthop.members[0][0] if nexthop.members else nexthop.id
    address = addresses.get((nexthop.vrf, number))
    return "AF_INET6" if address is not None and address.version == 6 else "AF_INET"
