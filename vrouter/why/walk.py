"""A service and its parts: which of it is used, and why the rest is not."""

from collections.abc import Iterator, Sequence
from typing import Any

from vrouter.backends.protocol import Backend, host_prefix
from vrouter.cache import Cache, Object
from vrouter.compiler import Compiler
from vrouter.compiler.members import target
from vrouter.compiler.services import Examined, Service, examine
from vrouter.compiler.view import Absent, Local, Unusable, View
from vrouter.reconciler import Reconciler
from vrouter.state import Key, Reason, Vip, socket_address
from vrouter.subjects import INTERFACE, Subjects
from vrouter.why.evidence import Evidence, gather
from vrouter.why.lines import Line, count, line

EXPLAINED = ("loadbalancer", "loadbalancer-listener", "loadbalancer-pool", "loadbalancer-member", INTERFACE,
             "floating-ip")  # fmt: skip


async def explain(
    question: str, cache: Cache, compiler: Compiler, reconciler: Reconciler, backend: Backend
) -> dict[str, Any]:
    """Answers for everything that `question` may mean: a name, fq_name, uuid, workload, address or `VIP:PORT`.

    {"question", "answers": [{"type", "uuid", "name", "lines": [{"depth", "good", "text", "code"}]}]}; no answers if
    nothing is called so.
    """
    walk = Walk(cache, compiler, reconciler)
    subjects = [one for one in Subjects(cache, walk.view).called(question) if one.type in EXPLAINED]
    vips = {vip.key: vip for one in subjects for vip in walk.vips_about(one)}
    pods = [one.uuid for one in subjects if one.type == INTERFACE]
    walk.evidence = await reconciler.ask(lambda: gather(backend, vips.values(), pods))
    answers = [
        {"type": found.type, "uuid": found.uuid, "name": ":".join(found.fq_name), "lines": list(walk.lines(found))}
        for found in subjects
    ]
    return {"question": question, "answers": answers}


class Walk:
    """evidence: to be filled before lines are made."""

    def __init__(self, cache: Cache, compiler: Compiler, reconciler: Reconciler) -> None:
        self.view = View(compiler)
        self.evidence = Evidence()
        self._cache = cache
        self._compiler = compiler
        self._reconciler = reconciler

    def lines(self, found: Object) -> Iterator[Line]:
        if self.evidence.failure:
            yield line(0, False, f"the data plane could not be asked: {self.evidence.failure}")
        if found.type == "loadbalancer":
            yield from self._service(found)
        elif found.type == INTERFACE:
            yield from self._interface(found)
        elif found.type == "floating-ip":
            yield from self._floating_ip(found)
        else:
            yield from self._part(found)

    def vips_about(self, found: Object) -> Iterator[Vip]:
        """Those whose groups must be known to tell of it."""
        if found.type == INTERFACE:
            yield from self._used_by(found.uuid)
        for owner in [found] if found.type in ("loadbalancer", "floating-ip") else self._owners(found):
            yield from self._vips(owner)

    # --- the walk

    def _service(self, found: Object, only: str | None = None) -> Iterator[Line]:
        """only: uuid of the one listener, pool or member to tell of."""
        examined = examine(self.view, found)
        vips = self._vips(found)
        where = "".join(f", VIP {place.address}" for place in examined.places)
        answered = any(one.backends for one in examined.services)
        yield line(0, answered and bool(vips) if examined.places else None, f"service {found.name}{where}")
        yield from self._said(1, found)
        for vip in vips:
            yield from self._standing(1, vip)
        for uuid in self.view.referrers(found.uuid, "loadbalancer-listener"):
            listener = self._cache.get(uuid)
            if listener is not None and only in (None, uuid, *self._below(uuid)):
                yield from self._listener(1, found, listener, examined, vips, only)

    def _below(self, listener: str) -> Iterator[str]:
        for pool in self.view.referrers(listener, "loadbalancer-pool"):
            yield pool
            yield from self.view.children(pool, "loadbalancer-member")

    def _listener(
        self,
        depth: int,
        owner: Object,
        listener: Object,
        examined: Examined,
        vips: Sequence[Vip],
        only: str | None,
    ) -> Iterator[Line]:
        service = next((one for one in examined.services if one.listener == listener.uuid), None)
        what = f"{service.protocol} port {service.port}, " if service else ""
        number = len(service.backends) if service else 0
        yield line(depth, number > 0, f"listener {listener.name}: {what}{count(number, 'usable member')}")
        yield from self._said(depth + 1, listener, owner)
        for uuid in self.view.referrers(listener.uuid, "loadbalancer-pool"):
            pool = self._cache.get(uuid)
            if pool is None:
                continue
            yield from self._said(depth + 1, pool, owner)
            members = self.view.children(uuid, "loadbalancer-member")
            if not members:
                yield line(depth + 1, False, f"pool {pool.name} has no member")
            for member_uuid in members:
                member = self._cache.get(member_uuid)
                if member is not None and (only in (None, uuid, listener.uuid) or only == member_uuid):
                    yield from self._member(depth + 1, owner, member, service, vips)

    def _member(
        self, depth: int, owner: Object, member: Object, service: Service | None, vips: Sequence[Vip]
    ) -> Iterator[Line]:
        backends = service.backends if service else ()
        usable = next((one for one in backends if one.subject[1] == member.uuid), None)
        if usable is None or service is None:
            yield line(depth, False, f"member {member.name} is not used")
            yield from self._said(depth + 1, member, owner, about=f"member {member.name}: ")
            return
        interface = usable.local.interface
        families = {vip.address.version for vip in vips}
        addresses = [one.address for one in interface.addresses if one.address.version in families]
        sockets = " and ".join(socket_address(address, usable.port) for address in addresses or [interface.address])
        text = f"{sockets}, weight {usable.weight}, interface {interface.name}"
        yield line(depth, bool(vips), f"member {member.name} is {'used' if vips else 'usable'}: {text}")
        yield from self._said(depth + 1, member, owner, about=f"member {member.name}: ")
        if not vips:
            yield line(depth + 1, False, "it gets nothing, for the VIP does not stand")
        trouble = self._trouble(interface.key)
        if trouble:
            yield line(depth + 1, False, f"its interface does not stand: {trouble}")
            return
        for vip in vips:
            if vip.vrf == interface.vrf and interface.address_of(vip.address.version) is not None:
                yield self._in_group(depth + 1, vip, (service.protocol, service.port), interface.uuid)

    def _part(self, found: Object) -> Iterator[Line]:
        """A listener, pool or member: its service, narrowed to it."""
        owners = list(self._owners(found))
        for owner in owners:
            yield from self._service(owner, only=found.uuid)
        if not owners:
            kind = found.type.removeprefix("loadbalancer-")
            yield line(0, False, f"{kind} {found.name} belongs to no loadbalancer, so nothing leads to it")
            for one in self._ancestors(found):
                if one.type != "loadbalancer-member":
                    yield from self._said(1, one)

    def _floating_ip(self, found: Object) -> Iterator[Line]:
        vips = self._vips(found)
        yield line(0, bool(vips) or None, f"floating-ip {found.name}: {found.properties.get('floating_ip_address')}")
        yield from self._said(1, found)
        for vip in vips:
            yield from self._standing(1, vip)

    # --- a pod

    def _interface(self, found: Object) -> Iterator[Line]:
        value = self.view.interface(found.uuid)
        if isinstance(value, Absent):
            yield line(0, False, f"interface {found.name} {value.text}", value.code)
        else:
            yield from self._pod(found, value)
        used = list(self._used_by(found.uuid))
        for vip in used:
            yield line(1, True, f"it answers for {vip.name}, VIP {vip.address} in VRF {vip.vrf}")
            if self._trouble(vip.key):
                yield from self._standing(2, vip)
                continue
            for listener in vip.listeners:
                if found.uuid in listener.backends:
                    yield self._in_group(2, vip, (listener.protocol, listener.port), found.uuid)
        meant = list(self._meant(found))
        for owner, member in meant:
            yield from self._unused(owner, member, found.uuid, used)
        if used or self.view.referrers(found.uuid, "loadbalancer"):
            return
        nobody = "" if meant else ": no member names it" + self._addresses(value)
        yield line(1, None, f"it answers for no VIP{nobody}")

    def _pod(self, found: Object, value: Local) -> Iterator[Line]:
        unit = value.interface
        trouble = self._trouble(unit.key)
        carrier = self.evidence.carriers.get(found.uuid, True)
        stands = "does not stand" if trouble else "stands"
        where = f"{unit.address_text} in VRF {value.vrf.name}, workload {unit.workload}"
        yield line(0, not trouble and bool(carrier), f"interface {found.name} {stands}; {where}")
        yield from self._said(1, found)
        if trouble:
            yield line(1, False, trouble)
        elif not carrier:
            yield line(1, False, _LINK[carrier])

    def _addresses(self, value: Absent | Local) -> str:
        return f" or its address {value.interface.address_text}" if isinstance(value, Local) else ""

    def _unused(self, owner: Object | None, member: Object, uuid: str, used: Sequence[Vip]) -> Iterator[Line]:
        """A member that means this pod, where it is not used."""
        listeners = examine(self.view, owner).services if owner else ()
        usable = [one for service in listeners for one in service.backends if one.subject[1] == member.uuid]
        name = f"member {member.name}" + (f" of service {owner.name}" if owner else "")
        if not usable:
            yield line(1, False, f"{name} is not used")
        elif not any(self._owner_of(vip) == (owner.uuid if owner else None) for vip in used):
            yield line(1, False, f"{name} is usable, but gets nothing")
            yield from self._said(2, owner, owner) if owner else ()
        yield from self._said(2 if not usable else 1, member, owner, about="" if usable else f"member {member.name}: ")

    def _meant(self, found: Object) -> Iterator[tuple[Object | None, Object]]:
        """(loadbalancer, member) of the members that mean this interface, used or not: those who read it."""
        addresses = {
            holding.properties.get("instance_ip_address")
            for uuid in self.view.referrers(found.uuid, "instance-ip") if (holding := self._cache.get(uuid))
        }  # fmt: skip
        trees = {uuid for _, uuid in (*self._compiler.readers(("interface", found.uuid)),
                                      *self._compiler.readers(found.uuid))}  # fmt: skip
        seen: set[str] = set()
        for tree in sorted(trees):
            for pool_uuid in self._pools(tree):
                pool = self._cache.get(pool_uuid)
                for uuid in self.view.children(pool_uuid, "loadbalancer-member") if pool else ():
                    member = self._cache.get(uuid)
                    if pool is None or member is None or uuid in seen:
                        continue
                    means = target(self.view, pool, member)
                    properties = member.properties.get("loadbalancer_member_properties") or {}
                    if means == found.uuid or (isinstance(means, Unusable) and properties.get("address") in addresses):
                        seen.add(uuid)
                        yield next(self._owners(member), None), member

    def _pools(self, tree: str) -> Iterator[str]:
        """Of a loadbalancer, listener or pool."""
        found = self._cache.get(tree)
        if found is None:
            return
        if found.type == "loadbalancer-pool":
            yield tree
        elif found.type == "loadbalancer-listener":
            yield from self.view.referrers(tree, "loadbalancer-pool")
        elif found.type == "loadbalancer":
            for listener in self.view.referrers(tree, "loadbalancer-listener"):
                yield from self.view.referrers(listener, "loadbalancer-pool")

    # --- what stands

    def _standing(self, depth: int, vip: Vip) -> Iterator[Line]:
        where, trouble = f"VIP {vip.address} in VRF {vip.vrf}", self._trouble(vip.key)
        group = self.evidence.group(vip)
        if trouble:
            yield line(depth, False, f"{where} is not as it should be: {trouble}")
        elif group is None:
            yield line(depth, False, f"{where} was made, but it is not there")
        elif group.nexthop is None and not vip.backends:
            yield line(depth, False, f"{where}: every connection is refused at once, for no member is usable")
        elif group.nexthop is None:
            yield line(depth, False, f"{where} was made, but no route leads to a group of its members")
        else:
            ways = count(len(group.members), "way")
            yield line(
                depth, True, f"{where}: route {host_prefix(vip.address)} leads to nexthop {group.nexthop}, {ways}"
            )

    def _trouble(self, key: Key) -> str:
        """Why a unit does not stand; empty if it does."""
        status = self._reconciler.status.get(key)
        if key not in self._compiler.desired:
            return self._lost(key)
        if status is None or status.state == "pending":
            return "not yet tried"
        return status.text if status.state == "error" else ""

    def _lost(self, key: Key) -> str:
        """Why a unit that was compiled is not wanted: somebody else has its address."""
        nodes: list[Any] = [(str(key[0]), str(key[1]))]  # an interface's; a VIP's is said of its service
        reasons = self._compiler.reasons_of(nodes, self._compiler.places(nodes))
        return next((reason.text for reason in reasons if reason.subject[1] == key[1]), "its address is another's")

    def _in_group(self, depth: int, vip: Vip, listener: tuple[str, int], uuid: str) -> Line:
        group = self.evidence.group(vip, listener)
        share = next((one for one in group.members if one.interface == uuid), None) if group else None
        where = f"VIP {vip.address}, VRF {vip.vrf}" + (
            f", {listener[0]} port {listener[1]}" if len(vip.listeners) > 1 else ""
        )
        if group is None or share is None:
            carrier = self.evidence.carriers.get(uuid, True)
            trouble = self._trouble(("interface", uuid)) or ("" if carrier else _LINK[carrier])
            why = f": {trouble}" if trouble else ""
            return line(depth, False, f"it is in no ECMP group of {where}{why}")
        total = sum(one.weight for one in group.members)
        text = f"nexthop {share.id} is in the ECMP group of {where}: weight {share.weight} of {total}"
        return line(depth, True, text)

    # --- the graph

    def _vips(self, found: Object) -> list[Vip]:
        """Of a loadbalancer or floating-ip, those it has got."""
        rule = "loadbalancer" if found.type == "loadbalancer" else "floating-ip"
        result = self._compiler.result((rule, found.uuid))  # type: ignore[arg-type]  # both are rules
        units = [one for one in result.units if isinstance(one, Vip)] if result else []
        return [one for one in units if self._compiler.desired.get(one.key) == one]

    def _used_by(self, uuid: str) -> Iterator[Vip]:
        for key in sorted(self._reconciler.vips_of(uuid), key=str):
            unit = self._compiler.desired.get(key)
            if isinstance(unit, Vip) and uuid in unit.backends:
                yield unit

    def _owner_of(self, vip: Vip) -> str | None:
        owner = self._compiler.owner(vip.key)
        return owner[1] if owner else None

    def _ancestors(self, found: Object) -> Iterator[Object]:
        """The object, then what it belongs to, up to loadbalancers."""
        above = {"loadbalancer-pool": "loadbalancer-listener", "loadbalancer-listener": "loadbalancer"}
        yield found
        uuids = [found.parent] if found.type == "loadbalancer-member" else found.targets(above.get(found.type, ""))
        for uuid in uuids:
            one = self._cache.get(uuid) if uuid else None
            if one is not None:
                yield from self._ancestors(one)

    def _owners(self, found: Object) -> Iterator[Object]:
        return (one for one in self._ancestors(found) if one.type == "loadbalancer")

    # --- reasons

    def _said(self, depth: int, found: Object, owner: Object | None = None, *, about: str = "") -> Iterator[Line]:
        """The object's reasons, without the beginning that the line above has said already. owner: the loadbalancer
        whose compilation has them; else the object's own has."""
        for reason in sorted(set(self._reasons(found, owner))):
            if reason.subject[1] == found.uuid:
                yield line(depth, False, reason.text.removeprefix(about), reason.code)

    def _reasons(self, found: Object, owner: Object | None) -> Iterator[Reason]:
        for one in {one.uuid: one for one in (owner, *self._ancestors(found)) if one is not None}.values():
            rule = _RULES.get(one.type)
            if rule is not None:
                nodes = [(rule, one.uuid)]
                yield from self._compiler.reasons_of(nodes, self._compiler.places(nodes))


_RULES: dict[str, Any] = {
    "loadbalancer": "loadbalancer",
    "loadbalancer-listener": "listener",
    "loadbalancer-pool": "pool",
    INTERFACE: "interface",
    "floating-ip": "floating-ip",
}
_LINK = {
    False: "its link has no carrier, for the pod's end of it is down; the kernel leads nothing there",
    None: "its link is gone; the agent makes it again when it looks",
}
