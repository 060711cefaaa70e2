"""qos-config and forwarding-class: values that fit the field of a packet they stand for (contract 5.11)."""

from api_server.errors import BadRequest
from api_server.resources.hooks import Hook
from api_server.resources.tenancy import SYSTEM_CONFIG
from api_server.store.objects import Object, Reference
from api_server.store.transaction import Transaction

ENTRIES = {"dscp_entries": ("DSCP", 64), "vlan_priority_entries": ("802.1p", 8), "mpls_exp_entries": ("MPLS EXP", 8)}
"""Of which field of a packet, and how many values it has."""


class QosConfig(Hook):
    """Refers to the system's configuration, as all of its kind."""

    def prepare(self, tx: Transaction, before: Object | None, after: Object) -> None:
        system = tx.find("global-system-config", (SYSTEM_CONFIG,)) if before is None else None
        if system is not None:
            reference = Reference("global-system-config", system, (SYSTEM_CONFIG,))
            after.references["global_system_config_refs"] = [reference]
        for field, (title, values) in ENTRIES.items():
            for pair in (after.properties.get(field) or {}).get("qos_id_forwarding_class_pair") or ():
                if not 0 <= int(pair.get("key") or 0) < values:
                    raise BadRequest(f"Invalid {title} value {pair['key']}")


class ForwardingClass(Hook):
    """Two do not have one number."""

    def prepare(self, tx: Transaction, before: Object | None, after: Object) -> None:
        number = after.properties.get("forwarding_class_id") or 0
        if before is not None and number == (before.properties.get("forwarding_class_id") or 0):
            return
        for other in tx.children(after.parent_uuid or "", after.type):
            if other.uuid != after.uuid and (other.properties.get("forwarding_class_id") or 0) == number:
                raise BadRequest(f"Forwarding class {list(other.fq_name)} is configured with a id {number}")
