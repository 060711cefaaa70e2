"""routing-policy: the terms that a network device has to understand, and the tables they name (contract 5.11)."""

import re
from ipaddress import ip_network
from typing import Any

from api_server.errors import BadRequest, Forbidden, NotFound
from api_server.resources.autonomous_system import global_asn
from api_server.resources.hooks import Hook
from api_server.store.objects import Object, Reference
from api_server.store.transaction import Transaction

FIELD = "routing_policy_entries"
TABLE, TABLES = "interface-route-table", "interface_route_table_refs"
NETWORK_DEVICE = "network-device"

PROTOCOLS = frozenset({"bgp", "static", "aggregate", "pim", "direct", "evpn", "ospf", "ospf3"})
"""Of those that the model knows: what a network device can match."""

NLRI_ROUTE_TYPES = range(1, 11)
AS_PATH = re.compile("[0-9]+( [0-9]+)*")
LENGTH = r"/([1-9]|[12][0-9]|3[0-2])"
FILTER_VALUES = {
    "prefix-length-range": (
        re.compile(f"{LENGTH}-{LENGTH}"),
        "route-filter value {} invalid. prefix-length-range should be in format '/minlength-/maxlength'",
    ),
    "upto": (
        re.compile(LENGTH),
        "route-filter type value '{}' is invalid. 'upto' should be in format '/number'",
    ),
    "through": (
        re.compile(r".+", re.DOTALL),
        "route-filter type value for 'through' should be non-empty string.",
    ),
}  # fmt: skip
"""By type of route filter: what its value looks like, and what is said of another."""

Term = dict[str, Any]


class RoutingPolicy(Hook):
    """What is for network devices is checked as they would; interface-route-tables named by prefix lists are referred
    to, so that they cannot be deleted."""

    def prepare(self, tx: Transaction, before: Object | None, after: Object) -> None:
        kind, entries = after.properties.get("term_type"), after.properties.get(FIELD)
        was = before.properties if before is not None else {}
        if kind and was.get("term_type") and kind != was["term_type"]:
            raise Forbidden(f"Cannot change term_type of routing policy! Please specify '{was['term_type']}' as a "
                            "term_type in routing_policy_entries.")  # fmt: skip
        if not entries or (was.get("term_type"), was.get(FIELD)) == (kind, entries):
            return
        terms = list(entries.get("term") or ())
        if kind == NETWORK_DEVICE:
            for term in terms:
                check_term(tx, term)
        own = global_asn(tx)
        for term in terms if kind == NETWORK_DEVICE else terms[:1]:
            update = (term.get("term_action_list") or {}).get("update") or {}
            if own in (((update.get("as_path") or {}).get("expand") or {}).get("asn_list") or ()):
                raise BadRequest("ASN can't be same as global system config asn")
        after.references.pop(TABLES, None)
        named = dict.fromkeys(uuid for term in terms for uuid in table_uuids(term))
        if tables := [found for found in tx.get_many(list(named)) if found.type == TABLE]:
            after.references[TABLES] = [Reference(TABLE, table.uuid, table.fq_name) for table in tables]


def table_uuids(term: Term) -> list[str]:
    """Of the interface-route-tables that a term's prefix lists name."""
    lists = (term.get("term_match_condition") or {}).get("prefix_list") or ()
    return [uuid for named in lists for uuid in named.get("interface_route_table_uuid") or ()]


def check_term(tx: Transaction, term: Term) -> None:
    """BadRequest, NotFound: what a network device could not be told."""
    condition = term.get("term_match_condition") or {}
    for protocol in condition.get("protocol") or ():
        if protocol not in PROTOCOLS:
            raise BadRequest(f"{protocol} protocol value is not valid value for network-device term")
    for kind in condition.get("nlri_route_type") or ():
        if kind not in NLRI_ROUTE_TYPES:
            raise BadRequest(f"{kind} nlri-route-type is not valid value, value should be in range of 1 to 10")
    for uuid in table_uuids(term):
        found = tx.identify(uuid)
        if found is None or found[0] != TABLE:
            raise NotFound(f"Unknown id: {uuid}")
    for wanted in (condition.get("route_filter") or {}).get("route_filter_properties") or ():
        check_filter(wanted)
    actions = term.get("term_action_list") or {}
    for name in ("as_path_expand", "as_path_prepend"):
        path = actions.get(name)
        if path and not AS_PATH.fullmatch(path):
            raise BadRequest(f"{name} has invalid value {path}. valid format is AS number(s) separated by spaces")


def check_filter(wanted: dict[str, Any]) -> None:
    """A RouteFilterProperties of a network device."""
    route, kind, value = (wanted.get(name) for name in ("route", "route_type", "route_type_value"))
    if route is None:
        raise BadRequest("route_filter must have non-empty route value for network-device term")
    if kind is None:
        raise BadRequest("route_filter must have valid route_type for network-device term")
    if kind in FILTER_VALUES:
        pattern, refusal = FILTER_VALUES[kind]
        if not pattern.fullmatch(value or ""):
            raise BadRequest(refusal.format(value))
    try:
        ip_network(route, strict=False)
    except ValueError:
        raise BadRequest(f"invalid route in route_filter: {route}") from None
