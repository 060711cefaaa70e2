"""domain, project and what each of them brings along (contract 5.8, 5.11)."""

from collections.abc import Iterable
from typing import Any

from api_server.errors import BadRequest
from api_server.resources.hooks import Hook
from api_server.store.objects import Change, Create, Object, Origin, Reference, Update
from api_server.store.transaction import Transaction

APPLICATION_POLICY_SET = "application-policy-set"
DEFAULT_APPLICATION_POLICY_SET = f"default-{APPLICATION_POLICY_SET}"
SYSTEM_CONFIG = "default-global-system-config"


def share(object: Object, tenant: str, access: int) -> None:
    """Add an entry to `perms2.share`, in place, unless the tenant has one. access: bits read 4, write 2, link 1."""
    perms2: dict[str, Any] = object.properties.get("perms2") or {}
    entries = list(perms2.get("share") or ())
    if not any(entry.get("tenant") == tenant for entry in entries):
        object.properties["perms2"] = perms2 | {"share": [*entries, {"tenant": tenant, "tenant_access": access}]}


class Domain(Hook):
    """Its own tenants may read and change it."""

    def prepare(self, tx: Transaction, before: Object | None, after: Object) -> None:
        if before is None:
            share(after, f"domain:{after.uuid}", 6)


class ServiceTemplate(Hook):
    """The tenants of its domain may use it."""

    def prepare(self, tx: Transaction, before: Object | None, after: Object) -> None:
        if before is None and after.parent_uuid:
            share(after, f"domain:{after.parent_uuid}", 5)


class Project(Hook):
    """Has an application-policy-set, as child and reference. It goes with the project, as every default-named child
    does."""

    def further(self, tx: Transaction, before: Object | None, after: Object | None) -> Iterable[Change]:
        if before is not None or after is None:
            return
        name = (*after.fq_name, DEFAULT_APPLICATION_POLICY_SET)
        policies = Object(APPLICATION_POLICY_SET, tx.new_uuid(), name, after.type, after.uuid)
        yield Create(policies)
        linked = after.copy()
        linked.references.setdefault("application_policy_set_refs", []).append(
            Reference(APPLICATION_POLICY_SET, policies.uuid, name, None, Origin.DERIVED)
        )
        yield Update(after, linked)


class GlobalSystemConfig(Hook):
    """There is one."""

    def prepare(self, tx: Transaction, before: Object | None, after: Object) -> None:
        if before is None and after.fq_name != (SYSTEM_CONFIG,):
            raise BadRequest(f"There can be only one global-system-config, {SYSTEM_CONFIG}")
