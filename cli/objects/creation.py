"""`vaportrail create`: an object from `key=value`, from a file, or from both."""

from collections.abc import Mapping, Sequence
from typing import Any

from api_client import ApiClient
from cli import notation
from cli.objects import differences, documents, lookup, paths, values
from cli.objects.values import Assignment, Unresolved
from cli.output import Failure
from schema.model import ResourceType


def split(assignments: Sequence[str]) -> tuple[dict[str, str], list[Assignment]]:
    """What belongs to the identity of a new object, and the rest."""
    parsed = [values.parse(each) for each in assignments]
    identity = {each.key: each.text or "" for each in parsed if each.key in values.IDENTITY}
    return identity, [each for each in parsed if each.key not in values.IDENTITY]


async def create(client: ApiClient, path: str, assignments: Sequence[str], file: str | None) -> lookup.Found:
    resource_type, name = paths.parse_object(path)
    fq_name = paths.fq_name(resource_type, name)
    identity, changes = split(assignments)
    declared = documents.declare(resource_type, _read(resource_type, file) | {"fq_name": fq_name}, file or path)
    fields = dict(declared.fields) | await resolved(client, values.changes(resource_type, declared.fields, changes))
    whole = {**differences.created(resource_type, fq_name, fields), **declared.identity(), **identity}
    if "parent_type" not in whole and (parent := await lookup.parent_type(client, resource_type, fq_name)):
        whole["parent_type"] = parent
    answer = await client.create(resource_type.name, whole)
    return lookup.Found(resource_type, str(answer["uuid"]), tuple(answer["fq_name"]))


def _read(resource_type: ResourceType, file: str | None) -> dict[str, Any]:
    """The fields in a file: bare, or in the envelope of a request."""
    if file is None:
        return {}
    found = notation.load(documents.read_text(file), file)
    if len(found) != 1 or not isinstance(found[0], dict):
        raise Failure(f"{file} must hold the fields of one {resource_type.name}")
    (document,) = found
    inner = document.get(resource_type.name)
    return inner if isinstance(inner, dict) else document


async def resolved(client: ApiClient, changes: Mapping[str, Any]) -> dict[str, Any]:
    """The same with every reference by name looked up."""
    return {field: await _resolved(client, value) for field, value in changes.items()}


async def _resolved(client: ApiClient, value: Any) -> Any:
    if not isinstance(value, Unresolved):
        return value
    found = [await lookup.named(client, paths.resource_type(value.type), name) for name in value.names]
    return [{"to": list(each.fq_name), "uuid": each.uuid} for each in found]
