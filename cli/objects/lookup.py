"""Which object a path means."""

from collections.abc import Container, Sequence
from dataclasses import dataclass, field

from api_client import ApiClient, NotFound
from cli.objects import paths
from cli.output import Failure, Misuse
from schema.model import ResourceType

Key = tuple[str, tuple[str, ...]]
"""Type and fq_name."""

MOST_SHOWN = 5  # of the objects that a name may mean


@dataclass(frozen=True, slots=True)
class Found:
    """An object; its uuid says which."""

    type: ResourceType = field(compare=False)
    uuid: str
    fq_name: tuple[str, ...] = field(compare=False)

    @property
    def key(self) -> Key:
        return self.type.name, self.fq_name

    @property
    def path(self) -> str:
        return paths.show(self.type.name, self.fq_name)


async def find(client: ApiClient, path: str) -> Found:
    """The object; Failure if there is none or the name means several."""
    return await named(client, *paths.parse_object(path))


async def named(client: ApiClient, type: ResourceType, name: str) -> Found:
    """By uuid, by whole name, by the last elements of a name that only one object of the type has."""
    if paths.is_uuid(name):
        try:
            kind, fq_name = await client.id_to_fqname(name)
        except NotFound:
            pass  # some names look like uuids
        else:
            if kind != type.name:
                raise Failure(f"{name} is {paths.show(kind, fq_name)}, not a {type.name}")
            return Found(type, name, tuple(fq_name))
    whole = paths.fq_name(type, name)
    if known := await uuid(client, type.name, whole):
        return Found(type, known, tuple(whole))
    rows = await client.list(type.name)
    found = [Found(type, row["uuid"], tuple(row["fq_name"])) for row in rows if paths.matches(name, row["fq_name"])]
    if not found:
        raise Failure(f"there is no {type.name} called {name!r}{_hint(name, [row['fq_name'] for row in rows])}")
    if len(found) > 1:
        shown = [each.path for each in found[:MOST_SHOWN]] + ["..."] * (len(found) > MOST_SHOWN)
        raise Failure(f"{len(found)} objects of type {type.name} are called {name!r}: {', '.join(shown)}")
    return found[0]


async def parent_type(
    client: ApiClient, type: ResourceType, fq_name: Sequence[str], known: Container[Key] = ()
) -> str | None:
    """Which type the parent of a new object has, where it can be of several: that of which there is an object of the
    name. known: objects that are to come beside it. None: there is but one possibility."""
    if len(fq_name) == 1 or len(type.parents) + type.is_root < 2:
        return None
    parent = tuple(fq_name[:-1])
    found = [kind for kind in type.parents if (kind, parent) in known or await uuid(client, kind, parent)]
    if not found:
        raise Failure(f"there is no {' or '.join(type.parents)} called {':'.join(parent)!r}")
    if len(found) > 1:
        raise Misuse(f"{':'.join(parent)} is a {' and a '.join(found)}: parent_type must say which is meant")
    return found[0]


async def uuid(client: ApiClient, type: str, fq_name: Sequence[str]) -> str | None:
    """By a name in full; None if there is no such object."""
    try:
        return await client.fqname_to_id(type, fq_name)
    except NotFound:
        return None


def _hint(name: str, fq_names: Sequence[Sequence[str]]) -> str:
    return paths.hint(name, {each[-1] for each in fq_names} | {":".join(each) for each in fq_names})
