"""What the walks stand on: objects, results and evidence, and the sentences about them that all walks use."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from vrouter.backends.protocol import host_prefix
from vrouter.cache import Cache
from vrouter.compiler import Compiler
from vrouter.compiler.view import View
from vrouter.draining import Drain
from vrouter.objects import Object
from vrouter.reconciler import Reconciler
from vrouter.state import Key, Reason, Remote, Vip, base_of
from vrouter.subjects import INTERFACE
from vrouter.why.evidence import Evidence
from vrouter.why.lines import Line, count, line

LINK = {
    False: "its link has no carrier, for the pod's end of it is down; the kernel leads nothing there",
    None: "its link is gone; the agent makes it again when it looks",
}

_RULES: dict[str, Any] = {
    "loadbalancer": "loadbalancer",
    "loadbalancer-listener": "listener",
    "loadbalancer-pool": "pool",
    INTERFACE: "interface",
    "floating-ip": "floating-ip",
}


class Ground:
    """evidence: to be filled before anything is said."""

    def __init__(self, cache: Cache, compiler: Compiler, reconciler: Reconciler, drains: Mapping[str, Drain]) -> None:
        self.cache = cache
        self.compiler = compiler
        self.view = View(compiler)
        self.evidence = Evidence()
        self._drains = drains
        self._reconciler = reconciler

    def draining(self, depth: int, member: Object) -> Iterator[Line]:
        """How far a member of weight 0 is."""
        if (drain := self._drains.get(member.uuid)) is not None:
            since = datetime.fromtimestamp(drain.since / 1000, UTC)
            minutes, seconds = divmod(int((datetime.now(UTC) - since).total_seconds()), 60)
            text = f"draining since {since:%Y-%m-%d %H:%M:%SZ}, {minutes} min {seconds} s"
            left = "" if drain.connections is None else f": {count(drain.connections, 'connection')} still open"
            yield line(depth, None, text + left)

    # --- what stands

    def standing(self, depth: int, vip: Vip) -> Iterator[Line]:
        where, trouble = f"VIP {vip.address} in VRF {vip.vrf}", self.trouble(vip.key)
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

    def trouble(self, key: Key) -> str:
        """Why a unit does not stand; empty if it does."""
        status = self._reconciler.status.get(key)
        if key not in self.compiler.desired:
            return self._lost(key)
        if status is None or status.state == "pending":
            return "not yet tried"
        return status.text if status.state == "error" else ""

    def _lost(self, key: Key) -> str:
        """Why a unit that was compiled is not wanted: somebody else has its address."""
        nodes: list[Any] = [(str(key[0]), str(key[1]))]  # an interface's; a VIP's is said of its service
        reasons = self.compiler.reasons_of(nodes, self.compiler.places(nodes))
        return next((reason.text for reason in reasons if reason.subject[1] == key[1]), "its address is another's")

    def limit(self, depth: int, vip: Vip, listener: tuple[str, int]) -> Iterator[Line]:
        """How many connections of those that it may have, if there is a limit."""
        places = self.evidence.places.get((vip.key, *listener))
        if places is not None:
            full = places.taken >= places.limit
            text = f"connection_limit: {places.taken} of {count(places.limit, 'connection')} in VRF {vip.vrf}"
            text += ", every other one is refused" if full else ""
            text += f"; {count(places.refused, 'packet')} refused so far" if places.refused else ""
            yield line(depth, not full, f"{text} (VIP {vip.address})", "connection-limit" if full else None)

    def passed(self, depth: int, vip: Vip, listener: tuple[str, int], uuid: str) -> Line:
        """What a member has got."""
        stat = self.evidence.stats.get((vip.key, *listener, uuid))
        if stat is None or not stat.packets:
            return line(depth, None, "nothing has come to it so far")
        there, back = count(stat.packets, "packet"), stat.reverse_packets
        return line(depth, None, f"{count(stat.connections, 'connection')} so far: {there} there, {back} back")

    def in_group(self, depth: int, vip: Vip, listener: tuple[str, int], uuid: str) -> Line:
        group = self.evidence.group(vip, listener)
        share = next((one for one in group.members if one.interface == uuid), None) if group else None
        where = f"VIP {vip.address}, VRF {vip.vrf}" + (
            f", {listener[0]} port {listener[1]}" if len(vip.listeners) > 1 else ""
        )
        if group is None or share is None:
            base = base_of(self.compiler.desired, vip.vrf, uuid)
            carrier = isinstance(base, Remote) or self.evidence.carriers.get(uuid, True)
            trouble = self.trouble(base.key if base else ("interface", uuid)) or ("" if carrier else LINK[carrier])
            why = f": {trouble}" if trouble else ""
            return line(depth, False, f"it is in no ECMP group of {where}{why}")
        total = sum(one.weight for one in group.members)
        text = f"nexthop {share.id} is in the ECMP group of {where}: weight {share.weight} of {total}"
        return line(depth, True, text)

    # --- the graph

    def vips(self, found: Object) -> list[Vip]:
        """Of a loadbalancer or floating-ip, those it has got."""
        rule = "loadbalancer" if found.type == "loadbalancer" else "floating-ip"
        result = self.compiler.result((rule, found.uuid))  # type: ignore[arg-type]  # both are rules
        units = [one for one in result.units if isinstance(one, Vip)] if result else []
        return [one for one in units if self.compiler.desired.get(one.key) == one]

    def used_by(self, uuid: str) -> Iterator[Vip]:
        for key in sorted(self._reconciler.vips_of(uuid), key=str):
            unit = self.compiler.desired.get(key)
            if isinstance(unit, Vip) and uuid in unit.backends:
                yield unit

    def owner_of(self, vip: Vip) -> str | None:
        owner = self.compiler.owner(vip.key)
        return owner[1] if owner else None

    def ancestors(self, found: Object) -> Iterator[Object]:
        """The object, then what it belongs to, up to loadbalancers."""
        above = {"loadbalancer-pool": "loadbalancer-listener", "loadbalancer-listener": "loadbalancer"}
        yield found
        uuids = [found.parent] if found.type == "loadbalancer-member" else found.targets(above.get(found.type, ""))
        for uuid in uuids:
            one = self.cache.get(uuid) if uuid else None
            if one is not None:
                yield from self.ancestors(one)

    def owners(self, found: Object) -> Iterator[Object]:
        return (one for one in self.ancestors(found) if one.type == "loadbalancer")

    # --- reasons

    def said(self, depth: int, found: Object, owner: Object | None = None, *, about: str = "") -> Iterator[Line]:
        """The object's reasons, without the beginning that the line above has said already. owner: the loadbalancer
        whose compilation has them; else the object's own has."""
        for reason in sorted(set(self._reasons(found, owner))):
            if reason.subject[1] == found.uuid:
                yield line(depth, False, reason.text.removeprefix(about), reason.code)

    def _reasons(self, found: Object, owner: Object | None) -> Iterator[Reason]:
        for one in {one.uuid: one for one in (owner, *self.ancestors(found)) if one is not None}.values():
            rule = _RULES.get(one.type)
            if rule is not None:
                nodes = [(rule, one.uuid)]
                yield from self.compiler.reasons_of(nodes, self.compiler.places(nodes))
