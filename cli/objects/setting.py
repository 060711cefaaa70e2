"""`vaportrail set`: a few values of an object, the others left alone whoever changes them meanwhile."""

from collections.abc import Sequence

from api_client import ApiClient, PreconditionFailed, etag
from cli.objects import differences, lookup, values
from cli.objects.creation import resolved
from cli.output import Failure

ATTEMPTS = 5
"""A member is set in what was read; if somebody else was faster it is read again."""


async def assign(client: ApiClient, path: str, assignments: Sequence[str]) -> tuple[lookup.Found, list[str]]:
    """The object and the fields that changed; none if all had these values already."""
    parsed = [values.parse(each) for each in assignments]
    found = await lookup.find(client, path)
    for _ in range(ATTEMPTS):
        stored = await client.read(found.type.name, found.uuid, bare=True)
        wanted = await resolved(client, values.changes(found.type, stored, parsed))
        links = {field: value for field, value in wanted.items() if field in found.type.references}
        changed = {field: value for field, value in wanted.items() if field not in links and value != stored.get(field)}
        changed |= differences.changed(found.type, stored, links)
        if not changed:
            return found, []
        try:
            await client.update(found.type.name, found.uuid, changed, etag=etag(stored))
        except PreconditionFailed:
            continue
        return found, list(changed)
    raise Failure(f"{found.path} was changed by others {ATTEMPTS} times meanwhile; nothing was set")
