"""`vaportrail ls`: types, the objects of a type, what an object is related to."""

from collections.abc import Iterator, Mapping
from typing import Any

import schema
from api_client import ApiClient
from cli.objects import lookup, paths
from cli.objects.reading import together
from cli.output import ObjectFormat, print_data, print_table
from schema.model import ResourceType

Row = dict[str, Any]


async def types(client: ApiClient, long: bool) -> list[Row]:
    """All types by family. long: asks how many objects there are of each."""
    model = schema.load()
    rows: list[Row] = [
        {"family": family, "type": name, "description": model.types[name].description}
        for family, names in model.families.items()
        for name in names
    ]
    if long:
        counts = await together(rows, lambda row: client.count(row["type"]))
        rows = [{**row, "objects": count} for row, count in zip(rows, counts, strict=True)]
    return rows


async def objects(client: ApiClient, resource_type: ResourceType, long: bool) -> list[Row]:
    """long: with the time of their last change."""
    name = resource_type.name
    rows = await client.list(name, exclude_hrefs="true", fields="id_perms" if long else "uuid")
    return [
        {"type": name, "fq_name": row["fq_name"], "uuid": row["uuid"]}
        | ({"changed": row.get("id_perms", {}).get("last_modified")} if long else {})
        for row in rows
    ]


async def related(client: ApiClient, path: str) -> list[Row]:
    found = await lookup.find(client, path)
    return list(relations(found.type, await client.read(found.type.name, found.uuid)))


def relations(resource_type: ResourceType, object: Mapping[str, Any]) -> Iterator[Row]:
    """Children, references and back references of an object as it was read."""
    kinds = {
        "child": {field: child.type for field, child in resource_type.children.items()},
        "ref": {field: reference.to for field, reference in resource_type.references.items()},
        "back-ref": {field: back.type for field, back in resource_type.back_references.items()},
    }
    for relation, fields in kinds.items():
        for field, other in fields.items():
            for each in object.get(field) or ():
                yield {
                    "relation": relation,
                    "type": other,
                    "fq_name": each["to"],
                    "uuid": each["uuid"],
                    "attr": each.get("attr"),
                }


async def listed(client: ApiClient, path: str | None, long: bool) -> list[Row]:
    if path is None:
        return await types(client, long)
    parsed = paths.parse(path)
    if parsed.name is None:
        return await objects(client, parsed.type, long)
    return await related(client, path)


def show(rows: list[Row], path: str | None, long: bool, output: ObjectFormat) -> None:
    if output is not ObjectFormat.table:
        print_data(rows, output)
    elif path is None:
        columns = ["Family", "Type", *(["Objects", "Description"] if long else [])]
        print_table(columns, ([row[column.lower()] for column in columns] for row in rows))
    elif paths.parse(path).name is None:
        if long:
            print_table(["Uuid", "Changed", "Object"], ([row["uuid"], row["changed"], _path(row)] for row in rows))
        else:
            print("\n".join(_path(row) for row in rows), end="\n" if rows else "")
    else:
        columns = ["Relation", *(["Uuid"] if long else []), "Object", *(["Attribute"] if long else [])]
        print_table(columns, (_cells(row, long) for row in rows))


def _cells(row: Row, long: bool) -> list[object]:
    if not long:
        return [row["relation"], _path(row)]
    return [row["relation"], row["uuid"], _path(row), row["attr"]]


def _path(row: Row) -> str:
    return paths.show(row["type"], row["fq_name"])
