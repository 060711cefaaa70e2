"""The object graph as the native driver sees it: what is usable, who names whom. Reads only.

A member is usable if it has a port and neither it nor its pool, listener or loadbalancer has `admin_state` false. It
names its interface by the annotation `vmi`, else by its address among the interfaces of its own project; if that is
none or several it is linked to none.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any

from api_server.loadbalancer import keys
from api_server.store.objects import Object, Origin, Reference
from api_server.store.transaction import Transaction

PROVIDER = "native"
"""The only value of `loadbalancer_provider` the driver serves. None means that nobody chose a driver (Contrail's
svc-monitor finds none for it either); `opencontrail` is the haproxy driver's."""

MARK = "loadbalancer"
"""The annotation by which the driver knows a floating-ip as its own; its value is the loadbalancer's uuid."""

INTERFACE = "virtual-machine-interface"
INTERFACES = "virtual_machine_interface_refs"

Service = tuple[str, int]
"""(TCP or UDP, port) of a listener."""


@dataclass(slots=True)
class Wanted:
    """A loadbalancer's floating-ips as they should be: one below each of these instance-ips, alike but for the
    address. interfaces: by uuid."""

    instance_ips: list[Object]
    interfaces: dict[str, Reference] = field(default_factory=dict)
    ports: dict[Service, int] = field(default_factory=dict)


def is_native(loadbalancer: Object) -> bool:
    return loadbalancer.properties.get("loadbalancer_provider") == PROVIDER


def is_own(floating_ip: Object) -> bool:
    """Did the driver make it?"""
    return floating_ip.parent_type == "instance-ip" and keys.annotation(floating_ip, MARK) is not None


def target_port(member: Object | None) -> int | None:
    """Where a usable member listens. None: it takes no traffic, whatever its pool says."""
    return _port(member) if member is not None and is_up(member) else None


def service(listener: Object) -> Service | None:
    """None: no traffic can be for it."""
    number = _port(listener)
    if number is None or not is_up(listener):
        return None
    return ("UDP" if settings(listener).get("protocol") == "UDP" else "TCP"), number


def member_keys(member: Object) -> Iterator[str]:
    """By which a member is found when what it names comes, goes or changes, and its port among its pool's."""
    named, address, number = keys.annotation(member, "vmi"), settings(member).get("address"), target_port(member)
    if named:
        yield keys.interface(named)
    elif address:
        yield keys.address(_project(member), address)
    if number is not None:
        yield keys.port(member.parent_uuid or "", number)


def instance_ip_keys(instance_ip: Object) -> Iterator[str]:
    address = instance_ip.properties.get("instance_ip_address")
    if address:
        for interface in instance_ip.references.get(INTERFACES, ()):
            yield keys.address(interface.fq_name[:-1], address)


def floating_ip_keys(floating_ip: Object) -> Iterator[str]:
    if is_own(floating_ip):
        yield keys.loadbalancer(keys.annotation(floating_ip, MARK) or "")


def vips(tx: Transaction, loadbalancer: Object) -> list[Object]:
    """The instance-ip of its interface that has its `vip_address`; without one, or none such, the first by uuid. Then
    the first of the other family, if there is one."""
    asked = keys.canonical(settings(loadbalancer).get("vip_address"))
    found = {
        instance_ip.uuid: instance_ip
        for interface in loadbalancer.targets(INTERFACE)
        for instance_ip in tx.referrers(interface, "instance-ip")
        if instance_ip.properties.get("instance_ip_address")
    }
    ordered = [found[uuid] for uuid in sorted(found)]
    exact = [each for each in ordered if keys.canonical(each.properties["instance_ip_address"]) == asked]
    chosen: dict[int, Object] = {}
    for each in exact + ordered:
        chosen.setdefault(ip_address(each.properties["instance_ip_address"]).version, each)
    return list(chosen.values())


def link(tx: Transaction, members: Collection[Object]) -> dict[str, Reference]:
    """uuid of a member -> the interface it names, if that is exactly one."""
    named = {member.uuid: uuid for member in members if (uuid := keys.annotation(member, "vmi"))}
    standing = {
        each.uuid: Reference(each.type, each.uuid, each.fq_name, None, Origin.DERIVED)
        for each in (tx.get_many(sorted(set(named.values()))) if named else ())
        if each.type == INTERFACE
    }
    result = {}
    for member in members:
        if member.uuid in named:
            found = [standing[named[member.uuid]]] if named[member.uuid] in standing else []
        else:
            found = list(_with_address(tx, _project(member), settings(member).get("address")).values())
        if len(found) == 1:
            result[member.uuid] = found[0]
    return result


def served(tx: Transaction, pool: Object | None) -> Iterator[tuple[Object, Service]]:
    """The loadbalancers a pool is of, with the listeners' services, as far as all of them are up and native."""
    if pool is None or not is_up(pool):
        return
    for listener in tx.get_many(pool.targets("loadbalancer-listener")):
        offered = service(listener)
        if offered is not None:
            for loadbalancer in tx.get_many(listener.targets("loadbalancer")):
                if is_native(loadbalancer) and is_up(loadbalancer):
                    yield loadbalancer, offered


def wanted(tx: Transaction, loadbalancer: Object) -> Wanted | None:
    """None: no floating-ip. It has no VIP, or below each VIP's instance-ip a client made one itself, to its own
    liking."""
    if not is_native(loadbalancer):
        return None
    result = Wanted([
        instance_ip
        for instance_ip in vips(tx, loadbalancer)
        if all(is_own(each) for each in tx.children(instance_ip.uuid, "floating-ip"))
    ])  # fmt: skip
    if not result.instance_ips:
        return None
    usable: dict[str, Object] = {}
    for listener in tx.referrers(loadbalancer.uuid, "loadbalancer-listener") if is_up(loadbalancer) else ():
        offered = service(listener)
        for pool in tx.referrers(listener.uuid, "loadbalancer-pool") if offered is not None else ():
            for member in tx.children(pool.uuid, "loadbalancer-member") if is_up(pool) else ():
                number = target_port(member)
                if offered is not None and number is not None:
                    usable[member.uuid] = member
                    result.ports[offered] = min(number, result.ports.get(offered, number))
    result.interfaces = {reference.uuid: reference for reference in link(tx, list(usable.values())).values()}
    return result


def candidates(tx: Transaction, member: Object | None) -> set[str]:
    """The interfaces a member may name, one or several."""
    if member is None:
        return set()
    named = keys.annotation(member, "vmi")
    return {named} if named else set(_with_address(tx, _project(member), settings(member).get("address")))


def user(tx: Transaction, loadbalancer: Object, interface: str) -> Reference | None:
    """A reference to the interface if a usable member of the loadbalancer names it."""
    names = [keys.interface(interface)]
    for instance_ip in tx.referrers(interface, "instance-ip"):
        names += instance_ip_keys(instance_ip)
    found = {uuid for name in names for uuid in tx.by_key(name, "loadbalancer-member")}
    members = [member for member in tx.get_many(sorted(found)) if target_port(member) is not None]
    links = link(tx, members)
    for member in members:
        reference = links.get(member.uuid)
        if reference is not None and reference.uuid == interface:
            pool = tx.get(member.parent_uuid or "")
            if any(each.uuid == loadbalancer.uuid for each, _ in served(tx, pool)):
                return reference
    return None


def settings(object: Object) -> dict[str, Any]:
    """The one property that holds what a load balancing object says: `loadbalancer_pool_properties` and so on."""
    return object.properties.get(f"{object.type.replace('-', '_')}_properties") or {}


def is_up(object: Object) -> bool:
    return settings(object).get("admin_state") is not False


def _port(object: Object) -> int | None:
    number = settings(object).get("protocol_port")
    return number if isinstance(number, int) and 0 < number < 65536 else None


def _project(member: Object) -> tuple[str, ...]:
    """fq_name of the project a member's pool stands below."""
    return member.fq_name[:-2]


def _with_address(tx: Transaction, project: tuple[str, ...], address: object) -> dict[str, Reference]:
    """The interfaces of a project that have an address, by uuid."""
    found = tx.get_many(tx.by_key(keys.address(project, address), "instance-ip")) if address else []
    return {
        reference.uuid: Reference(reference.type, reference.uuid, reference.fq_name, None, Origin.DERIVED)
        for instance_ip in found
        for reference in instance_ip.references.get(INTERFACES, ())
        if reference.fq_name[:-1] == project
    }
