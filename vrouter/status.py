"""What this node says of load balancers, listeners, pools and members: a state, why, and since when.

Made from what the compiler found, what the reconciler could make and what health checks say; only services that
something has touched are looked at again. A node speaks of a member that it hosts, and of one that nobody hosts if the
service is here; of a service that has its VIP in a VRF of this node, or a member here. It says what it finds of an
object itself: what follows from members for pools is joined by the server (docs/design/status.md).
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from vrouter.cache import Cache
from vrouter.compiler import Compiler
from vrouter.compiler.members import is_up, whereabouts
from vrouter.compiler.services import Examined, examine
from vrouter.compiler.view import Located, View
from vrouter.objects import Object
from vrouter.reconciler import Reconciler
from vrouter.state import Key, Vip

State = Literal["ONLINE", "OFFLINE", "DRAINING", "ERROR", "NO_MONITOR"]
Provisioning = Literal["ACTIVE", "PENDING_UPDATE", "ERROR"]

LONGEST_REASON = 500  # characters


@dataclass(frozen=True, slots=True)
class Status:
    """since: milliseconds since 1970 when `state` became so. revision: applied here when this was said; a later one is
    said when the object itself has changed."""

    state: str
    provisioning: str
    reason: str
    since: int
    revision: int


@dataclass(frozen=True, slots=True)
class _Found:
    state: State
    reason: str = ""
    provisioning: Provisioning = "ACTIVE"


class Statuses:
    """rows: what this node says now, by uuid."""

    def __init__(
        self, cache: Cache, compiler: Compiler, reconciler: Reconciler, clock: Callable[[], float] = time.time
    ) -> None:
        self.rows: dict[str, Status] = {}
        self._cache = cache
        self._compiler = compiler
        self._reconciler = reconciler
        self._clock = clock
        self._earlier: Mapping[str, Status] = {}  # what was said in an earlier life
        self._seen: dict[str, Object] = {}  # uuid -> the object of which `rows` speaks
        self._touched: set[str] = set()  # load balancers
        self._changed: set[str] = set()
        self._parts: dict[str, set[str]] = {}  # load balancer -> uuids of the rows made for it
        self._speakers: dict[str, set[str]] = {}  # the other way
        self._users: dict[str, set[str]] = {}  # interface -> load balancers whose members it is
        self._interfaces: dict[str, set[str]] = {}  # the other way

    @property
    def pending(self) -> bool:
        return bool(self._touched)

    def remember(self, rows: Mapping[str, Status]) -> None:
        """What was said before this agent began: what still is so goes on since then."""
        self._earlier = rows

    def touch(self) -> bool:
        """Note what the compiler and the reconciler have done since the last call; whether it was anything."""
        self._touched |= self._compiler.take_examined()
        for key in self._reconciler.take_moved():
            if key[0] == "interface":
                self._touched |= self._users.get(str(key[1]), set())
            elif (owner := self._compiler.owner(key)) is not None and owner[0] == "loadbalancer":
                self._touched.add(owner[1])
        return self.pending

    def update(self, revision: int, limit: int) -> None:
        """Look again at some of the services that were touched. revision: that is applied now."""
        for _ in range(min(limit, len(self._touched))):
            service = self._touched.pop()
            found = self._cache.get(service)
            said = dict(self._service(found)) if found is not None and found.type == "loadbalancer" else {}
            before = self._parts.pop(service, set())
            if said:
                self._parts[service] = set(said)
            for uuid, one in said.items():
                self._speakers.setdefault(uuid, set()).add(service)
                self._say(uuid, one, revision)
            for uuid in before - said.keys():
                self._speakers[uuid].discard(service)
                if not self._speakers[uuid]:
                    self._silence(uuid)
            if found is None:
                self._use(service, set())
        if not self._touched:
            self._touched.clear()  # an empty set keeps the room it once needed, and each `pop` looks through all of it

    def take_changed(self) -> set[str]:
        """uuids of which this node says something else since the last call, or nothing any more."""
        changed, self._changed = self._changed, set()
        return changed

    def _say(self, uuid: str, found: _Found, revision: int) -> None:
        before, known = self.rows.get(uuid) or self._earlier.get(uuid), self._cache.get(uuid)
        kept = before is not None and before.state == found.state
        since = before.since if before is not None and kept else int(self._clock() * 1000)
        if before is not None and uuid in self._seen and self._seen[uuid] is known:
            revision = before.revision
        if known is not None:
            self._seen[uuid] = known
        status = Status(found.state, found.provisioning, found.reason[:LONGEST_REASON], since, revision)
        if self.rows.get(uuid) != status:
            self.rows[uuid] = status
            self._changed.add(uuid)

    def _silence(self, uuid: str) -> None:
        del self._speakers[uuid], self.rows[uuid]
        self._seen.pop(uuid, None)
        self._changed.add(uuid)

    # --- one service

    def _service(self, found: Object) -> Iterator[tuple[str, _Found]]:
        view, result = View(self._compiler), self._compiler.result(("loadbalancer", found.uuid))
        # without a reason all is as it was asked for: most services are not walked through once more
        examined = None if result is not None and not result.reasons else examine(view, found)
        texts: dict[str, list[tuple[str, str]]] = {}
        for reason in examined.reasons if examined else ():
            texts.setdefault(reason.subject[1], []).append((reason.code, reason.text))
        members, hosted = dict(self._members(view, found, examined, texts)), set[str]()
        vips = self._vips(found.uuid)
        for where, interface, _ in members.values():
            if where == "here" and interface is not None:
                hosted.add(interface)
        self._use(found.uuid, hosted)
        if not vips and not any(where == "here" for where, _, _ in members.values()):
            return
        yield found.uuid, self._loadbalancer(found, examined, vips, texts)
        served = {one.listener for one in examined.services} if examined else None
        for listener in self._objects(view.referrers(found.uuid, "loadbalancer-listener")):
            own = _last(texts, listener.uuid)
            up = is_up(listener, "loadbalancer_listener_properties")
            serves = served is None or listener.uuid in served
            yield listener.uuid, _Found("OFFLINE" if not up else "ONLINE" if serves else "ERROR", own)
            for pool in self._objects(view.referrers(listener.uuid, "loadbalancer-pool")):
                up = is_up(pool, "loadbalancer_pool_properties")
                yield pool.uuid, _Found("ONLINE" if up else "OFFLINE", _last(texts, pool.uuid))
        yield from ((uuid, one) for uuid, (where, _, one) in members.items() if where != "elsewhere")

    def _members(
        self, view: View, found: Object, examined: Examined | None, texts: Mapping[str, list[tuple[str, str]]]
    ) -> Iterator[tuple[str, tuple[str, str | None, _Found]]]:
        services = examined.services if examined else ()
        used = {one.subject[1]: one.located.interface.key for service in services for one in service.backends}
        for listener in view.referrers(found.uuid, "loadbalancer-listener"):
            for pool in self._objects(view.referrers(listener, "loadbalancer-pool")):
                for member in view.children(pool.uuid, "loadbalancer-member"):
                    where, interface = whereabouts(view, pool, member)
                    key, reasons = used.get(member.uuid), texts.get(member.uuid, [])
                    if examined is None and interface is not None:
                        located = view.interface(interface)
                        if isinstance(located, Located):
                            key = located.interface.key
                        else:  # since a moment ago, and the compiler will say so
                            reasons = [(located.code, f"interface {view.name(interface)} {located.text}")]
                    yield member.uuid, (where, interface, self._member(member, key, reasons))

    def _member(self, member: Object, interface: Key | None, reasons: list[tuple[str, str]]) -> _Found:
        code, text = reasons[-1] if reasons else ("", "")
        text = text.removeprefix(f"member {member.name}: ")
        if interface is None:
            return _Found({"weight-zero": "DRAINING", "admin-down": "OFFLINE"}.get(code, "ERROR"), text)  # type: ignore[arg-type]  # all three are states
        status = self._reconciler.status.get(interface)
        if status is not None and status.state == "error":
            return _Found("ERROR", f"its interface does not stand: {status.text}", "ERROR")
        return _Found("ONLINE" if member.uuid in self._compiler.checks else "NO_MONITOR", text)

    def _loadbalancer(
        self, found: Object, examined: Examined | None, vips: list[Vip], texts: Mapping[str, list[tuple[str, str]]]
    ) -> _Found:
        own = _last(texts, found.uuid)
        if not is_up(found, "loadbalancer_properties"):
            return _Found("OFFLINE", own)
        if examined is not None and not examined.places:
            return _Found("ERROR", own)
        statuses = [(vip, self._reconciler.status.get(vip.key)) for vip in vips]
        for vip, status in statuses:
            if self._compiler.owner(vip.key) != ("loadbalancer", found.uuid):
                return _Found("ERROR", f"the address {vip.address} is already somebody else's in VRF {vip.vrf}")
            if status is not None and status.state == "error":
                text = f"VIP {vip.address} in VRF {vip.vrf} could not be made: {status.text}"
                return _Found("ERROR", text, "ERROR")
        waiting = any(status is None or status.state == "pending" for _, status in statuses)
        return _Found("ONLINE", own, "PENDING_UPDATE" if waiting else "ACTIVE")

    def _vips(self, uuid: str) -> list[Vip]:
        result = self._compiler.result(("loadbalancer", uuid))
        return [one for one in result.units if isinstance(one, Vip)] if result else []

    def _objects(self, uuids: Iterable[str]) -> Iterator[Object]:
        return (found for uuid in uuids if (found := self._cache.get(uuid)) is not None)

    def _use(self, service: str, interfaces: set[str]) -> None:
        before = self._interfaces.pop(service, set())
        if interfaces:
            self._interfaces[service] = interfaces
        for uuid in before - interfaces:
            self._users[uuid].discard(service)
            if not self._users[uuid]:
                del self._users[uuid]
        for uuid in interfaces - before:
            self._users.setdefault(uuid, set()).add(service)


def _last(texts: Mapping[str, list[tuple[str, str]]], uuid: str) -> str:
    found = texts.get(uuid)
    return found[-1][1] if found else ""
