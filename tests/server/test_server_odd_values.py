"""Values of the right form with one odd text or number inside, for every property of every type that has rules of its
own: the rules refuse it or take it, and never stumble."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest
from serverlab import running

import schema
from api_server import care
from api_server.app import create_app
from api_server.resources.registry import TYPES
from api_server.settings import Settings

MODEL = schema.load()
TEXTS = ("1" * 5000, "[" * 5000, "\u00b2", "a:b:c", "10.0.0.0%x", "")
NUMBERS = (2**63 - 1, -1, 1e308)
DEEPEST = 4
EXPECTED = {200, 400, 403, 404, 409, 412, 501}


def plain(type: str, depth: int = 0) -> Any:
    """A value of a type, with all its members."""
    if found := MODEL.complex_types.get(type):
        members = found.members.values() if depth < DEEPEST else ()
        inner = {member.name: plain(member.type, depth + 1) for member in members}
        return {name: [value] if found.members[name].is_list else value for name, value in inner.items()}
    simple = MODEL.simple_types.get(type)
    match MODEL.base(type):
        case "string":
            return simple.enum[0] if simple and simple.enum else "a"
        case "integer":
            return simple.minimum if simple and simple.minimum is not None else 1
        case _:
            return True


def odd(type: str, depth: int = 0) -> Iterator[Any]:
    """Values of a type with one that is odd, beside all other members and without them."""
    found = MODEL.complex_types.get(type)
    if found is None:
        yield from {"string": TEXTS, "integer": NUMBERS}.get(str(MODEL.base(type)), ())
        return
    whole = plain(type, depth)
    for member in found.members.values() if depth < DEEPEST else ():
        for value in odd(member.type, depth + 1):
            one = {member.name: [value] if member.is_list else value}
            yield from (one, {**whole, **one})


async def made(client: httpx.AsyncClient, kind: str, names: dict[str, list[str]]) -> list[str]:
    """The name of an object of a type, below others that are made for it. names: of those that are made already."""
    if kind not in names:
        parents = sorted(MODEL.types[kind].parents, key=lambda one: one not in ("project", "domain"))
        above = await made(client, parents[0], names) if parents else []
        names[kind] = ["default-global-system-config"] if kind == "global-system-config" else [*above, "odd"]
        body = {"fq_name": names[kind], "parent_type": next(iter(parents), None)}
        await client.post(f"/{kind}s", json={kind: body})
    return names[kind]


async def sent(client: httpx.AsyncClient, kind: str, fq_name: list[str]) -> AsyncIterator[tuple[str, httpx.Response]]:
    """Each odd value of a type's properties in an update of its object; in a create, where that needs more than a
    name."""
    found = await client.post("/fqname-to-id", json={"type": kind, "fq_name": fq_name})
    for name, declared in MODEL.types[kind].properties.items():
        for value in odd(declared.type):
            if found.status_code == 200:
                yield name, await client.put(f"/{kind}/{found.json()['uuid']}", json={kind: {name: value}})
            else:
                body = {"fq_name": fq_name, "parent_type": next(iter(MODEL.types[kind].parents), None), name: value}
                yield name, await client.post(f"/{kind}s", json={kind: body})


@pytest.mark.slow
async def test_no_rule_stumbles(database_url: str) -> None:
    names: dict[str, list[str]] = {}
    seen = set()
    async with running(create_app(Settings(database=database_url))) as client:
        for kind in TYPES:
            async for name, answer in sent(client, kind, await made(client, kind, names)):
                assert answer.status_code in EXPECTED, (kind, name, answer.text)
                seen.add(answer.status_code)
        for kind in TYPES:
            assert (await client.get(f"/{kind}s?detail=true")).status_code == 200
    assert {200, 400} <= seen
    assert care.check(database_url).left == []
