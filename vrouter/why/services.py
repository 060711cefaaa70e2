"""A service and its parts: which of it is used, and why the rest is not."""

from collections.abc import Iterator, Sequence

from vrouter.compiler.services import Examined, Service, examine
from vrouter.objects import Object
from vrouter.state import Remote, Vip, addresses_of, socket_address
from vrouter.why import outside
from vrouter.why.ground import Ground
from vrouter.why.lines import Line, count, line


def service(ground: Ground, found: Object, only: str | None = None) -> Iterator[Line]:
    """only: uuid of the one listener, pool or member to tell of."""
    examined = examine(ground.view, found)
    vips = ground.vips(found)
    where = "".join(f", VIP {place.address}" for place in examined.places)
    answered = any(one.backends for one in examined.services)
    yield line(0, answered and bool(vips) if examined.places else None, f"service {found.name}{where}")
    yield from ground.said(1, found)
    for vip in vips:
        yield from ground.standing(1, vip)
    if only is None:
        yield from outside.addresses(ground, found.targets("virtual-machine-interface"), found)
    for uuid in ground.view.referrers(found.uuid, "loadbalancer-listener"):
        listener = ground.cache.get(uuid)
        if listener is not None and only in (None, uuid, *_below(ground, uuid)):
            yield from _listener(ground, 1, found, listener, examined, vips, only)


def _below(ground: Ground, listener: str) -> Iterator[str]:
    for pool in ground.view.referrers(listener, "loadbalancer-pool"):
        yield pool
        yield from (member.uuid for member in ground.view.children(pool, "loadbalancer-member"))


def _listener(
    ground: Ground,
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
    yield from ground.said(depth + 1, listener, owner)
    if service:
        for vip in vips:
            yield from ground.limit(depth + 1, vip, (service.protocol, service.port))
    for uuid in ground.view.referrers(listener.uuid, "loadbalancer-pool"):
        pool = ground.cache.get(uuid)
        if pool is None:
            continue
        yield from ground.said(depth + 1, pool, owner)
        members = ground.view.children(uuid, "loadbalancer-member")
        if not members:
            yield line(depth + 1, False, f"pool {pool.name} has no member")
        for member in members:
            if only in (None, uuid, listener.uuid, member.uuid):
                yield from _member(ground, depth + 1, owner, member, service, vips)


def _member(
    ground: Ground, depth: int, owner: Object, member: Object, service: Service | None, vips: Sequence[Vip]
) -> Iterator[Line]:
    backends = service.backends if service else ()
    usable = next((one for one in backends if one.subject[1] == member.uuid), None)
    if usable is None or service is None:
        yield line(depth, False, f"member {member.name} is not used")
        yield from ground.said(depth + 1, member, owner, about=f"member {member.name}: ")
        yield from ground.draining(depth + 1, member)
        return
    interface = usable.located.interface
    families = {vip.address.version for vip in vips}
    addresses = [one for one in addresses_of(interface) if one.version in families]
    sockets = " and ".join(socket_address(address, usable.port) for address in addresses or [interface.address])
    node = f" of node {usable.located.node}, {interface.via}" if isinstance(interface, Remote) else ""
    text = f"{sockets}, weight {usable.weight}, interface {interface.name}{node}"
    yield line(depth, bool(vips), f"member {member.name} is {'used' if vips else 'usable'}: {text}")
    yield from ground.said(depth + 1, member, owner, about=f"member {member.name}: ")
    if not vips:
        yield line(depth + 1, False, "it gets nothing, for the VIP does not stand")
    trouble = ground.trouble(interface.key)
    if trouble:
        yield line(depth + 1, False, f"its interface does not stand: {trouble}")
        return
    for vip in vips:
        if interface.address_of(vip.address.version) is not None:
            place = (service.protocol, service.port)
            yield ground.in_group(depth + 1, vip, place, interface.uuid)
            yield ground.passed(depth + 1, vip, place, interface.uuid)


def part(ground: Ground, found: Object) -> Iterator[Line]:
    """A listener, pool or member: its service, narrowed to it."""
    owners = list(ground.owners(found))
    for owner in owners:
        yield from service(ground, owner, only=found.uuid)
    if not owners:
        kind = found.type.removeprefix("loadbalancer-")
        yield line(0, False, f"{kind} {found.name} belongs to no loadbalancer, so nothing leads to it")
        for one in ground.ancestors(found):
            if one.type != "loadbalancer-member":
                yield from ground.said(1, one)
