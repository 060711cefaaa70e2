"""host-based-service and route-aggregate (contract 5.11). What a service-instance brings about (machines, ports) is a
svc-monitor's to do."""

from collections.abc import Iterable
from ipaddress import ip_network

from api_server.errors import BadRequest
from api_server.resources.hooks import Hook
from api_server.store.objects import Change, Create, Delete, Object, Reference, Update
from api_server.store.transaction import Transaction

IPAM = ("default-domain", "default-project", "default-network-ipam")
SIDES = {"left": "0.1.0.0", "right": "0.2.0.0"}
"""The networks between a node's vRouter and a service that runs there: prefixes (16 bits) nobody else uses."""

NETWORKS = "virtual_network_refs"


class HostBasedService(Hook):
    """Has two networks of its own, which come and go with it."""

    def prepare(self, tx: Transaction, before: Object | None, after: Object) -> None:
        kind = after.properties.setdefault("host_based_service_type", "firewall")
        if before is not None and kind != before.properties.get("host_based_service_type"):
            raise BadRequest("Cannot change the Host Based Service type")
        named = [_side(network) for network in after.references.get(NETWORKS, ())]
        for side in named:
            if side and named.count(side) > 1:
                raise BadRequest(
                    f"Virtual network type {side} cannot be referenced by more than one virtual network at a time"
                )
        stood = [_side(network) for network in before.references.get(NETWORKS, ())] if before is not None else []
        for side in SIDES:
            if before is None and side in named:
                raise BadRequest(f"default hbf-{side} Virtual network reference cannot be created")
            if side in stood and side not in named:
                raise BadRequest(f"default hbf-{side} Virtual network reference cannot be updated")

    def release(self, tx: Transaction, before: Object) -> Iterable[Change]:
        for network in before.references.get(NETWORKS, ()):
            if tx.count("referrer", network.uuid, "virtual-machine-interface"):
                raise BadRequest(f"HBS object ({list(before.fq_name)}, {before.uuid}), virtual network "
                                 f"({':'.join(network.fq_name)},{network.uuid}) got interfaces, cannot be removed"
                                 )  # fmt: skip
        return ()

    def further(self, tx: Transaction, before: Object | None, after: Object | None) -> Iterable[Change]:
        if after is None:
            assert before is not None
            sides = [network.uuid for network in before.references.get(NETWORKS, ()) if _side(network) in SIDES]
            for found in tx.get_many(sides):
                yield Delete(found)
        elif before is None:
            linked = after.copy()
            for side, prefix in SIDES.items():
                network = self._network(tx, after, side, prefix)
                yield Create(network)
                attr = {"virtual_network_type": side}
                linked.references.setdefault(NETWORKS, []).append(
                    Reference(network.type, network.uuid, network.fq_name, attr)
                )
            yield Update(after, linked)

    @staticmethod
    def _network(tx: Transaction, service: Object, side: str, prefix: str) -> Object:
        name = (*service.fq_name[:-1], f"__{service.fq_name[-1]}-hbf-{side}__")
        ipam = tx.find("network-ipam", IPAM)
        subnet = {"subnet": {"ip_prefix": prefix, "ip_prefix_len": 16}}
        references = [Reference("network-ipam", ipam, IPAM, {"ipam_subnets": [subnet]})] if ipam is not None else []
        network = Object("virtual-network", tx.new_uuid(), name, service.parent_type, service.parent_uuid)
        if references:
            network.references["network_ipam_refs"] = references
        return network


def _side(network: Reference) -> str | None:
    side: str | None = (network.attr or {}).get("virtual_network_type")
    return side


class RouteAggregate(Hook):
    """Prefixes of one family, of one service."""

    def prepare(self, tx: Transaction, before: Object | None, after: Object) -> None:
        if len(after.targets("service-instance")) > 1:
            raise BadRequest("RouteAggregate objects can refer to only one service instance")
        versions = set()
        for route in (after.properties.get("aggregate_route_entries") or {}).get("route") or ():
            try:
                versions.add(ip_network(route, strict=False).version)
            except ValueError:
                raise BadRequest(f"Invalid route: {route}") from None
        if len(versions) > 1:
            raise BadRequest("All prefixes in a route aggregate object must be of same ip family")
