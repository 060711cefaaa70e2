"""A virtual-network's VRF and subnets, and which networks its policies join it to."""

from collections.abc import Iterator, Mapping
from ipaddress import ip_address, ip_network
from typing import Any

from vrouter.compiler.numerals import integer
from vrouter.compiler.routers import own_address
from vrouter.compiler.view import Network, Peer, Result, Subnet, View
from vrouter.objects import Object
from vrouter.state import Address, Reason, Vrf, Vtep

VNIS = range(1, 1 << 24)


def compile_network(view: View, uuid: str) -> Result:
    found = view.get(uuid)
    if found is None:
        return Result()
    index = found.get("virtual_network_network_id")
    # the default routing-instance is named as its network, twice
    vrf = None
    if isinstance(index, int):
        vrf = Vrf(index, ":".join((*found.fq_name, found.name)), _vtep(view, found, index))
    policies = tuple(uuid for _, uuid in sorted(_sequence(found)))
    external = found.get("router_external") is True
    return Result(Network(uuid, ":".join(found.fq_name), vrf, tuple(_subnets(view, found)), policies, external))


def compile_peers(view: View, uuid: str) -> Result:
    """The networks that exchange routes with this one, because policies let one of the two open connections to the
    other.

    They share a policy, and the policies of both say so: of each network's, in their sequence, the first rule that
    matches decides. A rule of some protocols, ports or subnets only would need more than routes: none joins, and none
    that denies is passed over; both are told.
    """
    here = view.network(uuid)
    if here is None:
        return Result()
    others = {other for policy in here.policies for other in view.referrers(policy, "virtual-network")} - {uuid}
    peers: list[Peer] = []
    reasons: list[Reason] = []
    for other in sorted(others):
        there = view.network(other)
        if there is not None:
            inward, outward = _opens(view, there, here, reasons), _opens(view, here, there, [])
            if inward or outward:
                peers.append(Peer(other, inward, outward))
    return Result(tuple(peers), reasons=tuple(dict.fromkeys(reasons)))


def _sequence(network: Object) -> set[tuple[tuple[int, int], str]]:
    """(its place, uuid) of each policy."""
    found = set()
    for reference in network.references("network-policy"):
        place = (reference.attr or {}).get("sequence") or {}
        found.add(((integer(place.get("major")) or 0, integer(place.get("minor")) or 0), reference.uuid))
    return found


def _vtep(view: View, network: Object, index: int) -> Vtep | None:
    """Its VNI is its own number, unless it names another: then nodes of other makes know it by that."""
    named = (network.get("virtual_network_properties") or {}).get("vxlan_network_identifier")
    vni, address = integer(named) or index, own_address(view)
    return Vtep(address, vni) if address is not None and vni in VNIS else None


def _subnets(view: View, network: Object) -> Iterator[Subnet]:
    for reference in network.references("network-ipam"):
        for entry in (reference.attr or {}).get("ipam_subnets") or ():
            if entry.get("subnet"):
                yield from _subnet(entry, entry.get("subnet_uuid"))
                continue
            # a flat ipam keeps its subnets itself; the network's one entry has the uuid that instance-ips name
            ipam = view.get(reference.uuid)
            flat = (ipam.get("ipam_subnets") or {}).get("subnets") if ipam else ()
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


def _opens(view: View, client: Network, server: Network, reasons: list[Reason]) -> bool:
    """Whether the policies of both let connections be opened from the one to the other."""
    lets = [_lets(view, holder, client, server, reasons) for holder in (client, server)]  # both, for their reasons
    return all(lets)


def _lets(view: View, holder: Network, client: Network, server: Network, reasons: list[Reason]) -> bool:
    narrow: list[Reason] = []
    for policy in holder.policies:
        found = view.get(policy)
        if found is None:
            break  # not in sight yet: it may deny
        for number, (rule, action) in enumerate(_rules(found), 1):
            if not _matches(view, rule, client, server):
                continue
            only = _narrowness(rule)
            if only is None:
                if action != "pass":
                    reasons += narrow
                return action == "pass"
            text = (
                f"network-policy {view.name(policy)}: rule {number} is about {only} only, which is not modelled: "
                f"{'it joins nothing' if action == 'pass' else 'all is denied'} from {client.name} to {server.name}"
            )
            narrow.append(Reason(("network-policy", policy), "policy-narrow", text))
            if action != "pass":
                break
        else:
            continue
        break
    reasons += narrow
    return False


def _rules(policy: Object) -> Iterator[tuple[Mapping[str, Any], str]]:
    """Those that pass or deny, and which of it they do."""
    entries = policy.get("network_policy_entries") or {}
    for rule in entries.get("policy_rule") or ():
        action = (rule.get("action_list") or {}).get("simple_action")
        if action in ("pass", "deny"):
            yield rule, action


def _matches(view: View, rule: Mapping[str, Any], client: Network, server: Network) -> bool:
    if _side(view, rule, "src_addresses", client) and _side(view, rule, "dst_addresses", server):
        return True
    both_ways = rule.get("direction") == "<>"
    return both_ways and _side(view, rule, "src_addresses", server) and _side(view, rule, "dst_addresses", client)


def _narrowness(rule: Mapping[str, Any]) -> str | None:
    """What a rule is about that a route knows nothing of."""
    protocol = rule.get("protocol")
    if protocol not in (None, "any"):
        return f"protocol {protocol}"
    for side in ("src", "dst"):
        for ports in rule.get(f"{side}_ports") or ():
            first, last = ports.get("start_port"), ports.get("end_port")
            if first not in (None, -1, 0) or last not in (None, -1, 65535):
                return f"{side}_ports {first}-{last}"
        if any(address.get("subnet") or address.get("subnet_list") for address in rule.get(f"{side}_addresses") or ()):
            return f"a subnet of its {side}_addresses"
    if (rule.get("action_list") or {}).get("apply_service"):
        return "what passes a service instance"
    return None


def _side(view: View, rule: Mapping[str, Any], side: str, network: Network) -> bool:
    return any(_means(view, address, network) for address in rule.get(side) or ())


def _means(view: View, address: Mapping[str, Any], network: Network) -> bool:
    named = address.get("virtual_network")
    if named is not None:
        # `local` is whichever network the policy is attached to; here it is attached to both
        return named in ("any", "local", network.name)
    named = address.get("network_policy")
    if named is None:
        return bool(address.get("subnet") or address.get("subnet_list"))
    return any(_policy_name(view, policy) == named for policy in network.policies)


def _policy_name(view: View, uuid: str) -> str | None:
    policy = view.get(uuid)
    return ":".join(policy.fq_name) if policy else None
