"""routing-instance and route-target, and the route targets that networks and routers name (contract 5.2, 5.11)."""

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from api_server.errors import BadRequest, Conflict
from api_server.resources.autonomous_system import FOUR_BYTES, TWO_BYTES, automatic, check_asn, system_config
from api_server.resources.hooks import Hook
from api_server.resources.numerals import decimal
from api_server.resources.subnets import parse
from api_server.store.objects import Change, Object
from api_server.store.transaction import Transaction
from schema.quoting import quote

ROUTE_TARGET = re.compile(r"target:([^:]+):([0-9]{1,10})")

TARGET_LISTS = {
    "virtual-network": ("route_target_list", "import_route_target_list", "export_route_target_list"),
    "logical-router": ("configured_route_target_list",),
}
"""The properties that name route targets of a client's own choice."""


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


class Target(NamedTuple):
    """system: an autonomous system or an IP address."""

    system: int | str
    number: int

    def __str__(self) -> str:
        return f"target:{self.system}:{self.number}"

    def is_automatic(self, asn: int) -> bool:
        """Whether it may be made for something else, of this global autonomous system."""
        return self.system == asn and (self.number < 1 or self.number in automatic(asn))


def parse_route_target(text: str) -> Target:
    """BadRequest if it is none. An `L` behind an autonomous system says that it has four bytes."""
    found = ROUTE_TARGET.fullmatch(text)
    system, number = (found[1], int(found[2])) if found else ("", 0)
    four_bytes = system[-1:] in ("l", "L")
    system = system[:-1] if four_bytes else system
    asn = decimal(system, FOUR_BYTES)
    if number > FOUR_BYTES or (asn is None and (four_bytes or parse(system) is None)):
        raise BadRequest(
            f"Route target must be of the format 'target:<asn>:<number>' or 'target:<ip>:<number>', not {quote(text)}"
        )
    if four_bytes and number > TWO_BYTES:
        raise BadRequest("Route Target index value must be less than 0xFFFF in case of 4 byte ASN")
    return Target(system if asn is None else asn, number)


def check_route_targets(tx: Transaction, before: Object | None, after: Object) -> None:
    """BadRequest if what is named is no route target, or one that may be made automatically for another. They are
    stored in one spelling."""
    for field in TARGET_LISTS[after.type]:
        asked = after.properties.get(field)
        if not asked or (before is not None and before.properties.get(field) == asked):
            continue
        config = system_config(tx)
        asn = config.properties.get("autonomous_system") if config is not None else None
        targets = [parse_route_target(text) for text in asked.get("route_target") or ()]
        for target in targets:
            if isinstance(target.system, int):
                check_asn(config, target.system)
            if asn is not None and target.is_automatic(asn):
                own = automatic(asn)
                raise BadRequest(
                    f"Configured route target must use ASN that is different from global ASN or route target value "
                    f"must be less than {own[0]} and greater than {own[-1]}: {target} in {field}"
                )
        after.properties[field] = asked | {"route_target": [str(target) for target in targets]}


def automatic_targets(named: Object, asn: int) -> Iterator[str]:
    """What check_route_targets would refuse of an object if `asn` were the global autonomous system: where and what."""
    for field in TARGET_LISTS[named.type]:
        for text in (named.properties.get(field) or {}).get("route_target") or ():
            if parse_route_target(text).is_automatic(asn):
                yield f"{':'.join(named.fq_name)} ({named.uuid}) has {text} in {field}"
