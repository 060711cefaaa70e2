"""A pod: what leads to its interface, and why nothing does."""

from collections.abc import Iterator, Sequence

from vrouter.compiler.members import target
from vrouter.compiler.services import examine
from vrouter.compiler.view import Absent, Located, Unusable
from vrouter.objects import Object
from vrouter.state import Remote, Vip
from vrouter.why import outside
from vrouter.why.ground import LINK, Ground
from vrouter.why.lines import Line, line


def interface(ground: Ground, found: Object) -> Iterator[Line]:
    value = ground.view.interface(found.uuid)
    if isinstance(value, Absent):
        yield line(0, False, f"interface {found.name} {value.text}", value.code)
    else:
        yield from _pod(ground, found, value)
    if not ground.view.referrers(found.uuid, "loadbalancer"):
        yield from outside.addresses(ground, [found.uuid])
    used = list(ground.used_by(found.uuid))
    for vip in used:
        yield line(1, True, f"it answers for {vip.name}, VIP {vip.address} in VRF {vip.vrf}")
        if ground.trouble(vip.key):
            yield from ground.standing(2, vip)
            continue
        for listener in vip.listeners:
            if found.uuid in listener.backends:
                place = (listener.protocol, listener.port)
                yield ground.in_group(2, vip, place, found.uuid)
                yield ground.passed(2, vip, place, found.uuid)
    meant = list(_meant(ground, found))
    for owner, member in meant:
        yield from _unused(ground, owner, member, found.uuid, used)
    if used or ground.view.referrers(found.uuid, "loadbalancer"):
        return
    nobody = "" if meant else ": no member names it" + _addresses(ground, value)
    yield line(1, None, f"it answers for no VIP{nobody}")


def _pod(ground: Ground, found: Object, value: Located) -> Iterator[Line]:
    unit = value.interface
    if isinstance(unit, Remote):
        yield from _remote(ground, found, value, unit)
        return
    trouble = ground.trouble(unit.key)
    carrier = ground.evidence.carriers.get(found.uuid, True)
    stands = "does not stand" if trouble else "stands"
    plugged = f", device {unit.device} of a port" if unit.device else ""
    where = f"{unit.address_text} in VRF {value.vrf.name}, workload {unit.workload}{plugged}"
    yield line(0, not trouble and bool(carrier), f"interface {found.name} {stands}; {where}")
    yield from ground.said(1, found)
    if trouble:
        yield line(1, False, trouble)
    elif not carrier:
        yield line(1, False, LINK[carrier])


def _remote(ground: Ground, found: Object, value: Located, unit: Remote) -> Iterator[Line]:
    text = f"interface {found.name} is on node {value.node}; {unit.address_text} in VRF {value.vrf.name}"
    if not ground.view.has_local(value.network):
        yield line(0, None, f"{text}, which has no interface here")
        yield from ground.said(1, found)
        return
    trouble = ground.trouble(unit.key)
    yield line(0, not trouble, f"{text}, reached by {unit.via}")
    yield from ground.said(1, found)
    if trouble:
        yield line(1, False, trouble)


def _addresses(ground: Ground, value: Absent | Located) -> str:
    return f" or its address {value.interface.address_text}" if isinstance(value, Located) else ""


def _unused(ground: Ground, owner: Object | None, member: Object, uuid: str, used: Sequence[Vip]) -> Iterator[Line]:
    """A member that means this pod, where it is not used."""
    listeners = examine(ground.view, owner).services if owner else ()
    usable = [one for service in listeners for one in service.backends if one.subject[1] == member.uuid]
    name = f"member {member.name}" + (f" of service {owner.name}" if owner else "")
    if not usable:
        yield line(1, False, f"{name} is not used")
    elif not any(ground.owner_of(vip) == (owner.uuid if owner else None) for vip in used):
        yield line(1, False, f"{name} is usable, but gets nothing")
        yield from ground.said(2, owner, owner) if owner else ()
    yield from ground.said(2 if not usable else 1, member, owner, about="" if usable else f"member {member.name}: ")


def _meant(ground: Ground, found: Object) -> Iterator[tuple[Object | None, Object]]:
    """(loadbalancer, member) of the members that mean this interface, used or not: those who read it."""
    addresses = {
        holding.get("instance_ip_address")
        for uuid in ground.view.referrers(found.uuid, "instance-ip") if (holding := ground.cache.get(uuid))
    }  # fmt: skip
    trees = {uuid for _, uuid in (*ground.compiler.readers(("interface", found.uuid)),
                                  *ground.compiler.readers(found.uuid))}  # fmt: skip
    seen: set[str] = set()
    for tree in sorted(trees):
        for pool_uuid in _pools(ground, tree):
            pool = ground.cache.get(pool_uuid)
            for member in ground.view.children(pool_uuid, "loadbalancer-member") if pool else ():
                if pool is None or member.uuid in seen:
                    continue
                means = target(ground.view, pool, member)
                properties = member.get("loadbalancer_member_properties") or {}
                if means == found.uuid or (isinstance(means, Unusable) and properties.get("address") in addresses):
                    seen.add(member.uuid)
                    yield next(ground.owners(member), None), member


def _pools(ground: Ground, tree: str) -> Iterator[str]:
    """Of a loadbalancer, listener or pool."""
    found = ground.cache.get(tree)
    if found is None:
        return
    if found.type == "loadbalancer-pool":
        yield tree
    elif found.type == "loadbalancer-listener":
        yield from ground.view.referrers(tree, "loadbalancer-pool")
    elif found.type == "loadbalancer":
        for listener in ground.view.referrers(tree, "loadbalancer-listener"):
            yield from ground.view.referrers(listener, "loadbalancer-pool")
