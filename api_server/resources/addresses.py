"""instance-ip, floating-ip, floating-ip-pool, alias-ip: objects that hold an address (contract 5.4, 5.5).

An address is taken when the object is created and released by the store when it goes. Where Contrail answers a bad
request with a 500 (not an address, a pool exhausted) or allows it (one gateway address for many, a floating-ip's
address changed without allocation) this server refuses or allocates (contract 8.2).
"""

from collections.abc import Iterable

from api_server.errors import BadRequest, Conflict
from api_server.loadbalancer.keys import canonical
from api_server.resources.allocation import (
    Choice,
    Exhausted,
    Source,
    Taken,
    Wanted,
    asked_address,
    choose,
    flat_sources,
    held,
    ipam_entries,
    is_gateway,
    is_unmanaged,
    kept,
    network_sources,
    suitable,
    take,
)  # fmt: skip
from api_server.resources.hooks import Held, Hook
from api_server.resources.subnets import network_of, parse
from api_server.store.objects import Change, Object, Reference, Update
from api_server.store.transaction import Transaction
from api_server.store.view import View

SOURCES = ("virtual-network", "virtual-router", "network-ipam")
"""What an instance-ip refers to for its address. It keeps the address without any of them, but no longer holds it."""


class InstanceIp(Hook):
    """Allocates `instance_ip_address`: of a network, or for a virtual-router from the allocation pools set aside for
    it, or of a flat ipam alone."""

    def prepare(self, tx: Transaction, before: Object | None, after: Object) -> None:
        if before is None:
            self._allocate(tx, after)
            return
        networks = before.references.get("virtual_network_refs", [])
        if networks and is_unmanaged(networks[0].fq_name):
            return
        if not _same(before, after, "instance_ip_address"):
            raise BadRequest("Instance IP Address can not be changed")
        moved = before.targets("virtual-network") != after.targets("virtual-network")
        if moved or not any(map(after.targets, SOURCES)):
            tx.release_all(after.uuid)
            for name in ("subnet_uuid", "instance_ip_subnet"):
                after.properties.pop(name, None)
            if after.targets("virtual-network"):
                self._allocate(tx, after)
        elif before.targets("virtual-machine-interface") != after.targets("virtual-machine-interface"):
            for reference in networks:
                self._check_gateway(tx, reference.uuid, after)

    def further(self, tx: Transaction, before: Object | None, after: Object | None) -> Iterable[Change]:
        """A subnet of a subnetting ipam belongs to the subscriber of its first address, until its last one goes."""
        if before is not None and before.properties.get("instance_ip_subscriber_tag"):
            yield from self._tag(tx, before, None)
        if after is not None and (tag := after.properties.get("instance_ip_subscriber_tag")):
            yield from self._tag(tx, after, tag)

    @staticmethod
    def _tag(tx: Transaction, held: Object, tag: str | None) -> Iterable[Change]:
        """tag: None takes it away, if no address of the subnet is taken."""
        address = parse(held.properties.get("instance_ip_address"))
        networks = tx.get_many(held.targets("virtual-network"))
        uuids = [*held.targets("network-ipam"), *(uuid for one in networks for uuid in one.targets("network-ipam"))]
        for source in (source for ipam in tx.get_many(uuids) for source in flat_sources(ipam) if source.subnetting):
            subnet = source.subnet.network
            if address not in subnet or source.tag == tag or (tag is None and any(map(tx.taken, source.pools))):
                continue
            after = source.owner.copy()
            after.properties["ipam_subnets"] = {
                "subnets": [
                    entry | {"subscriber_tag": tag} if network_of(entry) == subnet else entry
                    for entry in ipam_entries(source.owner)
                ]
            }
            yield Update(source.owner, after)

    def holds(self, tx: View, object: Object) -> Iterable[Held]:
        found, whose = self._sources(tx, object)
        if whose and not kept(tx, object.uuid, found):
            yield from held(found, object.properties.get("instance_ip_address"), whose)

    def reserves(self, tx: View, object: Object) -> Iterable[str]:
        """An address of a flat ipam that its network has given up stays its own until it goes."""
        return kept(tx, object.uuid, self._sources(tx, object)[0])

    @staticmethod
    def _sources(tx: View, object: Object) -> tuple[list[Source], str]:
        """What may give it its address, and whose that is, for a person; "": nobody's."""
        networks = tx.get_many(object.targets("virtual-network"))
        if networks and is_unmanaged(networks[0].fq_name):
            return [], ""
        ipams = object.targets("network-ipam")
        for router in tx.get_many(object.targets("virtual-router")):
            ipams += router.targets("network-ipam")
        own = [source for network in networks for some in network_sources(tx, network) for source in some]
        found = own or [source for ipam in tx.get_many(ipams) for source in flat_sources(ipam)]
        return found, ", ".join(f"{one.type} {':'.join(one.fq_name)}" for one in networks or tx.get_many(ipams))

    def _allocate(self, tx: Transaction, after: Object) -> None:
        properties, references = after.properties, after.references
        address = properties.get("instance_ip_address")
        networks, routers, ipams = (
            references.get(f"{kind}_refs", []) for kind in ("virtual_network", "virtual_router", "network_ipam")
        )
        if routers and ipams:
            raise BadRequest("virtual_router_refs and ipam_refs are not allowed")
        if routers and networks:
            raise BadRequest("router_refs and network_refs are not allowed")
        if not networks and address and (routers or ipams):
            raise BadRequest("allocation for requested IP from a network_ipam is not supported")
        if len(networks) > 1:
            raise BadRequest("Instance IP can have one virtual network only")
        if networks and is_unmanaged(networks[0].fq_name):
            return
        if networks:
            taken = self._of_network(tx, after, networks[0].uuid)
        elif routers:
            taken = self._of_router(tx, after, [router.uuid for router in routers])
        else:
            taken = self._of_ipam(tx, after, [ipam.uuid for ipam in ipams])
        properties["instance_ip_address"] = taken.address
        if taken.source.uuid is not None:
            properties["subnet_uuid"] = taken.source.uuid
        if taken.source.flat and taken.source.subnetting:
            network = taken.source.subnet.network
            properties["instance_ip_subnet"] = {
                "ip_prefix": str(network.network_address), "ip_prefix_len": network.prefixlen,
            }  # fmt: skip

    def _of_network(self, tx: Transaction, after: Object, uuid: str) -> Taken:
        properties = after.properties
        network = tx.get(uuid)
        assert network is not None
        address = asked_address(properties.get("instance_ip_address"))
        if address is not None:
            self._check_gateway(tx, uuid, after)
        subnet = properties.get("subnet_uuid")
        choice = choose(tx, network, Wanted(
            address, [subnet] if subnet else [], properties.get("instance_ip_family"),
            properties.get("instance_ip_subscriber_tag"),
        ))  # fmt: skip
        return take(tx, choice, after.uuid, address)

    @staticmethod
    def _of_router(tx: Transaction, after: Object, uuids: list[str]) -> Taken:
        """From the allocation pools that are set aside for one virtual-router in flat ipams."""
        if len(uuids) > 1:
            raise BadRequest("Instance IP cannot refer to multiple vrouters")
        if after.properties.get("subnet_uuid"):
            raise BadRequest("subnet uuid based allocation not supported with vrouter")
        router = tx.get(uuids[0])
        assert router is not None
        wanted = Wanted(family=after.properties.get("instance_ip_family"))
        for reference in router.references.get("network_ipam_refs", ()):
            ends = [(parse(pool.get("start")), parse(pool.get("end")))
                    for pool in (reference.attr or {}).get("allocation_pools") or ()]  # fmt: skip
            mine = {(int(first), int(last)) for first, last in ends if first is not None and last is not None}
            for source in suitable([source for ipam in tx.get_many([reference.uuid]) for source in flat_sources(ipam)],
                                   wanted):  # fmt: skip
                from_start = source.subnet.from_start
                pools = sorted((pool for pool in source.for_routers if pool in mine), reverse=not from_start)
                for name, ranges in (source.for_routers[pool] for pool in pools):
                    number = tx.take(name, ranges, after.uuid, highest=not from_start)
                    if number is not None:
                        return Taken(str(source.subnet.address(number)), source)
        raise Exhausted(f"Virtual-Router({list(router.fq_name)}) has exhausted its allocation pools")

    @staticmethod
    def _of_ipam(tx: Transaction, after: Object, uuids: list[str]) -> Taken:
        if len(uuids) != 1:
            raise BadRequest(
                "virtual_network_refs, virtual_router_refs or one network_ipam_refs needed for instance-ip"
            )
        (ipam,) = tx.get_many(uuids)
        properties = after.properties
        wanted = Wanted(
            family=properties.get("instance_ip_family"), tag=properties.get("instance_ip_subscriber_tag")
        )  # fmt: skip
        exhausted = Exhausted(f"Network-Ipam({list(ipam.fq_name)}) has exhausted subnet([])")
        return take(tx, Choice(suitable(flat_sources(ipam), wanted), exhausted), after.uuid)

    @staticmethod
    def _check_gateway(tx: Transaction, network_uuid: str, after: Object) -> None:
        """A machine must not take over its network's gateway."""
        interfaces = after.targets("virtual-machine-interface")
        address = parse(after.properties.get("instance_ip_address"))
        network = tx.get(network_uuid)
        if network is None or not interfaces or not is_gateway(tx, network, address):
            return
        if any(interface.targets("virtual-machine") for interface in tx.get_many(interfaces)):
            raise BadRequest("Gateway IP cannot be used by VM port")


class PooledIp(Hook):
    """floating-ip and alias-ip: the address comes from the network above the pool they stand below.

    A floating-ip below an instance-ip shares that one's address: nothing is taken.
    """

    def __init__(self, ident: str) -> None:
        """ident: `floating_ip` or `alias_ip`."""
        self.pool = f"{ident.replace('_', '-')}-pool"
        self.address = f"{ident}_address"
        self.family = f"{ident}_address_family"
        self.subnets = f"{ident}_pool_subnets"

    def prepare(self, tx: Transaction, before: Object | None, after: Object) -> None:
        if after.parent_type != self.pool:
            return
        if before is None:
            self._allocate(tx, after)
            self._add_project(tx, after)
        elif not _same(before, after, self.address):
            tx.release_all(after.uuid)
            self._allocate(tx, after)

    def holds(self, tx: View, object: Object) -> Iterable[Held]:
        found, whose = self._sources(tx, object)
        if whose and not kept(tx, object.uuid, found):
            yield from held(found, object.properties.get(self.address), whose)

    def reserves(self, tx: View, object: Object) -> Iterable[str]:
        """As with an instance-ip."""
        return kept(tx, object.uuid, self._sources(tx, object)[0])

    def _sources(self, tx: View, object: Object) -> tuple[list[Source], str]:
        pool = tx.get(object.parent_uuid or "") if object.parent_type == self.pool else None
        network = tx.get(pool.parent_uuid or "") if pool is not None else None
        if network is None:
            return [], ""
        own, flat = network_sources(tx, network)
        return [*own, *flat], f"virtual-network {':'.join(network.fq_name)}"

    def _allocate(self, tx: Transaction, after: Object) -> None:
        pool = tx.get(after.parent_uuid or "")
        network = tx.get(pool.parent_uuid or "") if pool is not None else None
        assert pool is not None
        assert network is not None
        address = asked_address(after.properties.get(self.address))
        subnets = (pool.properties.get(self.subnets) or {}).get("subnet_uuid") or ()
        choice = choose(tx, network, Wanted(address, subnets, after.properties.get(self.family)))
        if address is None and not after.properties.get(self.family):
            choice = _preferred(choice)
        if address is not None and any(source.subnet.gateway == address for source in choice.sources):
            raise Conflict("IP address already in use")  # a gateway is an instance-ip
        after.properties[self.address] = take(tx, choice, after.uuid, address).address

    @staticmethod
    def _add_project(tx: Transaction, after: Object) -> None:
        name = after.fq_name[:2]
        project = tx.find("project", name)
        if project is not None and not after.references.get("project_refs"):
            after.references["project_refs"] = [Reference("project", project, name)]


def _same(before: Object, after: Object, name: str) -> bool:
    """Whether an address is still that address, or none is asked for; if so, it stays as the server writes it."""
    was, now = before.properties.get(name), after.properties.get(name)
    same = not now or canonical(was) == canonical(now)
    if same and was is not None:
        after.properties[name] = was
    return same


def _preferred(choice: Choice) -> Choice:
    """IPv4 if there is any: who names no family means that (and gets nothing else when it is exhausted)."""
    fours = [source for source in choice.sources if source.subnet.version == 4]
    return choice._replace(sources=fours or choice.sources)


class FloatingIpPool(Hook):
    """The subnets a pool is limited to are its network's."""

    def prepare(self, tx: Transaction, before: Object | None, after: Object) -> None:
        wanted = (after.properties.get("floating_ip_pool_subnets") or {}).get("subnet_uuid") or ()
        if not wanted:
            return
        network = tx.get(after.parent_uuid or "")
        assert network is not None
        own, flat = network_sources(tx, network)
        known = {source.uuid for source in [*own, *flat]}
        for uuid in wanted:
            if uuid not in known:
                raise BadRequest(f"Subnet {uuid} was not found in virtual-network {network.uuid}")
