"""What the load balancing types do besides being stored: declare how the native driver finds them, and wake it.

The search keys are declared whether the driver is on or off, so that switching it on needs no conversion.
"""

from collections.abc import Callable, Iterable, Sequence

from api_server.errors import Conflict
from api_server.loadbalancer import graph, native
from api_server.resources.hooks import Hook
from api_server.store.objects import Change, Object
from api_server.store.transaction import Transaction

Keys = Callable[[Object], Iterable[str]]
Leaving = Callable[[Transaction, Object], Iterable[Change]]
Changed = Callable[[Transaction, Object | None, Object | None], Iterable[Change]]
Settle = Callable[[Transaction, Object], Iterable[Change]]


class SearchKeys(Hook):
    """The keys an object is found by."""

    def __init__(self, declare: Keys) -> None:
        self._declare = declare

    def keys(self, tx: Transaction, after: Object) -> Iterable[str]:
        return self._declare(after)


class Driver(Hook):
    """What the native driver does when an object changes, before it goes, and if something is amiss."""

    def __init__(self, changed: Changed, leaving: Leaving | None = None, settle: Settle | None = None) -> None:
        self._changed, self._leaving, self._settle = changed, leaving, settle

    def release(self, tx: Transaction, before: Object) -> Iterable[Change]:
        return self._leaving(tx, before) if self._leaving is not None else ()

    def further(self, tx: Transaction, before: Object | None, after: Object | None) -> Iterable[Change]:
        return self._changed(tx, before, after)

    def settle(self, tx: Transaction, object: Object) -> Iterable[Change]:
        return self._settle(tx, object) if self._settle is not None else ()


class ServiceApplianceSet(Hook):
    """A driver that pools use keeps its settings (contract 5.1)."""

    FROZEN = ("service_appliance_driver", "service_appliance_set_properties")

    def prepare(self, tx: Transaction, before: Object | None, after: Object) -> None:
        if before is None or all(before.properties.get(name) == after.properties.get(name) for name in self.FROZEN):
            return
        if tx.referrers(after.uuid, "loadbalancer-pool"):
            raise Conflict("Service appliance set can not be updated as loadbalancer pools are using it")


KEYS: dict[str, Sequence[Hook]] = {
    "loadbalancer-member": (SearchKeys(graph.member_keys),),
    "instance-ip": (SearchKeys(graph.instance_ip_keys),),
    "floating-ip": (SearchKeys(graph.floating_ip_keys),),
}

NATIVE: dict[str, Sequence[Hook]] = {
    "loadbalancer": (Driver(native.loadbalancer_changed, native.loadbalancer_leaving, native.evaluate),),
    "loadbalancer-listener": (Driver(native.listener_changed),),
    "loadbalancer-pool": (Driver(native.pool_changed),),
    "loadbalancer-member": (Driver(native.member_changed),),
    "instance-ip": (Driver(native.instance_ip_changed, native.instance_ip_leaving),),
    "virtual-machine-interface": (Driver(native.interface_changed),),
    "floating-ip": (Driver(native.floating_ip_changed, settle=native.stray),),
}
