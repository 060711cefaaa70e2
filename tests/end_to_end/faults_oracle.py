"""What the objects ask for, worked out the plain way from one reading of everything: no cache, no order of arrival.

Not the compiler's rules read again: a model of what a person expects of services, networks and pods.
"""

from dataclasses import dataclass, field
from typing import Any

from faults_history import NETWORKS

from api_client import ApiClient

Service = tuple[str, int]
"""(protocol, port) of a listener."""


@dataclass(frozen=True)
class Target:
    """The pod of a member, where it listens, and its weight."""

    pod: str
    address: str
    port: int
    weight: int


@dataclass
class Expected:
    """vrfs: network -> index. pods: network -> pod -> address. vips: network -> VIP -> service -> who answers."""

    vrfs: dict[str, int] = field(default_factory=dict)
    pods: dict[str, dict[str, str]] = field(default_factory=dict)
    vips: dict[str, dict[str, dict[Service, set[Target]]]] = field(default_factory=dict)

    def groups(self, network: str) -> dict[str, frozenset[tuple[str, int]]]:
        """VIP -> (address, weight) of everyone who answers for any of its services, where there is someone."""
        found = {}
        for vip, services in self.vips[network].items():
            weights: dict[str, int] = {}
            for target in set().union(*services.values()):
                weights[target.address] = max(target.weight, weights.get(target.address, 0))
            if weights:
                found[vip] = frozenset(weights.items())
        return found

    def shown(self, network: str) -> set[str]:
        """Addresses of other networks that the VRF of this one knows: of members, for its clients, and of clients, for
        its members. No policy joins the networks of pods with each other."""
        own = set(self.pods[network].values())
        members = {one: {address for group in self.groups(one).values() for address, _ in group} for one in self.pods}
        clients = [self.pods[other].values() for other in self.pods if other != network and members[other] & own]
        return members[network] - own | {address for some in clients for address in some}

    def parts(self, network: str) -> list[frozenset[tuple[str, int]]]:
        """The members of each service of the VIPs that have several, where there are any."""
        return [
            frozenset((target.address, target.weight) for target in targets)
            for services in self.vips[network].values()
            if len(services) > 1
            for targets in services.values()
            if targets
        ]


async def expected(api: ApiClient, node: str) -> Expected:
    """On that node."""
    objects = {kind: await api.list(kind, detail=True) for kind in (
        "virtual-router", "virtual-machine", "virtual-machine-interface", "virtual-network", "instance-ip",
        "network-policy", "loadbalancer", "loadbalancer-listener", "loadbalancer-pool", "loadbalancer-member",
    )}  # fmt: skip
    result = Expected()
    here = {ref["uuid"] for one in objects["virtual-router"] if one["fq_name"][-1] == node
            for ref in one.get("virtual_machine_refs", ())}  # fmt: skip
    networks = {one["uuid"]: one for one in objects["virtual-network"]}
    addresses = {refs(one, "virtual_machine_interface")[0]: one["instance_ip_address"]
                 for one in objects["instance-ip"] if refs(one, "virtual_machine_interface")}  # fmt: skip
    pods: dict[str, tuple[str, str, str]] = {}  # interface -> network, pod, address
    for one in objects["virtual-machine-interface"]:
        machines = refs(one, "virtual_machine")
        if machines and machines[0] in here and one["uuid"] in addresses:
            network = networks[refs(one, "virtual_network")[0]]["name"]
            pod = one["virtual_machine_refs"][0]["to"][-1]
            pods[one["uuid"]] = (network, pod, addresses[one["uuid"]])
            result.pods.setdefault(network, {})[pod] = addresses[one["uuid"]]
    for network in result.pods:
        result.vips[network] = {}
    for one in networks.values():
        if one["name"] in result.pods:
            result.vrfs[one["name"]] = one["virtual_network_network_id"]
    (policy,) = objects["network-policy"]
    rules = (policy.get("network_policy_entries") or {}).get("policy_rule") or ()
    joined = {rule["src_addresses"][0]["virtual_network"].rpartition(":")[2] for rule in rules}
    for balancer in objects["loadbalancer"]:
        vip = next((addresses[uuid] for uuid in refs(balancer, "virtual_machine_interface") if uuid in addresses), None)
        services = _services(objects, balancer, pods)
        for network in joined & result.pods.keys():
            if vip is not None and services:
                result.vips[network][vip] = {service: set(targets) for service, targets in services.items()}
    assert result.pods.keys() <= NETWORKS.keys()
    return result


def _services(
    objects: dict[str, list[dict[str, Any]]], balancer: dict[str, Any], pods: dict[str, tuple[str, str, str]]
) -> dict[Service, list[Target]]:
    """(protocol, port) -> who answers, in any network; of listeners that are alike the one with the first uuid."""
    found: dict[Service, list[Target]] = {}
    for listener in sorted(objects["loadbalancer-listener"], key=lambda one: str(one["uuid"])):
        if balancer["uuid"] not in refs(listener, "loadbalancer"):
            continue
        properties = listener["loadbalancer_listener_properties"]
        service = (properties["protocol"].lower(), properties["protocol_port"])
        if service in found:
            continue
        found[service] = []
        for pool in objects["loadbalancer-pool"]:
            if listener["uuid"] not in refs(pool, "loadbalancer_listener"):
                continue
            if not all(_is_up(one, kind) for one, kind in ((balancer, "loadbalancer"), (pool, "loadbalancer_pool"),
                                                           (listener, "loadbalancer_listener"))):  # fmt: skip
                continue
            members = [one for one in objects["loadbalancer-member"] if one["parent_uuid"] == pool["uuid"]]
            found[service] = _targets(sorted(members, key=lambda one: str(one["uuid"])), pods)
    return found


def _targets(members: list[dict[str, Any]], pods: dict[str, tuple[str, str, str]]) -> list[Target]:
    """Of members that are the same pod, the one with the first uuid."""
    found: dict[str, Target] = {}
    for member in members:
        properties = member["loadbalancer_member_properties"]
        pairs = (member.get("annotations") or {}).get("key_value_pair") or ()
        named = next((pair["value"] for pair in pairs if pair["key"] == "vmi"), None)
        by_address = (uuid for uuid, (_, _, address) in pods.items() if address == properties.get("address"))
        interface = named or next(by_address, None)
        if interface in pods and interface not in found and _is_up(member, "loadbalancer_member"):
            _, pod, address = pods[interface]
            weight = properties.get("weight", 1)
            if weight:
                found[interface] = Target(pod, address, properties["protocol_port"], weight)
    return list(found.values())


def _is_up(one: dict[str, Any], kind: str) -> bool:
    return (one.get(f"{kind}_properties") or {}).get("admin_state") is not False


def refs(one: dict[str, Any], kind: str) -> list[str]:
    return [ref["uuid"] for ref in one.get(f"{kind}_refs", ())]
