"""What Neutron binds a virtual-machine-interface to: `virtual_machine_interface_bindings` (contract 5.6).

The client says on which host and as what kind of device (`host_id`, `vnic_type`), the server how the device is plugged
in there (`vif_type`, `vif_details`): into the kernel's vRouter, by a socket to one that runs on DPDK, or past it, by
the hardware. `host_id: null`, as text, unbinds.
"""

import json
from collections.abc import Iterable, Iterator
from typing import Any

from api_server.errors import Conflict
from api_server.resources.hooks import Hook
from api_server.resources.tenancy import SYSTEM_CONFIG
from api_server.store.objects import Change, Object, Origin, Reference, Update
from api_server.store.transaction import Transaction

FIELD = "virtual_machine_interface_bindings"
NORMAL, DIRECT, FORWARDER, BAREMETAL = "normal", "direct", "virtio-forwarder", "baremetal"
UNBOUND = "null"

SOCKETS = "/var/run/vrouter/uvh_vif_"
DEVICE_NAME = 14
"""Characters that a network device's name has at most, as Contrail counts them."""


def read(interface: Object | None) -> dict[str, Any]:
    """The bindings by name."""
    bindings = (interface.properties.get(FIELD) if interface is not None else None) or {}
    return {str(pair.get("key")): pair.get("value") for pair in bindings.get("key_value_pair") or ()}


def has_links(bindings: dict[str, Any]) -> bool:
    """Whether they name the ports of switches that a machine without hypervisor is plugged into."""
    try:
        profile = json.loads(bindings.get("profile") or "{}")
    except (ValueError, RecursionError):
        return False
    return isinstance(profile, dict) and bool(profile.get("local_link_information"))


class Bindings(Hook):
    """Keeps `vif_type` and `vif_details` right, and the machine at its virtual-router."""

    def prepare(self, tx: Transaction, before: Object | None, after: Object) -> None:
        was, now = read(before), read(after)
        if not now or now == was:
            return
        if before is None:
            now.setdefault("vnic_type", NORMAL)
        kind = now.get("vnic_type", was.get("vnic_type", NORMAL))  # an update that leaves it out does not store it
        if before is not None:
            self._check_kind(tx, before, was, kind)
        self._plug(tx, after, now, kind, new=before is None)
        after.properties[FIELD] = {"key_value_pair": [{"key": key, "value": now[key]} for key in sorted(now)]}

    @staticmethod
    def _check_kind(tx: Transaction, before: Object, was: dict[str, Any], kind: Any) -> None:
        old = was.get("vnic_type", NORMAL)
        if kind in (old, BAREMETAL):
            return
        if old == BAREMETAL:
            bound = bool(has_links(was) and was.get("host_id"))
        else:
            bound = bool(before.targets("virtual-machine") or tx.count("referrer", before.uuid, "logical-router"))
        if bound:
            raise Conflict("Vnic_type can not be modified when port is linked to Vrouter or VM.")

    def _plug(self, tx: Transaction, after: Object, now: dict[str, Any], kind: Any, *, new: bool) -> None:
        """In place."""
        host = now.get("host_id")
        plugged: tuple[str, dict[str, Any]] | None = None
        socket = SOCKETS + f"tap{after.uuid}"[:DEVICE_NAME]
        if kind == NORMAL:
            if host and host != UNBOUND and _uses_dpdk(tx, str(host)):
                plugged = "vhostuser", {
                    "vhostuser_mode": "client", "vhostuser_socket": socket, "vhostuser_vrouter_plug": True
                }  # fmt: skip
        elif new and kind in (DIRECT, FORWARDER) and (vlan := _provider_vlan(tx, after)) is not None:
            plugged = "hw_veb", {"port_filter": True, "vlan": str(vlan)}
        elif kind == FORWARDER and (new or host != UNBOUND):
            plugged = "vrouter", {"vhostuser_mode": "server", "vhostuser_socket": socket}
            if not new:
                plugged[1]["vhostuser_vrouter_plug"] = True
        elif new:
            now.setdefault("vif_type", "vrouter")
            return
        elif host != UNBOUND or kind == DIRECT:
            return
        if plugged is None:
            now.pop("vif_type", None)
            now.pop("vif_details", None)
        else:
            now["vif_type"], now["vif_details"] = plugged[0], json.dumps(plugged[1])

    def further(self, tx: Transaction, before: Object | None, after: Object | None) -> Iterable[Change]:
        if before is None:
            return
        old, new = _place(before), _place(after)
        if old is not None and old != new:
            yield from self._leave(tx, *old)
        if new is not None:
            yield from self._arrive(tx, *new)

    @staticmethod
    def _arrive(tx: Transaction, host: str, machine: Reference) -> Iterator[Change]:
        router = _router(tx, host)
        if router is not None and machine.uuid not in router.targets("virtual-machine"):
            after = router.copy()
            here = Reference(machine.type, machine.uuid, machine.fq_name, None, Origin.DERIVED)
            after.references["virtual_machine_refs"] = [*router.references.get("virtual_machine_refs", ()), here]
            yield Update(router, after)

    @staticmethod
    def _leave(tx: Transaction, host: str, machine: Reference) -> Iterator[Change]:
        """Unless the machine has another interface there."""
        router = _router(tx, host)
        if router is None or machine.uuid not in router.targets("virtual-machine"):
            return
        others = tx.referrers(machine.uuid, "virtual-machine-interface")
        if any(read(other).get("host_id") == host for other in others):
            return
        after = router.copy()
        kept = [one for one in router.references["virtual_machine_refs"] if one.uuid != machine.uuid]
        after.references.pop("virtual_machine_refs")
        if kept:
            after.references["virtual_machine_refs"] = kept
        yield Update(router, after)


def _place(interface: Object | None) -> tuple[str, Reference] | None:
    """The host on which an interface is bound to a machine."""
    machines = interface.references.get("virtual_machine_refs") if interface is not None else None
    host = read(interface).get("host_id")
    return (str(host), machines[0]) if machines and host and host != UNBOUND else None


def _router(tx: Transaction, host: str) -> Object | None:
    return tx.get(tx.find("virtual-router", (SYSTEM_CONFIG, host)) or "")


def _uses_dpdk(tx: Transaction, host: str) -> bool:
    """Of the virtual-router that bears the host's name, else of one whose full name contains it."""
    router = _router(tx, host)
    if router is None:
        name, system = host.partition(".")[0], tx.find("global-system-config", (SYSTEM_CONFIG,))
        routers = tx.children(system, "virtual-router") if system is not None else []
        router = next((one for one in routers if name in one.fq_name[-1].split(".")), None)
    return router is not None and bool(router.properties.get("virtual_router_dpdk_enabled"))


def _provider_vlan(tx: Transaction, interface: Object) -> Any:
    """The segment of the data centre that an interface's network is."""
    for network in tx.get_many(interface.targets("virtual-network")):
        return (network.properties.get("provider_properties") or {}).get("segmentation_id")
    return None
