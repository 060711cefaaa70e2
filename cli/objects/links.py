"""`vaportrail ln`: a reference from one object to another."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from api_client import ApiClient
from cli import notation
from cli.objects import lookup, paths, values
from cli.objects.values import Assignment
from cli.output import Misuse
from schema.model import Property, ReferenceField, ResourceType


def field(source: ResourceType, target: ResourceType) -> ReferenceField:
    """Misuse if there is no such kind of reference; says if there is one the other way round."""
    for declared in source.references.values():
        if declared.to == target.name:
            return declared
    other = any(declared.to == source.name for declared in target.references.values())
    if other:
        raise Misuse(f"a {source.name} does not refer to a {target.name}; it is the other way round")
    known = sorted({declared.to for declared in source.references.values()})
    raise Misuse(f"a {source.name} does not refer to a {target.name}, but to: {', '.join(known)}")


def attribute(source: ResourceType, declared: ReferenceField, given: Sequence[str]) -> Any:
    """From `member=value`, or one JSON or YAML object; None without any."""
    if not given:
        return None
    if declared.attr is None:
        raise Misuse(f"references from {source.name} to {declared.to} have no attribute")
    if len(given) == 1 and given[0].lstrip().startswith("{"):
        (value,) = notation.load(given[0], "--attr")
        return value
    # the attribute is a value of a type, as a property is
    holder = Property("attr", declared.attr)
    result: Any = None
    for each in given:
        parsed = values.parse(f"attr.{each}")
        result = values.assigned(holder, Assignment("attr", parsed.members, parsed.text), result)
    return result


async def link(
    client: ApiClient, source: str, target: str, attr: Sequence[str], *, remove: bool
) -> tuple[lookup.Found, lookup.Found]:
    """Adds the reference, or changes its attribute; or removes it."""
    declared = field(paths.parse(source).type, paths.parse(target).type)
    value: Mapping[str, Any] | None = attribute(paths.parse(source).type, declared, attr)
    one, other = await lookup.find(client, source), await lookup.find(client, target)
    operation: Literal["ADD", "DELETE"] = "DELETE" if remove else "ADD"
    await client.ref_update(one.type.name, one.uuid, other.type.name, other.uuid, operation, value)
    return one, other
