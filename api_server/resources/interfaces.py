"""virtual-machine-interface (contract 5.6)."""

import re
from collections.abc import Iterable, Sequence

from api_server.errors import BadRequest, Conflict
from api_server.resources import bindings
from api_server.resources.allocation import is_gateway
from api_server.resources.hooks import Hook
from api_server.resources.subnets import parse
from api_server.store.objects import Change, Object, Origin, Reference
from api_server.store.transaction import Transaction

MAC = re.compile(r"[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){5}")
VLAN_TAGS = range(4095)
NO_MAC = "00:00:00:00:00:00"
"""Of a machine without hypervisor that is not plugged in yet."""

FORWARDING_RULE = {
    "direction": "both", "vlan_tag": None, "src_mac": None, "dst_mac": None, "mpls_label": None,
    "service_chain_address": None, "ipv6_service_chain_address": None, "protocol": None,
}  # fmt: skip
"""The attr of the reference to the network's routing instance: all traffic of the interface (contract 5.6)."""


def mac_of(uuid: str) -> str:
    """The MAC of an interface that was given none: `02:` and five bytes of its uuid, as Contrail picks them."""
    digits = uuid.replace("-", "")
    return ":".join(["02", digits[0:2], digits[2:4], digits[4:6], digits[6:8], uuid[9:11]])


class VirtualMachineInterface(Hook):
    """MAC, routing instance, sub-interfaces, and what does not go together; its bindings are in `bindings`."""

    def prepare(self, tx: Transaction, before: Object | None, after: Object) -> None:
        if before is None and not after.references.get("virtual_network_refs"):
            raise BadRequest("virtual_network_refs needed for virtual-machine-interface")
        self._owner(tx, before, after)
        self._sub_interface(tx, before, after)
        self._bridge_domains(after)
        self._mac(after)
        self._routing_instance(tx, before, after)
        self._port_security(after)
        self._health_checks(tx, before, after)

    def further(self, tx: Transaction, before: Object | None, after: Object | None) -> Iterable[Change]:
        if before is None or after is not None:
            return ()
        if not vlan_tag(before) and any(map(vlan_tag, tx.get_many(before.targets("virtual-machine-interface")))):
            raise Conflict("Cannot delete vmi with existing ref to sub interface")
        return ()

    @staticmethod
    def _owner(tx: Transaction, before: Object | None, after: Object) -> None:
        """A machine does not take the interface of a router, nor the address of a gateway."""
        machines = after.targets("virtual-machine")
        if before is None or not machines or machines == before.targets("virtual-machine"):
            return
        if tx.count("referrer", after.uuid, "logical-router"):
            raise BadRequest("Logical router interface cannot be used by VM")
        for held in tx.referrers(after.uuid, "instance-ip"):
            address = parse(held.properties.get("instance_ip_address"))
            networks = tx.get_many(held.targets("virtual-network"))
            if any(is_gateway(tx, network, address) for network in networks):
                raise BadRequest("Gateway IP cannot be used by VM port")

    @staticmethod
    def _mac(after: Object) -> None:
        given = (after.properties.get("virtual_machine_interface_mac_addresses") or {}).get("mac_address")
        if not given:
            bound = bindings.read(after)
            unplugged = bound.get("vnic_type") == bindings.BAREMETAL and not bindings.has_links(bound)
            given = [NO_MAC if unplugged else mac_of(after.uuid)]
        addresses = [str(address).replace("-", ":") for address in given]
        for address in addresses:
            if not MAC.fullmatch(address):
                raise BadRequest(f"Invalid MAC address: {address}")
        after.properties["virtual_machine_interface_mac_addresses"] = {"mac_address": addresses}

    @staticmethod
    def _routing_instance(tx: Transaction, before: Object | None, after: Object) -> None:
        was = before.references.get("virtual_network_refs", []) if before is not None else []
        now = after.references.get("virtual_network_refs", [])
        gone = _default_instances(tx, [each for each in was if each.uuid not in {other.uuid for other in now}])
        come = _default_instances(tx, [each for each in now if each.uuid not in {other.uuid for other in was}])
        if not gone and not come:
            return
        stand = [each for each in after.references.pop("routing_instance_refs", []) if each.uuid not in gone]
        stand += [each for uuid, each in come.items() if uuid not in {other.uuid for other in stand}]
        if stand:
            after.references["routing_instance_refs"] = stand

    @staticmethod
    def _port_security(after: Object) -> None:
        pairs = (after.properties.get("virtual_machine_interface_allowed_address_pairs") or {}).get(
            "allowed_address_pair"
        )
        for pair in pairs or ():
            address = (pair.get("ip") or {}).get("ip_prefix")
            if parse(address) is None:
                raise BadRequest(f"virtual_machine_interface_allowed_address_pairs: invalid ip_prefix {address}")
        if pairs and after.properties.get("port_security_enabled") is False:
            raise BadRequest("Allowed address pairs are not allowed when port security is disabled")

    @staticmethod
    def _sub_interface(tx: Transaction, before: Object | None, after: Object) -> None:
        """One bears a VLAN tag and refers to its primary interface, perhaps later (kube-manager refers to it after the
        create, for a pod in a virtual-machine); a change of the tag after that is beyond vRouter."""
        tag, was = vlan_tag(after), vlan_tag(before) if before is not None else 0
        others = after.targets("virtual-machine-interface")
        if tag not in VLAN_TAGS:
            raise BadRequest(f"Invalid sub-interface VLAN tag ID: {tag}")
        if before is not None:
            related = before.targets("virtual-machine-interface")
            if tag != was and related:
                raise BadRequest("Cannot change sub-interface VLAN tag ID")
            if related == others and tag == was:
                return
        for primary in tx.get_many(others) if tag else ():
            if vlan_tag(primary):
                raise BadRequest("sub interface can't have another sub interface as it's primary port")
            siblings = [uuid for uuid in primary.targets("virtual-machine-interface") if uuid != after.uuid]
            if tag in map(vlan_tag, tx.get_many(siblings)):
                raise BadRequest("Two sub interfaces under same primary port can't have same Vlan tag")

    @staticmethod
    def _bridge_domains(after: Object) -> None:
        """They are of the interface's network, one for each VLAN tag."""
        domains = after.references.get("bridge_domain_refs", [])
        networks = {reference.fq_name for reference in after.references.get("virtual_network_refs", ())}
        tags = set()
        for domain in domains:
            if not networks:
                raise BadRequest(f"Virtual network can not be removed on virtual machine interface({after.uuid}) while "
                                 "it refers a bridge domain")  # fmt: skip
            if domain.fq_name[:-1] not in networks:
                raise BadRequest(f"Virtual machine interface({after.uuid}) can only refer to bridge domain belonging "
                                 f"to virtual network({', '.join(sorted(map(':'.join, networks)))})")  # fmt: skip
            tag = (domain.attr or {}).get("vlan_tag")
            if tag in tags:
                raise BadRequest(f"Virtual machine interface({after.uuid}) already refers to bridge domain for vlan "
                                 f"tag {tag}")  # fmt: skip
            tags.add(tag)

    @staticmethod
    def _health_checks(tx: Transaction, before: Object | None, after: Object) -> None:
        """Only interfaces of services are probed from elsewhere than their own node."""
        checks = after.targets("service-health-check")
        if after.targets("port-tuple") or (before is not None and checks == before.targets("service-health-check")):
            return
        for check in tx.get_many(checks):
            kind = (check.properties.get("service_health_check_properties") or {}).get("health_check_type")
            if kind != "link-local":
                raise BadRequest(f"Virtual machine interface({after.uuid}) of non service vm can only refer link-local "
                                 "type service health check")  # fmt: skip


def vlan_tag(interface: Object) -> int:
    """0: no sub-interface."""
    return int(
        (interface.properties.get("virtual_machine_interface_properties") or {}).get("sub_interface_vlan_tag") or 0
    )


def _default_instances(tx: Transaction, networks: Sequence[Reference]) -> dict[str, Reference]:
    """uuid -> reference to the default routing instance of each network. It blocks nothing: the network itself does."""
    result = {}
    for network in networks:
        name = (*network.fq_name, network.fq_name[-1])
        uuid = tx.find("routing-instance", name)
        if uuid is not None:
            result[uuid] = Reference("routing-instance", uuid, name, dict(FORWARDING_RULE), Origin.DERIVED)
    return result
