"""How much of a kind a project may hold (contract 2.10).

The limit is the project's own member for the type, else the server's for it, else the server's `defaults`, else none;
`defaults` of a project is never looked at, as in Contrail. Objects with `user_visible` false are neither counted nor
refused, and what the server makes by itself is not refused. Writers are serial, so that what is counted here still
holds at the commit: two creates at once never exceed a quota.

A project without limits costs no statement: who creates an object has read its parent, and that one's parent with it.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import schema
from api_server.errors import OverQuota
from api_server.store.counting import Way
from api_server.store.objects import Change, Create, Delete, Object
from api_server.store.transaction import Transaction

UNLIMITED = -1

GRANDCHILDREN = frozenset({"loadbalancer-member", "floating-ip-pool"})
"""Types whose only parent is a child of the project."""


def _rules(group: Object) -> int:
    return len((group.properties.get("security_group_entries") or {}).get("policy_rule") or ())


def _subnets(network: Object) -> int:
    return sum(
        bool(entry.get("subnet"))
        for reference in network.references.get("network_ipam_refs", ())
        for entry in (reference.attr or {}).get("ipam_subnets") or ()
    )


def _firewall_groups(policies: Object) -> int:
    """Neutron marks a set of policies as one of its firewall groups by a tag that names it."""
    mark = (*policies.fq_name[:-1], f"neutron_fwaas={policies.uuid}")
    return sum(tag.fq_name == mark for tag in policies.references.get("tag_refs", ()))


class Nested(NamedTuple):
    """member: of QuotaType. count: of what is counted inside one object."""

    member: str
    count: Callable[[Object], int]


NESTED: Mapping[str, Nested] = {
    "security-group": Nested("security_group_rule", _rules),
    "virtual-network": Nested("subnet", _subnets),
    "application-policy-set": Nested("firewall_group", _firewall_groups),
}


def members() -> frozenset[str]:
    """What can be limited: the members of a project's `quota`."""
    return frozenset(schema.load().complex_types["QuotaType"].members)


class Quotas:
    """defaults: the server's limits, by member of QuotaType."""

    def __init__(self, defaults: Mapping[str, int] | None = None) -> None:
        self._defaults = dict(defaults or {})
        types = schema.load().types.values()
        self._members = {kind.name: kind.ident for kind in types if kind.ident in members()}

    def check(self, tx: Transaction, change: Change) -> None:
        """OverQuota if a client's change makes more of something than the project may hold."""
        if isinstance(change, Delete) or not _is_visible(change.after):
            return
        after = change.after
        before = None if isinstance(change, Create) else change.before
        member = self._members.get(after.type) if before is None else None
        nested = NESTED.get(after.type)
        more = nested is not None and nested.count(after) > (nested.count(before) if before is not None else 0)
        if member is None and not more:
            return
        project, way = _project(tx, after)
        if project is None:
            return
        if member is not None:
            self._check_objects(tx, project, after.type, member, way)
        if nested is not None and more:
            self._check_nested(tx, project, after, nested)

    def limit(self, project: Object, member: str) -> int:
        """Negative: none."""
        found = (project.properties.get("quota") or {}).get(member)
        if found is None:
            found = self._defaults.get(member, self._defaults.get("defaults", UNLIMITED))
        if member == "host_based_service" and found not in (0, 1):
            return 0  # a project has one at most, and only if it is told so
        return int(found)

    def _check_objects(self, tx: Transaction, project: Object, type: str, member: str, way: Way) -> None:
        limit = self.limit(project, member)
        # Hidden ones are few: they are left out only where it matters, because that has to read every object.
        if limit < 0 or tx.count(way, project.uuid, type) < limit:
            return
        if limit == 0 or tx.count(way, project.uuid, type, hidden=False) >= limit:
            raise exceeded(limit, member)

    def _check_nested(self, tx: Transaction, project: Object, after: Object, nested: Nested) -> None:
        limit = self.limit(project, nested.member)
        if limit < 0:
            return
        others = [one for one in tx.children(project.uuid, after.type) if one.uuid != after.uuid and _is_visible(one)]
        if nested.count(after) + sum(nested.count(one) for one in others) > limit:
            raise exceeded(limit, nested.member)


def exceeded(limit: int, member: str) -> OverQuota:
    return OverQuota(f"quota limit ({limit}) exceeded for resource {member}")


def _project(tx: Transaction, after: Object) -> tuple[Object | None, Way]:
    """The project that an object counts for, and how the objects of its type are found from there: the project it
    refers to, else the one it stands below."""
    if projects := after.targets("project"):
        return tx.get(projects[0]), "referrer"
    if after.type == "floating-ip" and (named := tx.named("project", after.fq_name[:2])):  # its hook will refer to it
        return named, "referrer"
    parent = tx.get(after.parent_uuid) if after.parent_uuid else None
    if after.type in GRANDCHILDREN:
        return (tx.get(parent.parent_uuid) if parent is not None and parent.parent_uuid else None), "grandchild"
    return (parent if after.parent_type == "project" else None), "child"


def _is_visible(object: Object) -> bool:
    return (object.properties.get("id_perms") or {}).get("user_visible", True) is not False
