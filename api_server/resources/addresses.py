"""instance-ip, floating-ip, floating-ip-pool, alias-ip: objects that hold an address (contract 5.4, 5.5).

An address is taken when the object is created and released by the store when it goes. Where Contrail answers a bad
request with a 500 (not an address, a pool exhausted) or allows it (one gateway address for many, a floating-ip's
address changed without allocation) this server refuses or allocates (contract 8.2).
"""

from api_server.errors import BadRequest
from api_server.loadbalancer.keys import canonical
from api_server.resources.allocation import flat_sources, is_unmanaged, sources, take, take_from
from api_server.resources.hooks import Hook
from api_server.resources.subnets import parse
from api_server.store.objects import Object, Reference
from api_server.store.transaction import Transaction


class InstanceIp(Hook):
    """Allocates `instance_ip_address`."""

    def prepare(self, tx: Transaction, before: Object | None, after: Object) -> None:
        if before is None:
            self._allocate(tx, after)
            return
        address = after.properties.get("instance_ip_address")
        if canonical(address) != canonical(before.properties.get("instance_ip_address")):
            raise BadRequest("Instance IP Address can not be changed")
        if before.targets("virtual-network") != after.targets("virtual-network") and after.targets("virtual-network"):
            tx.release_all(after.uuid)
            after.properties.pop("subnet_uuid", None)
            self._allocate(tx, after)

    def _allocate(self, tx: Transaction, after: Object) -> None:
        properties = after.properties
        asked, subnet = properties.get("instance_ip_address"), properties.get("subnet_uuid")
        networks = after.references.get("virtual_network_refs", [])
        if not networks:
            self._allocate_without_network(tx, after, asked)
            return
        if after.references.get("virtual_router_refs") or after.references.get("network_ipam_refs"):
            raise BadRequest("virtual_network_refs exclude virtual_router_refs and network_ipam_refs")
        if len(networks) > 1:
            raise BadRequest("Instance IP can have one virtual network only")
        if is_unmanaged(networks[0].fq_name):
            return
        network = tx.get(networks[0].uuid)
        assert network is not None
        self._check_gateway(tx, network, after, asked)
        properties["instance_ip_address"], chosen = take(
            tx, network, after.uuid, asked=asked, subnets=[subnet] if subnet else (),
            family=properties.get("instance_ip_family"),
        )  # fmt: skip
        if chosen is not None:
            properties["subnet_uuid"] = chosen

    @staticmethod
    def _allocate_without_network(tx: Transaction, after: Object, asked: object) -> None:
        ipams = after.references.get("network_ipam_refs", [])
        if len(ipams) != 1:
            raise BadRequest("virtual_network_refs or one network_ipam_refs needed for instance-ip")
        ipam = tx.get(ipams[0].uuid)
        assert ipam is not None
        address, _ = take_from(tx, flat_sources(ipam), after.uuid, asked=asked,
                               exhausted=f"Network-Ipam({list(ipam.fq_name)})")  # fmt: skip
        after.properties["instance_ip_address"] = address

    @staticmethod
    def _check_gateway(tx: Transaction, network: Object, after: Object, asked: object) -> None:
        """A machine must not take over its network's gateway."""
        interfaces = after.targets("virtual-machine-interface")
        wanted = parse(asked)
        if wanted is None or not interfaces:
            return
        if any(source.subnet.gateway == wanted for source in sources(tx, network)) and any(
            interface.targets("virtual-machine") for interface in tx.get_many(interfaces)
        ):
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
        elif canonical(before.properties.get(self.address)) != canonical(after.properties.get(self.address)):
            tx.release_all(after.uuid)
            self._allocate(tx, after)

    def _allocate(self, tx: Transaction, after: Object) -> None:
        pool = tx.get(after.parent_uuid or "")
        network = tx.get(pool.parent_uuid or "") if pool is not None else None
        assert pool is not None
        assert network is not None
        subnets = (pool.properties.get(self.subnets) or {}).get("subnet_uuid") or ()
        after.properties[self.address], _ = take(
            tx, network, after.uuid, asked=after.properties.get(self.address), subnets=subnets,
            family=after.properties.get(self.family),
        )  # fmt: skip

    @staticmethod
    def _add_project(tx: Transaction, after: Object) -> None:
        name = after.fq_name[:2]
        project = tx.find("project", name)
        if project is not None and not after.references.get("project_refs"):
            after.references["project_refs"] = [Reference("project", project, name)]


class FloatingIpPool(Hook):
    """The subnets a pool is limited to are its network's."""

    def prepare(self, tx: Transaction, before: Object | None, after: Object) -> None:
        wanted = (after.properties.get("floating_ip_pool_subnets") or {}).get("subnet_uuid") or ()
        if not wanted:
            return
        network = tx.get(after.parent_uuid or "")
        assert network is not None
        known = {source.uuid for source in sources(tx, network)}
        for uuid in wanted:
            if uuid not in known:
                raise BadRequest(f"Subnet {uuid} was not found in virtual-network {network.uuid}")
