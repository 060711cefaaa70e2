"""virtual-machine-interface (contract 5.6)."""

import re
from collections.abc import Iterable, Sequence

from api_server.errors import BadRequest, Conflict
from api_server.resources.hooks import Hook
from api_server.store.objects import Change, Object, Origin, Reference
from api_server.store.transaction import Transaction

MAC = re.compile(r"[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){5}")
VLAN_TAGS = range(4095)

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
    """MAC, routing instance, bindings, sub-interfaces."""

    def prepare(self, tx: Transaction, before: Object | None, after: Object) -> None:
        if before is None and not after.references.get("virtual_network_refs"):
            raise BadRequest("virtual_network_refs needed for virtual-machine-interface")
        self._mac(after)
        self._routing_instance(tx, before, after)
        self._bindings(after)
        self._port_security(after)
        self._sub_interface(tx, before, after)

    def release(self, tx: Transaction, before: Object) -> Iterable[Change]:
        if not vlan_tag(before):
            subs = [each for each in tx.get_many(before.targets("virtual-machine-interface")) if vlan_tag(each)]
            if subs:
                raise Conflict(f"Delete when resource still referred: {[each.uuid for each in subs]}")
        return ()

    @staticmethod
    def _mac(after: Object) -> None:
        given = (after.properties.get("virtual_machine_interface_mac_addresses") or {}).get("mac_address")
        addresses = [str(address).replace("-", ":") for address in given or [mac_of(after.uuid)]]
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
    def _bindings(after: Object) -> None:
        bindings = after.properties.get("virtual_machine_interface_bindings") or {}
        pairs = bindings.get("key_value_pair") or []
        if pairs and not any(pair.get("key") == "vnic_type" for pair in pairs):
            pairs = sorted([*pairs, {"key": "vnic_type", "value": "normal"}], key=lambda pair: str(pair.get("key")))
            after.properties["virtual_machine_interface_bindings"] = bindings | {"key_value_pair": pairs}

    @staticmethod
    def _port_security(after: Object) -> None:
        pairs = (after.properties.get("virtual_machine_interface_allowed_address_pairs") or {}).get(
            "allowed_address_pair"
        )
        if pairs and after.properties.get("port_security_enabled") is False:
            raise BadRequest("Allowed address pairs are not allowed when port security is disabled")

    @staticmethod
    def _sub_interface(tx: Transaction, before: Object | None, after: Object) -> None:
        tag = vlan_tag(after)
        if tag not in VLAN_TAGS:
            raise BadRequest(f"Invalid sub-interface VLAN tag ID: {tag}")
        if tag == 0 or (before is not None and vlan_tag(before) == tag):
            return
        primaries = tx.get_many(after.targets("virtual-machine-interface"))
        if len(primaries) != 1:
            raise BadRequest("A sub-interface must reference its primary virtual-machine-interface")
        siblings = [uuid for uuid in primaries[0].targets("virtual-machine-interface") if uuid != after.uuid]
        for sibling in tx.get_many(siblings):
            if vlan_tag(sibling) == tag:
                raise Conflict(f"Two sub-interfaces under same primary port can't have same Vlan tag: {tag}")


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
