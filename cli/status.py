"""`vaportrail status`: of the agent of this node and of all nodes, or what they have made of an object."""

from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer

from cli import nodes
from cli.agent import AGENT, Introspect
from cli.api import SERVER, Api, ask
from cli.dataplane import agent_status, print_status
from cli.output import Format, Output, counted, fail, print_json, span

if TYPE_CHECKING:
    from api_client import ApiClient

Status = dict[str, Any]

BELOW = ("listeners", "pools", "members")


def status(
    object: Annotated[
        str | None, typer.Argument(metavar="OBJECT", help="A load balancer, or TYPE/NAME.", show_default="the agent")
    ] = None,
    watch: Annotated[bool, typer.Option("--watch", help="Of an object: go on, with a line for each change.")] = False,
    introspect: Introspect = AGENT,
    api: Api = SERVER,
    output: Output = Format.table,
) -> None:
    """What the agent is doing, and how far all nodes are; with an OBJECT, what nodes have made of it and of all below
    it, and since when."""
    if object is None:
        if watch:
            fail("--watch goes with an object: vaportrail status loadbalancer/NAME --watch", 2)
        _overview(introspect, api, output)
        return
    with suppress(KeyboardInterrupt):
        ask(api, lambda client: _show(client, object, introspect, output, watch=watch))


def _overview(introspect: str, api: str, output: Format) -> None:
    """Of the agent here, and of all nodes; of those, too, where there is no agent, which is a failure all the same."""
    page: Status | None = None
    try:
        page = agent_status(introspect)
        api = page["api"] if api == SERVER else api
    finally:
        found, unknown = nodes.told_by(api)
        if output is Format.json:
            print_json((page or {}) | {"nodes": None if unknown else found})
        else:
            if page is not None:
                print_status(page)
            for line in [unknown] if unknown else nodes.summary(found):
                typer.echo(f"{'nodes:':<12}{line}")


async def _show(client: "ApiClient", object: str, introspect: str, output: Format, *, watch: bool) -> None:
    from cli.objects import lookup

    found = await lookup.find(client, object if "/" in object else f"loadbalancer/{object}")
    shown = await client.status(found.type.name, found.uuid)
    await _count(shown, introspect)
    if not watch:
        print_json(shown) if output is Format.json else _print(shown)
        return
    _print(shown) if output is Format.table else typer.echo(orjson.dumps(shown))
    known = dict(_flat(shown))
    async for changed in client.follow_statuses([found.type.name]):
        if changed["uuid"] != found.uuid:
            continue
        present = dict(_flat(await client.status(found.type.name, found.uuid)))
        for uuid, line in present.items():
            if _told(known.get(uuid)) != _told(line):
                now = f"{datetime.now(UTC):%H:%M:%SZ}"
                typer.echo(orjson.dumps(_bare(line)) if output is Format.json else f"{now}  {_line(line)}")
        known = present


async def _count(shown: Status, introspect: str) -> None:
    """Open connections of members that are drained, if the agent that is asked has them."""
    from api_client import ApiClient, ClientError

    draining = [one for _, one in _flat(shown) if one["operating_status"] == "DRAINING"]
    if not draining:
        return
    with suppress(ClientError):
        async with ApiClient(introspect) as agent:
            rows = {row["uuid"]: row for row in await agent.request("GET", "/statuses", within=5.0)}
            for one in draining:
                if (row := rows.get(one["uuid"])) is not None:
                    one["connections"] = row.get("connections")


def _print(status: Status, depth: int = 0) -> None:
    typer.echo(f"{'  ' * depth}{_line(status)}")
    for one in _children(status):
        _print(one, depth + 1)


def _line(status: Status) -> str:
    """member m1 10.0.0.1:80  ERROR: fails TCP monitor hm, since 2026-01-31 12:00:00Z (5 min), node n1"""
    kind = status["type"].removeprefix("loadbalancer-")
    parts = [f"{kind} {status['name']}{_where(status)}  {status['operating_status']}"]
    if status["reason"]:
        parts[0] += f": {status['reason']}"
    if status["since"]:
        since = datetime.fromisoformat(status["since"])
        parts.append(f"since {since:%Y-%m-%d %H:%M:%SZ} ({span((datetime.now(UTC) - since).total_seconds())})")
    if status.get("connections") is not None:
        parts.append(f"{counted(status['connections'], 'connection')} open")
    if status["provisioning_status"] != "ACTIVE":
        parts.append(status["provisioning_status"])
    if nodes := ", ".join(f"{one['node']}{' (silent)' if one['stale'] else ''}" for one in status["nodes"]):
        parts.append(f"node{'s' if len(status['nodes']) > 1 else ''} {nodes}")
    return ", ".join(parts)


def _where(status: Status) -> str:
    if "vip_address" in status:
        return f" {status['vip_address']}"
    if "address" in status:
        address = f"[{status['address']}]" if ":" in status["address"] else status["address"]
        return f" {address}:{status.get('protocol_port', '-')}"
    return f" {status['protocol']} {status['protocol_port']}" if "protocol_port" in status else ""


def _children(status: Status) -> list[Status]:
    monitor = [status["healthmonitor"]] if "healthmonitor" in status else []
    return [*monitor, *(one for name in BELOW for one in status.get(name, ()))]


def _flat(status: Status) -> Iterator[tuple[str, Status]]:
    yield status["uuid"], status
    for one in _children(status):
        yield from _flat(one)


def _bare(status: Status) -> Status:
    return {name: value for name, value in status.items() if name not in (*BELOW, "healthmonitor")}


def _told(status: Status | None) -> object:
    """What makes a line worth another one."""
    return status and [status[name] for name in ("operating_status", "provisioning_status", "reason")]
