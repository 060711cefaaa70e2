"""Why something gets traffic, or does not, in words.

The walk goes the way a packet's fate is decided: service -> listener -> pool -> member -> interface -> unit -> what
stands in the kernel. The functions that compile are asked again, so what is said here is what was done, not a second
opinion.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from vrouter.backends.protocol import Nexthop, Route, Tables, host_prefix
from vrouter.cache import Cache, Object
from vrouter.compiler import Compiler
from vrouter.compiler.services import Examined, Service, examine
from vrouter.compiler.view import Absent, View
from vrouter.reconciler import Reconciler
from vrouter.state import Key, Reason, Vip, socket_address

Line = dict[str, Any]  # depth, good (None: neither), text


def explain(
    question: str, cache: Cache, compiler: Compiler, reconciler: Reconciler, reasons: Iterable[Reason], tables: Tables
) -> dict[str, Any]:
    """Answers for everything that `question` may mean: a name, fq_name, uuid or address.

    {"question", "answers": [{"type", "uuid", "name", "lines": [{"depth", "good", "text"}]}]}; no answers if nothing is
    called so.
    """
    walk = _Walk(cache, compiler, reconciler, reasons, tables)
    subjects = walk.subjects(question)
    answers = [
        {"type": found.type, "uuid": found.uuid, "name": ":".join(found.fq_name), "lines": list(walk.lines(found))}
        for found in subjects
    ]
    return {"question": question, "answers": answers}


class _Walk:
    def __init__(
        self, cache: Cache, compiler: Compiler, reconciler: Reconciler, reasons: Iterable[Reason], tables: Tables
    ) -> None:
        self._cache = cache
        self._compiler = compiler
        self._reconciler = reconciler
        self._tables = tables
        self._reasons: dict[str, list[str]] = {}
        for reason in sorted(set(reasons)):
            self._reasons.setdefault(reason.subject[1], []).append(reason.text)
        self._view = View(compiler)

    # --- what is meant

    def subjects(self, question: str) -> list[Object]:
        found = self._cache.find(question) or self._by_display(question)
        found += [one for one in self._by_address(question) if one not in found]
        return [one for one in found if one.type in _WALKS]

    def _by_display(self, question: str) -> list[Object]:
        """`ns-service` and `service` for kube-manager's `service__<uuid>`."""
        services = (self._cache.get(uuid) for uuid in self._cache.of_type("loadbalancer"))
        return [one for one in services if one is not None and one.name.split("__")[0] == question]

    def _by_address(self, question: str) -> Iterator[Object]:
        """The services and interfaces that an instance-ip with this address belongs to."""
        for holding in self._view.holders(question):
            found = self._cache.get(holding)
            for uuid in found.targets("virtual-machine-interface") if found else ():
                owners = self._view.referrers(uuid, "loadbalancer")
                yield from (one for one in map(self._cache.get, owners or [uuid]) if one is not None)

    # --- the walk

    def lines(self, found: Object) -> Iterator[Line]:
        yield from _WALKS[found.type](self, found)

    def _service(self, found: Object, only: str | None = None) -> Iterator[Line]:
        """only: uuid of the one listener, pool or member to tell of."""
        examined = examine(self._view, found)
        vips = self._vips(found)
        where = "".join(f", VIP {place.address}" for place in examined.places)
        answered = any(one.backends for one in examined.services)
        yield _line(0, answered if vips else None, f"service {found.name}{where}")
        yield from self._said(1, found.uuid)
        for vip in vips:
            yield from self._standing(1, vip)
        for uuid in self._view.referrers(found.uuid, "loadbalancer-listener"):
            listener = self._cache.get(uuid)
            if listener is not None and only in (None, uuid, *self._below(uuid)):
                yield from self._listener(1, listener, examined, vips, only)

    def _below(self, listener: str) -> Iterator[str]:
        for pool in self._view.referrers(listener, "loadbalancer-pool"):
            yield pool
            yield from self._view.children(pool, "loadbalancer-member")

    def _listener(
        self, depth: int, listener: Object, examined: Examined, vips: Sequence[Vip], only: str | None
    ) -> Iterator[Line]:
        service = next((one for one in examined.services if one.listener == listener.uuid), None)
        what = f"{service.protocol} port {service.port}, " if service else ""
        count = len(service.backends) if service else 0
        yield _line(depth, count > 0, f"listener {listener.name}: {what}{_count(count, 'usable member')}")
        yield from self._said(depth + 1, listener.uuid)
        for uuid in self._view.referrers(listener.uuid, "loadbalancer-pool"):
            yield from self._said(depth + 1, uuid)
            for member_uuid in self._view.children(uuid, "loadbalancer-member"):
                member = self._cache.get(member_uuid)
                if member is not None and (only in (None, uuid, listener.uuid) or only == member_uuid):
                    yield from self._member(depth + 1, member, service, vips)

    def _member(self, depth: int, member: Object, service: Service | None, vips: Sequence[Vip]) -> Iterator[Line]:
        backends = service.backends if service else ()
        backend = next((one for one in backends if one.subject[1] == member.uuid), None)
        if backend is None:
            yield _line(depth, False, f"member {member.name} is not used")
            yield from self._said(depth + 1, member.uuid, about=f"member {member.name}: ")
            return
        interface = backend.local.interface
        families = {vip.address.version for vip in vips}
        addresses = [one.address for one in interface.addresses if one.address.version in families]
        target = " and ".join(socket_address(address, backend.port) for address in addresses or [interface.address])
        yield _line(
            depth,
            True,
            f"member {member.name} is used: {target}, weight {backend.weight}, interface {interface.name}",
        )
        yield from self._said(depth + 1, member.uuid, about=f"member {member.name}: ")
        trouble = self._trouble(interface.key)
        if trouble:
            yield _line(depth + 1, False, f"its interface does not stand: {trouble}")
        for vip in vips:
            if vip.vrf == interface.vrf and interface.address_of(vip.address.version) is not None:
                yield self._in_group(depth + 1, vip, interface.uuid)

    def _interface(self, found: Object) -> Iterator[Line]:
        value = self._view.interface(found.uuid)
        if isinstance(value, Absent):
            yield _line(0, False, f"interface {found.name} {value.text}")
            return
        unit = value.interface
        trouble = self._trouble(unit.key)
        stands = f"does not stand: {trouble}" if trouble else "stands"
        where = f"{unit.address_text} in VRF {value.vrf.name}, workload {unit.workload}"
        yield _line(0, not trouble, f"interface {found.name} {stands}; {where}")
        used = [vip for vip in self._all_vips() if unit.uuid in vip.backends]
        for vip in used:
            yield _line(1, True, f"it answers for {vip.name}, VIP {vip.address} in VRF {vip.vrf}")
            yield self._in_group(2, vip, unit.uuid)
        if not used:
            yield _line(1, None, "it answers for no VIP")

    def _part(self, found: Object) -> Iterator[Line]:
        """A listener, pool or member: its service, narrowed to it."""
        owners = list(self._owners(found))
        for owner in owners:
            yield from self._service(owner, only=found.uuid)
        if not owners:
            kind = found.type.removeprefix("loadbalancer-")
            yield _line(0, False, f"{kind} {found.name} belongs to no loadbalancer, so nothing leads to it")
            for one in self._ancestors(found):
                yield from self._said(1, one.uuid)

    def _floating_ip(self, found: Object) -> Iterator[Line]:
        vips = self._vips(found)
        yield _line(0, bool(vips) or None, f"floating-ip {found.name}: {found.properties.get('floating_ip_address')}")
        yield from self._said(1, found.uuid)
        for vip in vips:
            yield from self._standing(1, vip)

    # --- what stands

    def _standing(self, depth: int, vip: Vip) -> Iterator[Line]:
        where, trouble = f"VIP {vip.address} in VRF {vip.vrf}", self._trouble(vip.key)
        route = self._route(vip)
        if trouble:
            yield _line(depth, False, f"{where} is not as it should be: {trouble}")
        elif route is None:
            yield _line(depth, False, f"{where} was made, but its route is not there")
        elif route.refused:
            yield _line(depth, False, f"{where}: every connection is refused at once, for no member is usable")
        else:
            group = self._nexthop(vip.vrf, route.nexthop)
            ways = _count(len(group.members) if group and group.kind == "composite" else 1, "way")
            yield _line(depth, True, f"{where}: route {route.prefix} leads to nexthop {route.nexthop}, {ways}")

    def _trouble(self, key: Key) -> str:
        """Why a unit does not stand; empty if it does."""
        status = self._reconciler.status.get(key)
        if status is None or status.state == "pending":
            return "not yet tried"
        return status.text if status.state == "error" else ""

    def _route(self, vip: Vip) -> Route | None:
        prefix = host_prefix(vip.address)
        return next((one for one in self._tables.routes if (one.vrf, one.prefix) == (vip.vrf, prefix)), None)

    def _in_group(self, depth: int, vip: Vip, interface: str) -> Line:
        route = self._route(vip)
        group = self._nexthop(vip.vrf, route.nexthop) if route else None
        ids = [member for member, _ in group.members] if group else []
        if group is not None and group.kind == "encap":
            ids = [group.id]
        mine = [one.id for one in self._tables.nexthops if one.vrf == vip.vrf and one.interface == interface]
        common = [one for one in mine if one in ids]
        if common:
            return _line(depth, True, f"nexthop {common[0]} is in the ECMP group of VIP {vip.address}, VRF {vip.vrf}")
        return _line(depth, False, f"it is in no ECMP group of VIP {vip.address}, VRF {vip.vrf}")

    def _nexthop(self, vrf: int, id: int | None) -> Nexthop | None:
        return next((one for one in self._tables.nexthops if (one.vrf, one.id) == (vrf, id)), None)

    # --- the graph

    def _vips(self, found: Object) -> list[Vip]:
        rule = "loadbalancer" if found.type == "loadbalancer" else "floating-ip"
        result = self._compiler.result((rule, found.uuid))  # type: ignore[arg-type]  # both are rules
        return [one for one in result.units if isinstance(one, Vip)] if result else []

    def _all_vips(self) -> Iterator[Vip]:
        return (unit for unit in self._compiler.desired.values() if isinstance(unit, Vip))

    def _ancestors(self, found: Object) -> Iterator[Object]:
        """The object, then what it belongs to, up to listeners."""
        above = {"loadbalancer-pool": "loadbalancer-listener", "loadbalancer-listener": "loadbalancer"}
        yield found
        uuids = [found.parent] if found.type == "loadbalancer-member" else found.targets(above.get(found.type, ""))
        for uuid in uuids:
            one = self._cache.get(uuid) if uuid else None
            if one is not None:
                yield from self._ancestors(one)

    def _owners(self, found: Object) -> Iterator[Object]:
        return (one for one in self._ancestors(found) if one.type == "loadbalancer")

    def _said(self, depth: int, uuid: str, *, about: str = "") -> Iterator[Line]:
        """The object's reasons, without the beginning that the line above has said already."""
        return (_line(depth, False, text.removeprefix(about)) for text in self._reasons.get(uuid, ()))


_WALKS = {
    "loadbalancer": _Walk._service,
    "loadbalancer-listener": _Walk._part,
    "loadbalancer-pool": _Walk._part,
    "loadbalancer-member": _Walk._part,
    "virtual-machine-interface": _Walk._interface,
    "floating-ip": _Walk._floating_ip,
}


def _count(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def _line(depth: int, good: bool | None, text: str) -> Line:
    return {"depth": depth, "good": good, "text": text}
