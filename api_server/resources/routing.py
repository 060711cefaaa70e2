"""routing-instance and route-target, and the route targets that networks name (contract 5.2, 5.11)."""

import re
from collections.abc import Iterable

from api_server.errors import BadRequest, Conflict
from api_server.resources.hooks import Hook
from api_server.resources.tenancy import SYSTEM_CONFIG
from api_server.store.objects import Change, Object
from api_server.store.transaction import Transaction

ROUTE_TARGET = re.compile(r"target:(\d{1,10}|\d{1,3}(\.\d{1,3}){3}):(\d{1,10})")

AUTOMATIC = range(8_000_000, 2**24 + 1)
"""Numbers of the route targets that Contrail makes itself, below the global autonomous system."""

TARGET_LISTS = ("route_target_list", "import_route_target_list", "export_route_target_list")


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
        if before is None:
            parse_route_target(after.fq_name[-1])


def parse_route_target(text: str) -> tuple[str, int]:
    """(autonomous system or address, number)."""
    found = ROUTE_TARGET.fullmatch(text)
    if found is None:
        raise BadRequest(f"Invalid route target {text}: target:<asn or address>:<number> expected")
    return found[1], int(found[3])


def check_route_targets(tx: Transaction, before: Object | None, after: Object) -> None:
    """BadRequest if a network names what is no route target, or one that may be made automatically for another."""
    for field in TARGET_LISTS:
        asked = after.properties.get(field)
        if not asked or (before is not None and before.properties.get(field) == asked):
            continue
        for text in asked.get("route_target") or ():
            system, number = parse_route_target(text)
            if number in AUTOMATIC and system == _autonomous_system(tx):
                raise BadRequest(
                    f"Invalid route target {text} in {field}: of the global ASN, numbers from {AUTOMATIC[0]} to "
                    f"{AUTOMATIC[-1]} are the system's"
                )


def _autonomous_system(tx: Transaction) -> str:
    config = tx.get(tx.find("global-system-config", (SYSTEM_CONFIG,)) or "")
    return str(config.properties.get("autonomous_system")) if config is not None else ""
