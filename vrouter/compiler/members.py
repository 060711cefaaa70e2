"""Which back-ends answer for a listener, and why the others do not.

A member names its interface by annotation `vmi` (kube-manager's way), else by an address among the interfaces of its
own project (Neutron's way), as the native driver does on the server's side. Every member that is not used has a reason.
"""

from collections.abc import Container, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from vrouter.addresses import parse
from vrouter.compiler.monitors import monitors
from vrouter.compiler.numerals import integer
from vrouter.compiler.view import Absent, Located, Unusable, View
from vrouter.objects import Object
from vrouter.state import Check, Family, Monitor, Reason, addresses_of

Linked = Mapping[Family, frozenset[str]]  # family of a VIP -> uuids of the interfaces that may answer for it

_NOTHING: Mapping[str, Any] = {}

GREATEST_WEIGHT = 256  # of a member of a nexthop group, on every kernel since 5.3


class Backend(NamedTuple):
    """A usable member, or one that a floating-ip's port mapping makes. owner: of which it is."""

    owner: Object
    located: Located
    port: int
    weight: int

    @property
    def subject(self) -> tuple[str, str]:
        return self.owner.type, self.owner.uuid

    @property
    def label(self) -> str:
        """How its reasons begin."""
        return f"{self.owner.type.removeprefix('loadbalancer-')} {self.owner.name}"


def canonical(address: Any) -> str | None:
    """An address as instance-ips have it (`fd00::1`, not `FD00:0::1`); what is none, as it is."""
    try:
        return str(parse(address))
    except ValueError:
        return str(address) if address else None


def port_of(value: Any, what: str) -> int:
    port = integer(value)
    if port is None:
        raise Unusable("no-port", f"has no {what}")
    if not 1 <= port <= 65535:
        raise Unusable("no-port", f"has the {what} {port}, which is not in 1..65535")
    return port


def backends(
    view: View, pools: Sequence[Object], linked: Linked, blocked: str | None, reasons: list[Reason], *, asked: bool
) -> Iterator[Backend]:
    """The usable members of `pools`. blocked: why none may answer for the VIP, a clause. asked: whether this node has
    clients for it: then members of other nodes are probed from here, too."""
    answering = frozenset(uuid for uuids in linked.values() for uuid in uuids)
    taken: dict[str, Object] = {}  # interface -> the member that uses it
    for pool in pools:
        down = blocked
        if down is None and not is_up(pool, "loadbalancer_pool_properties"):
            down = f"admin_state of pool {pool.name} is down"
        probes = monitors(view, pool, reasons)
        for member in view.children(pool.uuid, "loadbalancer-member"):
            try:
                backend = _backend(view, pool, member, answering, down, reasons)
                interface = backend.located.interface
                other = taken.setdefault(interface.uuid, member)
                if other is not member:
                    raise Unusable("duplicate", f"is the same back-end as member {other.name}: "
                                   f"interface {interface.name}")  # fmt: skip
                if probes and (asked or backend.located.here):
                    _require_health(view, member, backend, linked, probes)
                yield backend
            except Unusable as unusable:
                text = f"member {member.name}: {unusable.text}"
                reasons.append(Reason((member.type, member.uuid), unusable.code, text))


def is_up(found: Object, properties: str) -> bool:
    """admin_state; absent means up, as in Contrail."""
    return (found.get(properties) or {}).get("admin_state") is not False


def _backend(
    view: View, pool: Object, member: Object, linked: Container[str], down: str | None, reasons: list[Reason]
) -> Backend:
    properties = member.get("loadbalancer_member_properties") or _NOTHING
    # read first, whatever is said in the end: who asks about the pod finds this member, used or not (`vrouter/why`)
    uuid = target(view, pool, member)
    found = Absent(uuid.code, uuid.text) if isinstance(uuid, Unusable) else view.interface(uuid)
    if down is not None:
        raise Unusable("admin-down" if "admin_state" in down else "blocked", down)
    if properties.get("admin_state") is False:
        raise Unusable("admin-down", "admin_state is down")
    weight = _weight(properties.get("weight"))
    port = port_of(properties.get("protocol_port"), "protocol_port")
    if isinstance(uuid, Unusable):
        raise uuid
    if isinstance(found, Absent):
        raise Unusable(found.code, f"interface {view.name(uuid)} {found.text}")
    if uuid not in linked:
        raise Unusable("not-linked", f"interface {view.name(uuid)} is referenced by no floating-ip of the VIP")
    if weight > GREATEST_WEIGHT:
        text = f"member {member.name}: weight {weight} counts as {GREATEST_WEIGHT}, the most that a nexthop can have"
        reasons.append(Reason((member.type, member.uuid), "weight-limited", text))
        weight = GREATEST_WEIGHT
    return Backend(member, found, port, weight)


def _require_health(view: View, member: Object, backend: Backend, linked: Linked, probes: tuple[Monitor, ...]) -> None:
    """It is probed at the address that it names, if clients come to that, else at the first to which they do."""
    interface = backend.located.interface
    named = canonical((member.get("loadbalancer_member_properties") or {}).get("address"))
    addresses = [one for one in addresses_of(interface) if interface.uuid in linked.get(one.version, ())]
    if not addresses:
        return  # it answers for none of the VIPs
    address = next((one for one in addresses if str(one) == named), addresses[0])
    health = view.health(Check(member.uuid, interface.uuid, interface.vrf, address, backend.port, probes))
    if health.state == "waiting":
        so_far = f": {health.text}" if health.text else ""
        raise Unusable("checking", f"waits for its first good answer to {health.monitor}{so_far}")
    if health.state == "down":
        raise Unusable("unhealthy", f"fails {health.monitor}: {health.text}")


def _weight(value: Any) -> int:
    weight = 1 if value is None else integer(value)
    if weight == 0:
        raise Unusable("weight-zero", "weight is 0: it takes no new connections")
    if weight is None or weight < 0:
        raise Unusable("weight-wrong", f"weight {value!r} is not a number from 0 on")
    return weight


def target(view: View, pool: Object, member: Object) -> str | Unusable:
    """uuid of the interface that a member means, or why it means none."""
    if named := member.annotation("vmi"):
        return named
    try:
        return _interface_at(view, pool, member)
    except Unusable as unusable:
        return unusable


def _interface_at(view: View, pool: Object, member: Object) -> str:
    """That with its address."""
    address = (member.get("loadbalancer_member_properties") or _NOTHING).get("address")
    if not address:
        raise Unusable("no-interface", "names neither an interface (annotation vmi) nor an address")
    candidates = sorted({
        uuid
        for holding in view.holders(canonical(address) or "")
        for uuid in _targets(view, holding)
        if (interface := view.get(uuid)) is not None and interface.parent == pool.parent
    })  # fmt: skip
    project = pool.fq_name[-2] if len(pool.fq_name) > 1 else pool.parent
    if not candidates:
        raise Unusable("no-interface", f"address {address} belongs to no interface of project {project}")
    if len(candidates) > 1:
        names = ", ".join(view.name(uuid) for uuid in candidates)
        raise Unusable("several-interfaces", f"address {address} belongs to several interfaces of project {project}: "
                       f"{names}")  # fmt: skip
    return candidates[0]


def whereabouts(view: View, pool: Object, member: Object) -> tuple[Literal["here", "elsewhere", "nowhere"], str | None]:
    """Whether this node hosts a member's interface, another one does, or none; and the interface's uuid."""
    uuid = target(view, pool, member)
    if isinstance(uuid, Unusable):
        return "nowhere", None
    found = view.interface(uuid)
    if isinstance(found, Absent):
        return found.where, uuid
    return ("here" if found.here else "elsewhere"), uuid


def _targets(view: View, holding: str) -> list[str]:
    found = view.get(holding)
    return found.targets("virtual-machine-interface") if found else []
