"""What the shell offers at Tab: types, names that the server has, keys of a type. Quick, and never an error."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import typer

import schema
from cli.api import SERVER
from cli.output import Misuse

WITHIN = 1.0  # seconds that a person waits for an answer of the server

Offer = tuple[str, str]
"""What to write, and what it is."""


def paths(context: typer.Context, incomplete: str) -> list[Offer]:
    return list(_paths(context, incomplete))


def names(kind: str) -> Callable[[typer.Context, str], list[Offer]]:
    """Offers objects of one type, without it."""

    def offer(context: typer.Context, incomplete: str) -> list[Offer]:
        found = paths(context, f"{kind}/{incomplete}")
        return [(path.partition("/")[2], whole) for path, whole in found]

    return offer


def assignments(context: typer.Context, incomplete: str) -> list[Offer]:
    """Keys of the type of the path that stands before."""
    from cli.objects import values
    from cli.objects.paths import parse

    try:
        found = parse(context.params.get("path") or "").type
    except Misuse:
        return []
    return [(f"{key}=", "") for key in values.keys(found) if key.startswith(incomplete)]


def _paths(context: typer.Context, incomplete: str) -> Iterator[Offer]:
    """Types; where only one is left, its objects as well, so that the shell does not take the type for the whole."""
    types = schema.load().types
    kind, slash, _ = incomplete.partition("/")
    if not slash:
        found = [name for name in types if name.startswith(incomplete)]
        yield from ((name, types[name].description) for name in found)
        kind = found[0] if len(found) == 1 else ""
    if kind in types:
        url = context.params.get("api") or SERVER
        for name, whole in short_names(_names(url, kind)):
            yield f"{kind}/{name}", whole


def short_names(fq_names: Sequence[Sequence[str]]) -> Iterator[Offer]:
    """The last element where only one object has it, else the whole name."""
    times = Counter(name[-1] for name in fq_names)
    for name in fq_names:
        whole = ":".join(name)
        yield (name[-1] if times[name[-1]] == 1 else whole), whole


def _names(url: str, kind: str) -> list[list[str]]:
    from api_client import ApiClient, ClientError

    async def ask() -> list[dict[str, Any]]:
        async with asyncio.timeout(WITHIN), ApiClient(url) as client:
            return await client.list(kind, exclude_hrefs="true")

    try:
        return [row["fq_name"] for row in asyncio.run(ask())]
    except (ClientError, TimeoutError):
        return []
