"""A virtual-network's VRF and subnets, and which networks its policies join it to."""

from collections.abc import Iterator, Mapping
from ipaddress import ip_address, ip_network
from typing import Any

from vrouter.cache import Object
from vrouter.compiler.numerals import integer
from vrouter.compiler.routers import own_address
from vrouter.compiler.view import Network, Result, Subnet, View
from vrouter.state import Address, Vrf, Vtep

VNIS = range(1, 1 << 24)


def compile_network(view: View, uuid: str) -> Result:
    found = view.get(uuid)
    if found is None:
        return Result()
    index = found.properties.get("virtual_network_network_id")
    # the default routing-instance is named as its network, twice
    vrf = None
    if isinstance(index, int):
        vrf = Vrf(index, ":".join((*found.fq_name, found.name)), _vtep(view, found, index))
    policies = tuple(sorted(set(found.targets("network-policy"))))
    return Result(Network(uuid, ":".join(found.fq_name), vrf, tuple(_subnets(view, found)), policies))


def compile_reach(view: View, uuid: str) -> Result:
    """The networks from which an address of this one may be reached: itself and those a policy joins.

    A policy joins two networks when it is attached to both and has a passing rule whose sides match them. Rules of one
    protocol or port join like rules of all: what may pass is not decided by a route.
    """
    here = view.network(uuid)
    if here is None:
        return Result()
    joined: set[str] = set()
    for policy in here.policies:
        rules = list(_rules(view.get(policy)))
        for other in view.referrers(policy, "virtual-network"):
            there = view.network(other)
            if there is not None and other != uuid and any(_joins(view, rule, there, here) for rule in rules):
                joined.add(other)
    return Result((uuid, *sorted(joined)))


def _vtep(view: View, network: Object, index: int) -> Vtep | None:
    """Its VNI is its own number, unless it names another: then nodes of other makes know it by that."""
    named = (network.properties.get("virtual_network_properties") or {}).get("vxlan_network_identifier")
    vni, address = integer(named) or index, own_address(view)
    return Vtep(address, vni) if address is not None and vni in VNIS else None


def _subnets(view: View, network: Object) -> Iterator[Subnet]:
    for reference in network.references.get("network-ipam", ()):
        for entry in (reference.attr or {}).get("ipam_subnets") or ():
            if entry.get("subnet"):
                yield from _subnet(entry, entry.get("subnet_uuid"))
                continue
            # a flat ipam keeps its subnets itself; the network's one entry has the uuid that instance-ips name
            ipam = view.get(reference.uuid)
            flat = (ipam.properties.get("ipam_subnets") or {}).get("subnets") if ipam else ()
            for subnet in flat or ():
                yield from _subnet(subnet, entry.get("subnet_uuid"))


def _subnet(entry: Mapping[str, Any], uuid: str | None) -> Iterator[Subnet]:
    """None for nonsense."""
    subnet = entry.get("subnet") or {}
    try:
        network = ip_network((subnet["ip_prefix"], subnet["ip_prefix_len"]), strict=False)
    except (KeyError, TypeError, ValueError):
        return
    gateway, dns = (_served(entry, field, network.version) for field in ("default_gateway", "dns_server_address"))
    yield Subnet(uuid, network, gateway, dns)


def _served(entry: Mapping[str, Any], field: str, version: int) -> Address | None:
    """The address in that field, if it is one of the subnet's family. 0.0.0.0 and :: say: none."""
    try:
        address = ip_address(entry[field])
    except (KeyError, ValueError):
        return None
    return address if int(address) != 0 and address.version == version else None


def _rules(policy: Object | None) -> Iterator[Mapping[str, Any]]:
    entries = (policy.properties.get("network_policy_entries") or {}) if policy else {}
    for rule in entries.get("policy_rule") or ():
        if (rule.get("action_list") or {}).get("simple_action") == "pass":
            yield rule


def _joins(view: View, rule: Mapping[str, Any], client: Network, server: Network) -> bool:
    if _side(view, rule, "src_addresses", client) and _side(view, rule, "dst_addresses", server):
        return True
    both_ways = rule.get("direction") == "<>"
    return both_ways and _side(view, rule, "src_addresses", server) and _side(view, rule, "dst_addresses", client)


def _side(view: View, rule: Mapping[str, Any], side: str, network: Network) -> bool:
    return any(_matches(view, address, network) for address in rule.get(side) or ())


def _matches(view: View, address: Mapping[str, Any], network: Network) -> bool:
    named = address.get("virtual_network")
    if named is not None:
        # `local` is whichever network the policy is attached to; here it is attached to both
        return named in ("any", "local", network.name)
    named = address.get("network_policy")
    return named is not None and any(_policy_name(view, policy) == named for policy in network.policies)


def _policy_name(view: View, uuid: str) -> str | None:
    policy = view.get(uuid)
    return ":".join(policy.fq_name) if policy else None
