"""Many objects in few requests, with their links: what stands below them, what they refer to, what refers to them."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import schema
from api_client import ApiClient
from cli.objects import lookup
from cli.objects.lookup import Key
from schema.model import ResourceType

AT_ONCE = 16  # requests on their way together

BATCH = 50
"""Objects of one request: their names make a URL of some kB."""

Item = TypeVar("Item")
Result = TypeVar("Result")

Object = Mapping[str, Any]
Place = tuple[str, str]
"""Type and uuid."""


def links(type: ResourceType) -> Sequence[str]:
    """The fields of an object in which the server says what it is to others."""
    return [*type.children, *type.back_references]


async def read(
    client: ApiClient, places: Iterable[Place], fields: Callable[[ResourceType], Sequence[str]] = links
) -> dict[str, Object]:
    """uuid -> object, properties and references and these fields; those that are gone are not in it."""
    batches = list(_batches(places))

    async def one(batch: tuple[str, Sequence[str]]) -> list[dict[str, Any]]:
        kind, uuids = batch
        wanted = ",".join(fields(schema.load().types[kind]))
        return await client.list(kind, detail=True, obj_uuids=",".join(uuids), fields=wanted, exclude_hrefs="true")

    return {each["uuid"]: each for found in await together(batches, one) for each in found}


async def named(client: ApiClient, keys: Iterable[Key]) -> dict[Key, Object]:
    """Objects by their names, properties and references; those that do not exist are not in it."""
    wanted = set(keys)
    odd = [key for key in wanted if any(mark in part for part in key[1] for mark in ",:")]  # no list can ask for these
    uuids = await together(odd, lambda key: lookup.uuid(client, *key))
    batches = list(_batches((kind, ":".join(name)) for kind, name in wanted.difference(odd)))

    async def one(batch: tuple[str, Sequence[str]]) -> list[tuple[Key, Object]]:
        kind, names = batch
        rows = await client.list(kind, detail=True, fq_names=",".join(names), exclude_hrefs="true")
        return [((kind, tuple(row["fq_name"])), row) for row in rows]

    found = {key: row for rows in await together(batches, one) for key, row in rows}
    by_uuid = await read(client, [(key[0], uuid) for key, uuid in zip(odd, uuids, strict=True) if uuid], lambda _: ())
    return found | {key: by_uuid[uuid] for key, uuid in zip(odd, uuids, strict=True) if uuid in by_uuid}


def _batches(pairs: Iterable[tuple[str, str]]) -> Iterator[tuple[str, Sequence[str]]]:
    """(type, text) -> (type, some of its texts)."""
    by_type: dict[str, list[str]] = {}
    for kind, text in pairs:
        by_type.setdefault(kind, []).append(text)
    for kind, texts in by_type.items():
        for start in range(0, len(texts), BATCH):
            yield kind, texts[start : start + BATCH]


async def together(items: Iterable[Item], work: Callable[[Item], Awaitable[Result]]) -> list[Result]:
    """What `work` gives of each, in their order, some at a time."""
    slots = asyncio.Semaphore(AT_ONCE)

    async def one(item: Item) -> Result:
        async with slots:
            return await work(item)

    return await asyncio.gather(*(one(item) for item in items))
