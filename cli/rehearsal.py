"""`vaportrail plan`: what objects would change in the data plane of a node, with nothing done.

The server rehearses the transaction, and so adds what it does of itself; the node's agent compiles what comes of it,
beside what it has.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.agent import AGENT, Introspect, ask_agent
from cli.api import SERVER, Api, ask
from cli.objects import completion
from cli.output import Failure, Format, Output, counted, fail, print_json

if TYPE_CHECKING:
    from api_client import ApiClient
    from cli.objects.plan import Step

Change = Mapping[str, Any]


def plan(
    file: Annotated[
        str | None, typer.Argument(metavar="[FILE]", help="As for apply; - is standard input.", show_default=False)
    ] = None,
    delete: Annotated[
        list[str] | None,
        typer.Option(
            "--delete", metavar="TYPE/NAME", autocompletion=completion.paths,
            help="Also delete this, as rm -r would; repeatable.",
        ),
    ] = None,
    owner: Annotated[str | None, typer.Option(metavar="NAME", help="As for apply.")] = None,
    prune: Annotated[bool, typer.Option("--prune", help="As for apply.")] = False,
    introspect: Introspect = AGENT,
    api: Api = SERVER,
    output: Output = Format.table,
) -> None:  # fmt: skip
    """What applying a file would change on this node, open connections included; nothing is done."""
    from cli.objects import apply, documents, removal
    from cli.objects import plan as steps

    if file is None and not delete:
        fail("a FILE is needed, or --delete TYPE/NAME", 2)
    if prune and not owner:
        fail("--prune needs --owner NAME: only what an owner has marked is deleted", 2)
    try:
        declared = documents.read(documents.read_text(file), file) if file is not None else []
    except Failure as failure:
        fail(str(failure), failure.status)

    async def rehearsed(client: "ApiClient") -> tuple[list["Step"], Sequence[Change], int]:
        wanted = await apply.steps(client, declared, owner, prune=prune)
        if delete:
            wanted += removal.steps(await removal.planned(client, delete, recursive=True))
        changes = await steps.rehearsed(client, wanted)
        return wanted, changes, client.revision or await client.newest_revision()

    wanted, changes, base = ask(api, rehearsed)
    page = ask_agent(introspect, "/plan", {"base": base, "changes": changes})
    page["objects"] = _objects(wanted, changes)
    if output == Format.json:
        print_json(page)
        return
    for line in _lines(page):
        typer.echo(line)


def _objects(wanted: Sequence["Step"], changes: Sequence[Change]) -> list[dict[str, Any]]:
    """What becomes of each object in the end. by_server: it is not in the file, the server does it of itself."""
    asked = {(step.type, step.fq_name) for step in wanted if step.operation is not None}
    verbs = {"create": "created", "update": "updated", "delete": "deleted"}
    found: dict[str, dict[str, Any]] = {}
    for change in changes:
        key, verb = (change["type"], tuple(change["fq_name"])), verbs[change["operation"]]
        before = found.pop(change["uuid"], None)
        if before is not None and before["verb"] == "created":
            if verb == "deleted":
                continue
            verb = "created"
        found[change["uuid"]] = {
            "verb": verb, "type": change["type"], "uuid": change["uuid"], "fq_name": change["fq_name"],
            "by_server": key not in asked,
        }  # fmt: skip
    return list(found.values())


def _lines(page: dict[str, Any]) -> Iterator[str]:
    from cli.objects import paths

    counts = Counter(each["verb"] for each in page["objects"])
    yield "objects: " + (", ".join(f"{counts[verb]} {verb}" for verb in counts) or "nothing differs")
    for each in page["objects"]:
        if each["by_server"]:
            yield f"  by the server itself: {paths.show(each['type'], each['fq_name'])} {each['verb']}"
    yield from _revisions(page["node"], **page["revision"])
    for unit in page["units"]:
        yield f"{unit['title']} {unit['change']}"
        for line in unit["lines"]:
            yield f"{'  ' * (line['depth'] + 1)}{'!' if line['cuts'] else line['sign']} {line['text']}"
    for title, name in (("not used, or limited:", "found"), ("no longer said:", "lost")):
        if page[name]:
            yield title
            yield from (f"  {reason['text']}" for reason in page[name])
    if not page["units"]:
        yield f"nothing on node {page['node']} would change"
        return
    cuts = any(line["cuts"] for unit in page["units"] for line in unit["lines"])
    yield f"{counted(len(page['units']), 'unit')} of node {page['node']} would change; " + (
        "open connections end where marked !" if cuts else "no open connection ends"
    )


def _revisions(node: str, base: int, seen: int) -> Iterator[str]:
    if seen < base:
        yield f"node {node} has only seen revision {seen} of {base}: what came between is not regarded"
    elif seen > base:
        yield f"somebody wrote meanwhile: planned on revision {base}, compared with {seen}; better ask again"
