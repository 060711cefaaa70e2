"""`vaportrail cat`: an object as it is, in the form in which it can be applied again."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from api_client import ApiClient
from cli import notation
from cli.objects import lookup
from cli.objects.reading import together
from cli.output import ObjectFormat, print_json, print_table
from schema.model import ResourceType

LAST = ("annotations", "id_perms", "perms2")  # what every object has is less telling than its own


async def read(client: ApiClient, wanted: Sequence[str]) -> list[dict[str, Any]]:
    async def one(path: str) -> dict[str, Any]:
        found = await lookup.find(client, path)
        return arranged(found.type, await client.read(found.type.name, found.uuid))

    return await together(wanted, one)


def arranged(resource_type: ResourceType, object: Mapping[str, Any]) -> dict[str, Any]:
    """As read, in an order made for people: who it is, its own properties, references, what refers to it. No hrefs."""
    identity = ("fq_name", "uuid", "parent_type", "parent_uuid", "display_name")
    properties = [name for name in resource_type.properties if name not in identity and name not in LAST]
    links = (resource_type.references, resource_type.children, resource_type.back_references)
    order = (*identity, *properties, *(name for fields in links for name in fields), *LAST)
    rest = [name for name in object if name not in order and name not in {"name", "href", "parent_href"}]
    fields = {name: _plain(object[name]) for name in (*order, *rest) if name in object}
    return {"type": resource_type.name} | fields


def _plain(value: Any) -> Any:
    """References without hrefs."""
    if isinstance(value, list):
        return [
            {key: each[key] for key in ("to", "uuid", "attr") if key in each} if _is_reference(each) else each
            for each in value
        ]
    return value


def _is_reference(value: Any) -> bool:
    return isinstance(value, dict) and "to" in value


def show(objects: Sequence[dict[str, Any]], output: ObjectFormat) -> None:
    if output is ObjectFormat.json:
        print_json(objects[0] if len(objects) == 1 else objects)
    elif output is ObjectFormat.yaml:
        print(notation.dump_all(list(objects)), end="")
    else:
        for each in objects:
            print_table(["Field", "Value"], flat(each))


def flat(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Each scalar with its dotted key, the one that `vaportrail set` takes as far as no list is in between."""
    if isinstance(value, Mapping) and value:
        for name, each in value.items():
            yield from flat(each, f"{key}.{name}" if key else name)
    elif isinstance(value, list) and any(isinstance(each, Mapping | list) for each in value):
        for index, each in enumerate(value):
            yield from flat(each, f"{key}[{index}]")
    elif isinstance(value, list):
        yield key, ":".join(str(each) for each in value)
    else:
        yield key, {True: "true", False: "false"}.get(value, value) if isinstance(value, bool) else value
