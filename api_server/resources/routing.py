"""routing-instance and route-target (contract 5.11)."""

import re
from collections.abc import Iterable

from api_server.errors import BadRequest, Conflict
from api_server.resources.hooks import Hook
from api_server.store.objects import Change, Object
from api_server.store.transaction import Transaction

ROUTE_TARGET = re.compile(r"target:(\d{1,10}|\d{1,3}(\.\d{1,3}){3}):\d{1,10}")


class RoutingInstance(Hook):
    """A network's default routing instance comes and goes with it, and is nobody's to make or delete.

    It is the one that bears the network's own name.
    """

    def prepare(self, tx: Transaction, before: Object | None, after: Object) -> None:
        default = bool(after.properties.get("routing_instance_is_default"))
        was = (
            bool(before.properties.get("routing_instance_is_default"))
            if before
            else after.fq_name[-1] == after.fq_name[-2]
        )
        if default != was and (default or before is not None):
            raise self._protected(before or after)

    def release(self, tx: Transaction, before: Object) -> Iterable[Change]:
        if before.properties.get("routing_instance_is_default"):
            raise self._protected(before)
        return ()

    @staticmethod
    def _protected(instance: Object) -> Conflict:
        return Conflict(f"Cannot modify system resource Routing Instance {':'.join(instance.fq_name)}({instance.uuid})")


class RouteTarget(Hook):
    """Its name is the target itself."""

    def prepare(self, tx: Transaction, before: Object | None, after: Object) -> None:
        if before is None and not ROUTE_TARGET.fullmatch(after.fq_name[-1]):
            raise BadRequest(f"Invalid route target {after.fq_name[-1]}: target:<asn or address>:<number> expected")
