"""`vaportrail nodes`, and what `wait --all-nodes` and `status` tell of them: asked of the API server."""

import asyncio
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from cli.api import SERVER, Api, ask
from cli.output import Format, Output, counted, fail, print_json, print_table, span

Node = dict[str, Any]

NAMED = 10
"""Nodes that a summary tells of one by one."""


def nodes(
    name: Annotated[str | None, typer.Argument(metavar="NODE", help="Only this one.", show_default="all")] = None,
    forget: Annotated[bool, typer.Option("--forget", help="Forget NODE, until it reports again.")] = False,
    api: Api = SERVER,
    output: Output = Format.table,
) -> None:
    """How far each node is, and what it could not program and why."""
    if forget:
        if name is None:
            fail("--forget goes with a node: vaportrail nodes NODE --forget", 2)
        ask(api, lambda client: client.forget_node(name))
        return
    found = ask(api, lambda client: client.nodes())
    if name is not None:
        found = [node for node in found if node["node"] == name]
        if not found:
            fail(f"no node is called {name}: none has reported, and there is no virtual-router of that name")
    if output is Format.json:
        print_json(found)
        return
    print_table(
        ["Node", "State", "Applied", "Behind", "Last report", "Units", "Failed", "Back-end", "Version"],
        ([
            node["node"], node["state"], node["revision"], node["behind"] if node["revision"] is not None else None,
            f"{span(node['age'])} ago" if node["age"] is not None else None,
            sum(agent["units"].values()) if agent else None, agent and agent["units"]["error"],
            agent and agent["backend"], agent and agent["version"],
        ] for node in found for agent in [node["agent"]]),
    )  # fmt: skip
    for node in found:
        for line in troubles(node, whole=name is not None):
            typer.echo(f"{node['node']}: {line}")
    if not found:
        typer.echo("no node has reported, and there is no virtual-router")


def troubles(node: Node, *, whole: bool) -> Iterator[str]:
    """What a node lacks and could not make; whole: also what it did otherwise than was asked for, and why."""
    agent = node["agent"] or {"problems": [], "reasons": [], "more_reasons": 0}
    yield from (f"problem: {problem}" for problem in agent["problems"])
    told = [reason for reason in agent["reasons"] if whole or reason["code"] == "backend"]
    for reason in told:
        yield f"{reason['type']} {reason['name'] or reason['uuid']}: {reason['text']}"
    if more := len(agent["reasons"]) - len(told) + agent["more_reasons"]:
        where = "vaportrail why, asked of its agent" if whole else f"vaportrail nodes {node['node']}"
        yield f"{counted(more, 'more reason')} why something is not used ({where})"


def wait_for_all(
    api: str, revision: int | None, seconds: float, ignored: Sequence[str], output: Format, *, silent: bool
) -> None:
    """Until a revision is on all nodes; else the command fails, and says where it is not."""
    page = ask(api, lambda client: client.wait_for_nodes(revision, seconds, ignored=ignored, silent=silent))
    if output is Format.json:
        print_json(page)
    elif page["reached"]:
        typer.echo(f"revision {page['revision']} is applied on {counted(page['nodes'], 'node')}")
    for node in page["failing"]:
        failed = [one["text"] for one in node["agent"]["reasons"] if one["code"] == "backend"]
        more = node["agent"]["units"]["error"] - len(failed)
        if not failed:  # it has said how many, and not why
            failed, more = [f"{counted(more, 'unit')} could not be made"], 0
        typer.echo(f"{node['node']}: {'; '.join(failed)}{f' and {more} more' if more > 0 else ''}", err=True)
    if not page["reached"]:
        for node in page["missing"]:
            typer.echo(f"{node['node']}: {plight(node)}", err=True)
        missing = counted(len(page["missing"]), "node")
        fail(f"revision {page['revision']} is not applied on {missing} of {page['nodes']} after {seconds:g} s")


def told_by(api: str) -> tuple[Sequence[Node], str]:
    """The nodes, and why they are not known."""
    from api_client import ApiClient, ClientError

    async def read() -> Sequence[Node]:
        async with ApiClient(api) as client:
            return await client.nodes()

    try:
        return asyncio.run(read()), ""
    except ClientError as error:
        return [], f"not known: {error}"


def summary(found: Sequence[Node]) -> Iterator[str]:
    """How many nodes are up to date, then those that are not."""
    late = [node for node in found if node["state"] != "reporting" or node["behind"]]
    yield f"{len(found) - len(late)} of {len(found)} have applied all there is"
    yield from (f"{node['node']}: {plight(node)}" for node in late[:NAMED])
    if len(late) > NAMED:
        yield f"and {len(late) - NAMED} more (vaportrail nodes)"
    for node in found:
        if node["agent"] and (failed := node["agent"]["units"]["error"]):
            yield f"{node['node']}: {counted(failed, 'unit')} could not be made (vaportrail nodes {node['node']})"


def plight(node: Node) -> str:
    """Why it is not known that a node has all there is."""
    if node["state"] == "never reported":
        return "never reported"
    applied = f"has applied revision {node['revision']}"
    if node["state"] == "silent":
        since = datetime.fromisoformat(node["silent_since"])
        return (
            f"silent since {since:%Y-%m-%d %H:%M:%SZ} ({span((datetime.now(UTC) - since).total_seconds())}), {applied}"
        )
    behind = f", {node['behind']} behind" if node["behind"] else ""
    return f"{applied}{behind}, last report {span(node['age'])} ago"
