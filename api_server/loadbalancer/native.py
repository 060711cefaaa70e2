"""The native ECMP driver: the floating-ip by which a load balancer's back-ends answer for its VIP.

What stands is a function of the graph, not of the events that led to it. For every loadbalancer of provider `native`
whose interface has an instance-ip there is one floating-ip below that instance-ip, and with dual stack one below the
first instance-ip of the other family, each with

    floating_ip_address             the instance-ip's
    virtual_machine_interface_refs  the interfaces of its usable members (`graph`)
    floating_ip_port_mappings       per listener with a usable member: protocol, its port, the members' port

A floating-ip has one target port per listener port; where members differ it is the lowest, and whoever reads the load
balancer's tree sees each member's own.

`evaluate` makes the whole of it true for one loadbalancer. The `*_changed` functions say what follows from one
change; a member's, an interface's or a member's address costs a number of look-ups that doesn't grow with the pool.
All of them give changes, each of which is done before the next is asked for. docs/design/driver.md says how the
driver lives with clients.
"""

from collections.abc import Collection, Iterable, Iterator

from api_server.loadbalancer import graph, keys
from api_server.loadbalancer.graph import INTERFACE, INTERFACES, MARK, Service, Wanted
from api_server.store.objects import Change, Create, Delete, Object, Origin, Reference, Update
from api_server.store.transaction import Transaction


def evaluate(tx: Transaction, loadbalancer: Object) -> Iterator[Change]:
    """All that a loadbalancer needs, by reading all of it."""
    standing = own(tx, loadbalancer.uuid)
    want = graph.wanted(tx, loadbalancer)
    wanted = {each.uuid: each for each in want.instance_ips} if want is not None else {}
    kept: dict[str, Object] = {}
    for floating_ip in standing:
        parent = floating_ip.parent_uuid or ""
        if parent not in wanted or kept.setdefault(parent, floating_ip) is not floating_ip:
            yield Delete(floating_ip)
    for instance_ip in want.instance_ips if want is not None else ():
        assert want is not None
        before = kept.get(instance_ip.uuid)
        if before is None:
            yield Create(_new(tx, loadbalancer, instance_ip, want))
            continue
        after = before.copy()
        after.properties["floating_ip_address"] = instance_ip.properties["instance_ip_address"]
        _relink(after, {uuid: want.interfaces.get(uuid) for uuid in {*want.interfaces, *before.targets(INTERFACE)}})
        _remap(after, want.ports)
        yield from _update(before, after)


def own(tx: Transaction, loadbalancer: str) -> list[Object]:
    """The floating-ips the driver made for it: one for each VIP, but while its interface changes."""
    return tx.get_many(tx.by_key(keys.loadbalancer(loadbalancer), "floating-ip"))


def relink(tx: Transaction, loadbalancer: Object, interfaces: Collection[str]) -> Iterator[Change]:
    """Some interfaces may have become, or ceased to be, a usable member's: look at these only."""
    standing = own(tx, loadbalancer.uuid)
    if not standing:
        yield from evaluate(tx, loadbalancer)
        return
    users = {uuid: graph.user(tx, loadbalancer, uuid) for uuid in interfaces}
    for before in standing:
        after = before.copy()
        _relink(after, users)
        yield from _update(before, after)


# --- what follows from one change (before is None: created; after is None: deleted)


def loadbalancer_changed(tx: Transaction, before: Object | None, after: Object | None) -> Iterator[Change]:
    if after is not None and (before is None or _loadbalancer_facts(before) != _loadbalancer_facts(after)):
        yield from evaluate(tx, after)


def listener_changed(tx: Transaction, before: Object | None, after: Object | None) -> Iterator[Change]:
    """A new listener has no pool. One that goes may have some whose references to it were relaxed."""
    if before is None:
        return
    was, now = before.targets("loadbalancer"), after.targets("loadbalancer") if after is not None else []
    if after is None or (set(was), graph.service(before)) != (set(now), graph.service(after)):
        for loadbalancer in tx.get_many(sorted({*was, *now})):
            yield from evaluate(tx, loadbalancer)


def pool_changed(tx: Transaction, before: Object | None, after: Object | None) -> Iterator[Change]:
    """A new pool has no members, and one that goes has none any more: only an update counts."""
    if before is None or after is None:
        return
    was, now = before.targets("loadbalancer-listener"), after.targets("loadbalancer-listener")
    if (set(was), graph.is_up(before)) != (set(now), graph.is_up(after)):
        listeners = tx.get_many(sorted({*was, *now}))
        for loadbalancer in tx.get_many(sorted({uuid for each in listeners for uuid in each.targets("loadbalancer")})):
            yield from evaluate(tx, loadbalancer)


def member_changed(tx: Transaction, before: Object | None, after: Object | None) -> Iterator[Change]:
    subject = after or before
    assert subject is not None
    if before is not None and after is not None and set(graph.member_keys(before)) == set(graph.member_keys(after)):
        return
    pool = tx.get(subject.parent_uuid or "")
    services: dict[str, set[Service]] = {}
    loadbalancers = {}
    for loadbalancer, offered in graph.served(tx, pool):
        services.setdefault(loadbalancer.uuid, set()).add(offered)
        loadbalancers[loadbalancer.uuid] = loadbalancer
    left, joined = graph.target_port(before), graph.target_port(after)
    touched = graph.candidates(tx, before) | graph.candidates(tx, after) if loadbalancers else set()
    linked = (
        graph.link(tx, [after]).get(after.uuid) if after is not None and joined is not None and loadbalancers else None
    )
    for uuid, loadbalancer in loadbalancers.items():
        standing = own(tx, uuid)
        ports = {each.uuid: _ports(each) for each in standing}
        # The lowest port may have gone with its last member: then only a look at all of them tells the next.
        lost = left is not None and left != joined and any(
            each.get(offered) == left for each in ports.values() for offered in services[uuid]
        )  # fmt: skip
        if not standing or (lost and not tx.by_key(keys.port(subject.parent_uuid or "", left or 0))):
            yield from evaluate(tx, loadbalancer)
            continue
        users = {each: graph.user(tx, loadbalancer, each) for each in touched if linked is None or each != linked.uuid}
        users |= {linked.uuid: linked} if linked is not None else {}
        for floating_ip in standing:
            changed, mapped = floating_ip.copy(), ports[floating_ip.uuid]
            _relink(changed, users)
            if joined is not None:
                _remap(changed, mapped | {each: min(joined, mapped.get(each, joined)) for each in services[uuid]})
            yield from _update(floating_ip, changed)


def instance_ip_changed(tx: Transaction, before: Object | None, after: Object | None) -> Iterator[Change]:
    """It can be a back-end's, by whose address members name it, or a VIP, or both."""
    versions = [each for each in (before, after) if each is not None]
    if len(versions) == 2 and _instance_ip_facts(versions[0]) == _instance_ip_facts(versions[1]):
        return
    interfaces = {uuid for each in versions for uuid in each.targets(INTERFACE)}
    for key in sorted({key for each in versions for key in graph.instance_ip_keys(each)}):
        members = tx.get_many(tx.by_key(key, "loadbalancer-member"))
        if members:
            holders = tx.get_many(tx.by_key(key, "instance-ip"))
            others = {uuid for holder in holders for uuid in holder.targets(INTERFACE)}
            yield from _members_relink(tx, members, interfaces | others)
    yield from _vip_changed(tx, interfaces)


def interface_changed(tx: Transaction, before: Object | None, after: Object | None) -> Iterator[Change]:
    """A member may have named it before it came. When it goes the store takes it from the floating-ip by itself."""
    if before is None and after is not None:
        members = tx.get_many(tx.by_key(keys.interface(after.uuid), "loadbalancer-member"))
        yield from _members_relink(tx, members, {after.uuid})


def floating_ip_changed(tx: Transaction, before: Object | None, after: Object | None) -> Iterator[Change]:
    """A client's own below a VIP's instance-ip takes the place of the driver's while it stands. What a client does to
    the driver's is accepted."""
    subject = after or before
    assert subject is not None
    created_or_deleted = before is None or after is None or graph.is_own(before) != graph.is_own(after)
    if subject.parent_type == "instance-ip" and not graph.is_own(subject) and created_or_deleted:
        instance_ip = tx.get(subject.parent_uuid or "")
        yield from _vip_changed(tx, instance_ip.targets(INTERFACE) if instance_ip is not None else ())


def loadbalancer_leaving(tx: Transaction, loadbalancer: Object) -> Iterator[Change]:
    """The floating-ip goes with its loadbalancer."""
    for floating_ip in own(tx, loadbalancer.uuid):
        yield Delete(floating_ip)


def instance_ip_leaving(tx: Transaction, instance_ip: Object) -> Iterator[Change]:
    """The driver's floating-ip does not block the delete of what it stands below."""
    for floating_ip in tx.children(instance_ip.uuid, "floating-ip"):
        if graph.is_own(floating_ip):
            yield Delete(floating_ip)


def stray(tx: Transaction, floating_ip: Object) -> Iterator[Change]:
    """The driver's own whose loadbalancer is gone."""
    if graph.is_own(floating_ip):
        found = tx.get(keys.annotation(floating_ip, MARK) or "")
        if found is None or found.type != "loadbalancer":
            yield Delete(floating_ip)


# --- details


def _members_relink(tx: Transaction, members: Iterable[Object], interfaces: Collection[str]) -> Iterator[Change]:
    found: dict[str, Object] = {}
    for pool in tx.get_many(sorted({member.parent_uuid or "" for member in members})):
        found |= {loadbalancer.uuid: loadbalancer for loadbalancer, _ in graph.served(tx, pool)}
    for loadbalancer in found.values():
        yield from relink(tx, loadbalancer, interfaces)


def _vip_changed(tx: Transaction, interfaces: Iterable[str]) -> Iterator[Change]:
    for interface in sorted(interfaces):
        for loadbalancer in tx.referrers(interface, "loadbalancer"):
            yield from evaluate(tx, loadbalancer)


def _loadbalancer_facts(loadbalancer: Object) -> tuple[object, ...]:
    return (graph.is_native(loadbalancer), graph.is_up(loadbalancer), graph.settings(loadbalancer).get("vip_address"),
            set(loadbalancer.targets(INTERFACE)))  # fmt: skip


def _instance_ip_facts(instance_ip: Object) -> tuple[object, ...]:
    return instance_ip.properties.get("instance_ip_address"), set(instance_ip.targets(INTERFACE))


def _new(tx: Transaction, loadbalancer: Object, instance_ip: Object, want: Wanted) -> Object:
    uuid = tx.new_uuid()
    result = Object("floating-ip", uuid, (*instance_ip.fq_name, uuid), "instance-ip", instance_ip.uuid)
    perms2 = loadbalancer.properties.get("perms2") or {}
    result.properties = {
        "floating_ip_address": instance_ip.properties["instance_ip_address"],
        "floating_ip_traffic_direction": "ingress",
        "annotations": {"key_value_pair": [{"key": MARK, "value": loadbalancer.uuid}]},
        "perms2": {"owner": perms2["owner"]} if perms2.get("owner") else {},
    }
    if loadbalancer.parent_uuid:
        project = Reference("project", loadbalancer.parent_uuid, loadbalancer.fq_name[:-1], None, Origin.DERIVED)
        result.references["project_refs"] = [project]
    _relink(result, dict(want.interfaces))
    _remap(result, want.ports)
    return result


def _relink(floating_ip: Object, interfaces: dict[str, Reference | None]) -> None:
    """Add those with a reference, remove the others; what a client has referenced itself stays."""
    kept = [
        each
        for each in floating_ip.references.pop(INTERFACES, [])
        if each.origin is not Origin.DERIVED or interfaces.get(each.uuid, each) is not None
    ]
    standing = {each.uuid for each in kept}
    added = [each for uuid, each in sorted(interfaces.items()) if each is not None and uuid not in standing]
    if kept or added:
        floating_ip.references[INTERFACES] = kept + added


def _ports(floating_ip: Object) -> dict[Service, int]:
    mappings = (floating_ip.properties.get("floating_ip_port_mappings") or {}).get("port_mappings") or ()
    return {
        (each["protocol"], each["src_port"]): each["dst_port"]
        for each in mappings
        if each.get("protocol") and each.get("src_port") and each.get("dst_port")
    }


def _remap(floating_ip: Object, ports: dict[Service, int]) -> None:
    if _ports(floating_ip) == ports and floating_ip.properties.get("floating_ip_port_mappings_enable") is bool(ports):
        return
    floating_ip.positions.pop("floating_ip_port_mappings", None)
    floating_ip.properties.pop("floating_ip_port_mappings", None)
    floating_ip.properties["floating_ip_port_mappings_enable"] = bool(ports)
    if ports:
        floating_ip.properties["floating_ip_port_mappings"] = {"port_mappings": [
            {"protocol": protocol, "src_port": source, "dst_port": target}
            for (protocol, source), target in sorted(ports.items())
        ]}  # fmt: skip


def _update(before: Object, after: Object) -> Iterator[Change]:
    if before.properties != after.properties or before.references != after.references:
        yield Update(before, after)
