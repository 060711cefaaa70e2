"""`vaportrail log`: who changed what and when, and what it was before."""

import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer

from cli.api import SERVER, Api, ask
from cli.objects import completion, paths
from cli.output import Failure, Format, Output, fail, print_json

if TYPE_CHECKING:
    from api_client import ApiClient

Change = Mapping[str, Any]
Query = Mapping[str, str]

LINES = 20
HELD = 60  # seconds that the server holds the request of one who follows
LONGEST = 200  # characters of a value


def log(
    path: Annotated[
        str | None,
        typer.Argument(
            metavar="[TYPE/NAME|UUID]", autocompletion=completion.paths, help="Only this object.", show_default=False
        ),
    ] = None,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Go on with what is changed from now on.")] = False,
    lines: Annotated[
        int | None,
        typer.Option("-n", "--lines", min=1, max=1000, help="The last so many changes.", show_default=str(LINES)),
    ] = None,
    since: Annotated[int | None, typer.Option(min=0, metavar="REVISION", help="All changes after it.")] = None,
    type: Annotated[str | None, typer.Option("--type", metavar="TYPE", help="Only objects of this type.")] = None,
    user: Annotated[str | None, typer.Option(metavar="NAME", help="Only what this user changed.")] = None,
    request: Annotated[str | None, typer.Option(metavar="ID", help="Only what this request changed.")] = None,
    output: Output = Format.table,
    api: Api = SERVER,
) -> None:
    """Who changed what and when, and what it was before; the newest at the end.

    -o json prints a list; with -f one object a line.
    """
    if since is not None and lines is not None:
        fail("--since is all after a revision, --lines the last ones: say one of them", 2)
    start = {"since": str(since)} if since is not None else {"last": str(lines or LINES)}
    given = {"type": type, "user": user, "request_id": request}

    async def show(client: "ApiClient") -> list[Change]:
        only = {name: value for name, value in given.items() if value is not None}
        only |= await _only(client, path) if path is not None else {}
        kept = []
        async for change in _changes(client, only, start, follow=follow):
            if output is Format.json and not follow:
                kept.append(change)
                continue
            sys.stdout.write(orjson.dumps(change).decode() + "\n" if output is Format.json else told(change))
            sys.stdout.flush()
        return kept

    with suppress(KeyboardInterrupt):
        found = ask(api, show)
        if output is Format.json and not follow:
            print_json(found)


async def _only(client: "ApiClient", path: str) -> Query:
    """The changes of one object. One that is gone is found by its uuid or its whole name."""
    from cli.objects import lookup

    if paths.is_uuid(path):
        return {"uuid": path}
    kind, name = paths.parse_object(path)
    try:
        return {"uuid": (await lookup.named(client, kind, name)).uuid}
    except Failure:
        gone = {"type": kind.name, "fq_name_str": name}
        if (await client.changes({**gone, "last": "1"}))["changes"]:
            return gone
        raise


async def _changes(client: "ApiClient", only: Query, start: Query, *, follow: bool) -> AsyncIterator[Change]:
    place = start
    while True:
        page = await client.changes({**only, **place})
        for change in page["changes"]:
            yield change
        if page["next"] is not None:
            place = {"since": page["next"]}
        elif follow:
            place = {"since": str(page["revision"]), "wait": str(HELD)}
        else:
            return


# --- for people


def told(change: Change) -> str:
    """A line, and one for each value that an update changed."""
    head = [
        f"{change['time'][:19]}Z", str(change["revision"]), change["operation"],
        paths.show(change["type"], change["fq_name"]), change["user"] and f"by {change['user']}", change["request_id"],
    ]  # fmt: skip
    lines = ["  ".join(word for word in head if word)]
    for name, value in change.get("fields", {}).items():
        if "old" in value:
            lines += differences(name, value["old"], value["new"])
        else:
            lines.append(f"{name}: ? -> {shown(value['new'])}")
    return "\n    ".join(lines) + "\n"


def differences(name: str, old: Any, new: Any) -> Iterator[str]:
    """A line for each member that differs, for each element that a list has gained or lost."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in [*old, *(key for key in new if key not in old)]:
            if old.get(key) != new.get(key):
                yield from differences(f"{name}.{key}", old.get(key), new.get(key))
    elif isinstance(old or [], list) and isinstance(new or [], list):
        before, after = old or [], new or []
        lost, gained = (
            [one for one in some if one not in others] for some, others in ((before, after), (after, before))
        )
        if not lost and not gained:
            yield f"{name}: in another order"
        yield from (f"{name}: - {shown(one)}" for one in lost)
        yield from (f"{name}: + {shown(one)}" for one in gained)
    else:
        yield f"{name}: {shown(old)} -> {shown(new)}"


def shown(value: Any) -> str:
    if isinstance(value, dict) and value.keys() == {"to", "uuid", "attr"}:  # a reference
        return ":".join(value["to"]) + (f" {shown(value['attr'])}" if value["attr"] else "")
    text = orjson.dumps(value).decode()
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."
