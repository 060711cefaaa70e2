"""domain, project and what each of them brings along (contract 5.8)."""

from collections.abc import Iterable
from typing import Any

from api_server.resources.drafts import refuse_drafts
from api_server.resources.hooks import Hook
from api_server.store.objects import Change, Create, Object, Reference, Update
from api_server.store.transaction import Transaction

APPLICATION_POLICY_SET = "application-policy-set"
DEFAULT_APPLICATION_POLICY_SET = f"default-{APPLICATION_POLICY_SET}"
POLICY_SETS = "application_policy_set_refs"
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
    """Has an application-policy-set, as child and reference.

    It goes with the project, as every default-named child does, and only with it: the reference keeps it from being
    deleted before. Contrail restores both when the project is read; here they cannot be lost.
    """

    def prepare(self, tx: Transaction, before: Object | None, after: Object) -> None:
        refuse_drafts(after)
        if before is None:
            return
        name, kept = (*after.fq_name, DEFAULT_APPLICATION_POLICY_SET), after.references.get(POLICY_SETS, [])
        lost = [reference for reference in before.references.get(POLICY_SETS, ()) if reference.fq_name == name]
        if lost and not any(reference.fq_name == name for reference in kept):
            after.references[POLICY_SETS] = kept + lost

    def further(self, tx: Transaction, before: Object | None, after: Object | None) -> Iterable[Change]:
        return self._make(tx, after) if before is None and after is not None else ()

    def settle(self, tx: Transaction, object: Object) -> Iterable[Change]:
        name = (*object.fq_name, DEFAULT_APPLICATION_POLICY_SET)
        policies = tx.find(APPLICATION_POLICY_SET, name)
        if policies is None:
            yield from self._make(tx, object)
        elif policies not in object.targets(APPLICATION_POLICY_SET):
            yield self._link(object, policies, name)

    def _make(self, tx: Transaction, project: Object) -> Iterable[Change]:
        name = (*project.fq_name, DEFAULT_APPLICATION_POLICY_SET)
        policies = Object(
            APPLICATION_POLICY_SET, tx.new_uuid(), name, project.type, project.uuid, {"all_applications": True}
        )
        yield Create(policies)
        yield self._link(project, policies.uuid, name)

    @staticmethod
    def _link(project: Object, policies: str, name: tuple[str, ...]) -> Change:
        linked = project.copy()
        linked.references[POLICY_SETS] = [
            *linked.references.get(POLICY_SETS, ()), Reference(APPLICATION_POLICY_SET, policies, name)
        ]  # fmt: skip
        return Update(project, linked)
