"""security-group and network-policy: numbers and rules (contract 5.9)."""

from collections.abc import Iterable
from typing import Any
from uuid import uuid4

from api_server.errors import BadRequest, Conflict, Forbidden
from api_server.resources.hooks import Held, Hook
from api_server.resources.protocols import number_of
from api_server.resources.subnets import parse
from api_server.store.objects import Object
from api_server.store.transaction import Transaction
from api_server.store.view import View
from schema.quoting import quote

GROUP_IDS = ("security-group-id", [(8_000_001, 2**32 - 1)])
"""The server's own; lower ones are for `configured_security_group_id`."""

FAMILIES = {"IPv4": 4, "IPv6": 6}

Rule = dict[str, Any]


class SecurityGroup(Hook):
    """`security_group_id`: the configured one, else the lowest free; rules are checked and get a uuid."""

    assigns = ("security_group_id",)

    FIELD = "security_group_entries"

    def prepare(self, tx: Transaction, before: Object | None, after: Object) -> None:
        was = before.properties.get("security_group_id") if before is not None else None
        if after.properties.get("security_group_id") != was:
            raise Forbidden(f"Cannot {'set' if before is None else 'update'} the security group ID")
        if changed(before, after, self.FIELD):
            number_rules(after, self.FIELD)
            for rule in rules(after, self.FIELD):
                check_protocol(rule)
                check_families(rule)
                check_local(rule)
                check_ports(rule)
        self._number(tx, before, after)

    def holds(self, tx: View, object: Object) -> Iterable[Held]:
        number = object.properties.get("security_group_id")
        if number is not None and not object.properties.get("configured_security_group_id"):
            yield Held(*GROUP_IDS, number, f"security group id {number}", _renumber)

    @staticmethod
    def _number(tx: Transaction, before: Object | None, after: Object) -> None:
        pool, ranges = GROUP_IDS
        configured = after.properties.get("configured_security_group_id") or None
        if before is not None and configured == (before.properties.get("configured_security_group_id") or None):
            return
        if before is not None:
            tx.release_all(after.uuid)
        number = configured or tx.take(pool, ranges, after.uuid)
        if number is None:
            raise BadRequest("No security group ID is free")
        after.properties["security_group_id"] = number


def _renumber(group: Object, number: int) -> None:
    group.properties["security_group_id"] = number


class NetworkPolicy(Hook):
    """Rules are checked and get a uuid."""

    FIELD = "network_policy_entries"

    def prepare(self, tx: Transaction, before: Object | None, after: Object) -> None:
        if not changed(before, after, self.FIELD):
            return
        number_rules(after, self.FIELD)
        for rule in rules(after, self.FIELD):
            check_protocol(rule)
            if rule.get("action_list") is None:
                raise BadRequest("Action is required")
            if any(address.get("security_group") is not None for address in addresses(rule)):
                raise BadRequest("Config Error: policy rule refering to security group is not allowed")
            if not rule.get("src_addresses") or not rule.get("dst_addresses"):
                raise BadRequest("Both source and destination addresses are required")


def changed(before: Object | None, after: Object, field: str) -> bool:
    return before is None or before.properties.get(field) != after.properties.get(field)


def rules(policy: Object, field: str) -> list[Rule]:
    return list((policy.properties.get(field) or {}).get("policy_rule") or ())


def addresses(rule: Rule) -> list[dict[str, Any]]:
    """Of both sides."""
    return [*(rule.get("src_addresses") or ()), *(rule.get("dst_addresses") or ())]


def number_rules(policy: Object, field: str) -> None:
    """Give each rule a `rule_uuid`, in place. Conflict: two are the same otherwise."""
    given = rules(policy, field)
    known: list[Rule] = []
    for rule in given:
        meaning = {name: value for name, value in rule.items() if name not in ("rule_uuid", "created", "last_modified")}
        if meaning in known:
            raise Conflict(f"Rule already exists : {given[known.index(meaning)].get('rule_uuid')}")
        known.append(meaning)
    if given:
        whole = [rule | {"rule_uuid": rule.get("rule_uuid") or str(uuid4())} for rule in given]
        policy.properties[field] = policy.properties[field] | {"policy_rule": whole}


def check_protocol(rule: Rule) -> None:
    if number_of(rule.get("protocol")) is None:
        raise BadRequest(f"Rule with invalid protocol : {quote(rule.get('protocol'))}")


def check_families(rule: Rule) -> None:
    """A rule for one IP version has prefixes of that alone."""
    family = FAMILIES.get(rule.get("ethertype") or "")
    for address in addresses(rule):
        for subnet in [address.get("subnet"), *(address.get("subnet_list") or ())]:
            if subnet is None or family is None:
                continue
            prefix, length = parse(subnet.get("ip_prefix")), subnet.get("ip_prefix_len")
            if prefix is None or length is None:
                raise BadRequest(f"Rule subnet needs ip_prefix and ip_prefix_len: {quote(subnet)}")
            if prefix.version != family:
                raise BadRequest(f"Rule subnet {prefix}/{length} doesn't match ethertype {rule['ethertype']}")


def check_local(rule: Rule) -> None:
    """A security group's rules say who may talk with its own interfaces: one side is these."""
    if not any(address.get("security_group") == "local" for address in addresses(rule)):
        raise BadRequest("At least one of source or destination addresses must be 'local'")


def check_ports(rule: Rule) -> None:
    for ports in [*(rule.get("src_ports") or ()), *(rule.get("dst_ports") or ())]:
        if any(not 0 <= (ports.get(end) or 0) <= 65535 for end in ("start_port", "end_port")):
            raise BadRequest(f"Rule with invalid ports : {ports.get('start_port')}-{ports.get('end_port')}")
