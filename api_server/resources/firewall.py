"""Firewall objects: application-policy-set, firewall-policy, firewall-rule, address-group, service-group (contract
5.10).

A rule names what it is about by text, as `tier=web` or `default-domain:p1:group`; what the data plane needs of that is
derived here: numbers of protocols, tags and tag types, and references, so that what a rule names cannot be deleted.
"""

from collections.abc import Iterable
from typing import Any, ClassVar

from api_server.errors import BadRequest, NotFound
from api_server.resources.body import Body
from api_server.resources.hooks import Hook
from api_server.resources.protocols import number_of
from api_server.resources.tags import PREDEFINED
from api_server.store.names import split
from api_server.store.objects import Change, Object, Reference
from api_server.store.transaction import Transaction
from schema.quoting import quote, title

ENDPOINTS = ("endpoint_1", "endpoint_2")
KINDS = ("tags", "address_group", "virtual_network", "subnet", "any")
"""Of an end point: one at a time."""

GLOBAL_TAG = "global:"
"""Before the name of a tag in a rule of a project: of a tag that is no project's."""


class FirewallObject(Hook):
    """What is global refers to global firewall objects only; global is what is below a global policy-management."""

    FIREWALL = ("firewall-policy", "firewall-rule", "address-group", "service-group")

    def prepare(self, tx: Transaction, before: Object | None, after: Object) -> None:
        was = before.properties.get("draft_mode_state") if before is not None else None
        if after.properties.get("draft_mode_state") != was:
            raise BadRequest("Security resource property 'draft_mode_state' is only readable")
        if len(after.fq_name) != 2:
            return
        for references in after.references.values():
            for target in references:
                if target.type in self.FIREWALL and len(target.fq_name) != 2:
                    raise BadRequest(
                        f"Global {title(after.type)} {':'.join(after.fq_name)} ({after.uuid}) cannot reference a "
                        f"scoped {title(target.type)} {':'.join(target.fq_name)} ({target.uuid})"
                    )


class ApplicationPolicySet(FirewallObject):
    """`all_applications` marks those that the server makes. They stay; a project's is kept by the project's reference
    and goes with it."""

    def receive(self, body: Body) -> None:
        if "all_applications" in body.properties:
            raise self._read_only()

    def prepare(self, tx: Transaction, before: Object | None, after: Object) -> None:
        super().prepare(tx, before, after)
        if before is not None and _all_applications(before) != _all_applications(after):
            raise self._read_only()

    def release(self, tx: Transaction, before: Object) -> Iterable[Change]:
        if before.parent_type != "project" and _all_applications(before):
            raise BadRequest("Application Policy Set defined on all applications cannot be deleted")
        return ()

    @staticmethod
    def _read_only() -> BadRequest:
        return BadRequest("Application policy set 'all-applications' flag is read-only")


def _all_applications(policies: Object) -> bool:
    return bool(policies.properties.get("all_applications"))


class ServiceGroup(FirewallObject):
    """The numbers of its protocols."""

    FIELD = "service_group_firewall_service_list"

    def prepare(self, tx: Transaction, before: Object | None, after: Object) -> None:
        super().prepare(tx, before, after)
        stored = after.properties.get(self.FIELD)
        if stored:
            services = [with_protocol_id(service) for service in stored.get("firewall_service") or ()]
            after.properties[self.FIELD] = stored | {"firewall_service": services}


def with_protocol_id(service: dict[str, Any]) -> dict[str, Any]:
    """A FirewallServiceType that has the number of its protocol, if it names one."""
    protocol = service.get("protocol")
    if not protocol:
        return service
    number = number_of(protocol)
    if number is None:
        raise BadRequest(f"Invalid protocol: {quote(protocol)}")
    return service | {"protocol_id": number}


class FirewallRule(FirewallObject):
    """Numbers and references from the names in its end points, its service and its tag types."""

    DERIVED: ClassVar[dict[str, str]] = {
        "tag_refs": "Cannot directly define Tags reference from a Firewall Rule. Use 'tags' endpoints property in the "
        "Firewall Rule",
        "address_group_refs": "Cannot directly define Address Group reference from a Firewall Rule. Use "
        "'address_group' endpoints property in the Firewall Rule",
        "virtual_network_refs": "Cannot directly define Virtual Network reference from a Firewall Rule. Use "
        "'virtual_network' endpoints property in the Firewall Rule",
    }
    """Kinds of references that come from the end points alone, and what is said to those who set another."""

    def receive(self, body: Body) -> None:
        """A list without elements is not stored, but says that no type has to match (contract 5.10)."""
        types = [] if "match_tags" in body.properties else [PREDEFINED["application"]]
        body.properties["match_tag_types"] = {"tag_type": types}

    def prepare(self, tx: Transaction, before: Object | None, after: Object) -> None:
        if before is None or after.properties.get("action_list") != before.properties.get("action_list"):
            check_action(tx, after)
        self._service(after)
        self._match_tags(tx, before, after)
        given, right = {field: targets(after, field) for field in self.DERIVED}, [before]
        if before is None or any(after.properties.get(name) != before.properties.get(name) for name in ENDPOINTS):
            self._endpoints(tx, after)
            right.append(after)
        for field, refusal in self.DERIVED.items():
            if all(given[field] != targets(version, field) for version in right):
                raise BadRequest(refusal)
        super().prepare(tx, before, after)

    @staticmethod
    def _service(after: Object) -> None:
        service, groups = after.properties.get("service"), after.references.get("service_group_refs")
        if service and groups:
            raise BadRequest("Firewall Rule cannot have both defined 'service' property and Service Group reference(s)")
        if service:
            after.properties["service"] = with_protocol_id(service)
        elif not groups:
            raise BadRequest("Firewall Rule requires at least 'service' property or Service Group references(s)")

    @staticmethod
    def _match_tags(tx: Transaction, before: Object | None, after: Object) -> None:
        names = after.properties.get("match_tags")
        known = before.properties.get("match_tag_types") if before is not None else None
        if before is not None and known and names == before.properties.get("match_tags"):
            after.properties["match_tag_types"] = known
        elif before is not None or names:
            ids = [tag_type_id(tx, name.lower()) for name in (names or {}).get("tag_list") or ()]
            after.properties["match_tag_types"] = {"tag_type": ids}

    def _endpoints(self, tx: Transaction, after: Object) -> None:
        """Check both, and replace the references by those they name."""
        found: dict[str, dict[str, Reference]] = {field: {} for field in self.DERIVED}
        for name in ENDPOINTS:
            endpoint = after.properties.get(name)
            if endpoint is None:
                continue
            if sum(bool(endpoint.get(kind)) for kind in KINDS) > 1:
                raise BadRequest("Endpoint is limited to only one endpoint type at a time")
            tags = [find_tag(tx, tag_name(after, text)) for text in dict.fromkeys(endpoint.get("tags") or ())]
            after.properties[name] = endpoint | {"tag_ids": [int(tag.properties["tag_id"], 16) for tag in tags]}
            found["tag_refs"] |= {tag.uuid: Reference("tag", tag.uuid, tag.fq_name) for tag in tags}
            for kind in ("address-group", "virtual-network"):
                member = kind.replace("-", "_")
                if text := endpoint.get(member):
                    target = find_named(tx, kind, text)
                    found[f"{member}_refs"][target.uuid] = target
        for field, references in found.items():
            after.references.pop(field, None)
            if references:
                after.references[field] = list(references.values())


def targets(object: Object | None, field: str) -> set[str]:
    return {reference.uuid for reference in object.references.get(field, ())} if object is not None else set()


def check_action(tx: Transaction, rule: Object) -> None:
    """A rule can send traffic through a host-based-service only where there is one: in a project that has it."""
    if not (rule.properties.get("action_list") or {}).get("host_based_service"):
        return
    if rule.parent_type != "project" or rule.parent_uuid is None:
        raise BadRequest("host-based-service rule action can only be use in a project scope")
    services = tx.children(rule.parent_uuid, "host-based-service")
    if len(services) != 1:
        found = "more than one host based service" if services else "no host based service instantiated"
        raise BadRequest(
            "Cannot use Host Based Service firewall rule action: "
            f"Project {':'.join(rule.fq_name[:-1])}({rule.parent_uuid}) have {found}"
        )


def tag_type_id(tx: Transaction, name: str) -> int:
    if name == "label":
        raise BadRequest("labels not allowed as match-tags")
    if name in PREDEFINED:
        return PREDEFINED[name]
    found = tx.get(tx.find("tag-type", (name,)) or "")
    if found is None:
        raise NotFound(f"Unknown id: tag_type {quote(name)}")
    return int(found.properties["tag_type_id"], 16)


def tag_name(rule: Object, text: str) -> tuple[str, ...]:
    """The fq_name of a tag that an end point names: of the rule's own scope, unless it says global."""
    if "=" not in text:
        raise NotFound(f"Invalid tag name '{quote(text)}'")
    if text.startswith(GLOBAL_TAG):
        return (text.removeprefix(GLOBAL_TAG),)
    scope = rule.fq_name[:-2] if rule.parent_type == "policy-management" else rule.fq_name[:-1]
    return (*scope, text)


def find_tag(tx: Transaction, fq_name: tuple[str, ...]) -> Object:
    found = tx.get(tx.find("tag", fq_name) or "")
    if found is None:
        raise NotFound(f"Unknown id: tag {':'.join(fq_name)}")
    return found


def find_named(tx: Transaction, kind: str, text: str) -> Reference:
    """By the text of a name, joined by colons."""
    fq_name = split(kind, text)
    uuid = tx.find(kind, fq_name)
    if uuid is None:
        raise NotFound(f"No {title(kind)} object found for {quote(text)}")
    return Reference(kind, uuid, fq_name)
