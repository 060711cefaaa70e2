"""`vaportrail rt | nh | vif | status | why | trace | wait`: the data plane of one node, asked of its agent.

Columns and words are those of Contrail's vRouter tools (`rt --dump`, `nh --list`, `vif --list`); `-o json`
gives the agent's own rows.
"""

from datetime import UTC, datetime
from enum import StrEnum
from itertools import groupby
from typing import Annotated, Any

import typer

from cli.agent import AGENT, Introspect, Transport, VrfOption, ask_agent
from cli.api import SERVER, Api, ask
from cli.nodes import wait_for_all
from cli.output import Format, Output, counted, fail, print_json, print_table

MARKS = {True: "+", False: "!", None: " "}  # used or passes; not used or refused; neither


class Family(StrEnum):
    inet = "inet"
    inet6 = "inet6"


def rt(
    introspect: Introspect = AGENT,
    vrf: VrfOption = None,
    family: Annotated[Family | None, typer.Option(help="Only routes of IPv4 or of IPv6.", show_default=False)] = None,
    output: Output = Format.table,
) -> None:
    """Routing tables: a VIP's prefix leads to a Composite nexthop, its ECMP group."""
    rows = [row for row in ask_agent(introspect, "/routes", vrf=vrf) if family in (None, _family(row))]
    if output == Format.json:
        print_json(rows)
        return
    for number, ((index, of), routes) in enumerate(groupby(rows, key=lambda row: (row["vrf"], _family(row)))):
        table = list(routes)
        name = f"vRouter {'inet4' if of is Family.inet else of} routing table 0/{index}/unicast"
        typer.echo("\n" * (number > 0) + f"{name}  {table[0]['vrf_name'] or ''}")
        typer.echo("Flags: R=Refused, no usable member\n")
        print_table(
            ["Destination", "PPL", "Flags", "Label", "Nexthop", "Type", "Name"],
            ([row["prefix"], row["ppl"], row["flags"], row["label"], row["nexthop"], _kind(row), row["name"]]
             for row in table),
        )  # fmt: skip
    if not rows:
        typer.echo("no routes")


def _family(route: dict[str, Any]) -> Family:
    return Family.inet6 if ":" in route["prefix"] else Family.inet


def _kind(route: dict[str, Any]) -> str | None:
    if not route["type"]:
        return None
    return f"Composite({route['members']})" if route["type"] == "composite" else str(route["type"]).capitalize()


def nh(introspect: Introspect = AGENT, vrf: VrfOption = None, output: Output = Format.table) -> None:
    """Nexthops: Encap is one interface, Tunnel one of another node, Composite is an ECMP group of them."""
    rows = ask_agent(introspect, "/nexthops", vrf=vrf)
    if output == Format.json:
        print_json(rows)
        return
    print_table(
        ["Id", "Type", "Fmly", "Vrf", "Ref_cnt", "Flags", "Leads to"],
        ([row["id"], row["type"], row["family"], row["vrf"], row["ref_count"], ", ".join(row["flags"]), _leads_to(row)]
         for row in rows),
    )  # fmt: skip


def _leads_to(nexthop: dict[str, Any]) -> str:
    if nexthop["members"]:
        return "Sub NH(weight): " + " ".join(f"{member['id']}({member['weight']})" for member in nexthop["members"])
    tunnel = f"Dip:{nexthop['router']} Vni:{nexthop['vni']}" if nexthop["router"] else None
    parts = (f"Oif:{nexthop['device'] or '-'}", nexthop["address"], nexthop["interface_name"], tunnel)
    return " ".join(filter(None, parts))


def vif(
    introspect: Introspect = AGENT,
    vrf: VrfOption = None,
    remote: Annotated[
        bool, typer.Option("--remote", help="Those of other nodes and other VRFs, as this node reaches them.")
    ] = False,
    output: Output = Format.table,
) -> None:
    """Interfaces of this node, their workloads and counters."""
    rows = ask_agent(introspect, "/remotes" if remote else "/interfaces", vrf=vrf)
    if output == Format.json:
        print_json(rows)
        return
    if remote:
        print_table(["Interface", "IPaddr", "Vrf", "Router", "VNI", "Through VRF", "State"], ([
            row["name"], " ".join(row["addresses"]), row["vrf"], row["router"] or "-", row["vni"] or "-",
            row["through"] or "-", row["text"] or row["state"],
        ] for row in rows))  # fmt: skip
        return
    columns = ["Vif", "POD", "IPaddr", "HWaddr", "Vrf", "RX packets/bytes", "TX packets/bytes", "State"]
    print_table(columns, ([
        row["device"], row["workload"], " ".join(one["address"] for one in row["addresses"]), row["mac"], row["vrf"],
        f"{row.get('rx_packets', 0)}/{row.get('rx_bytes', 0)}", f"{row.get('tx_packets', 0)}/{row.get('tx_bytes', 0)}",
        row["text"] or row["state"],
    ] for row in rows))  # fmt: skip


def agent_status(introspect: str) -> dict[str, Any]:
    """What the agent is doing: connection, revisions, units, errors, refused packets."""
    page: dict[str, Any] = ask_agent(introspect, "/status")
    return page | {"drops": ask_agent(introspect, "/drops")}


def print_status(page: dict[str, Any]) -> None:
    states, units, revision = page["states"], page["units"], page["revision"]
    connection = "connected" if page["connected"] else f"waiting: {page['waiting_for'] or 'not connected yet'}"
    lines = {
        "node": page["node"],
        "API server": f"{page['api']}, {connection}",
        "back-end": f"{page['backend']}, workloads: {page['workloads']}",
        "revision": f"applied {_mark(revision['applied'])}, seen {_mark(revision['seen'])}",
        "units": ", ".join(f"{count} {kind}" for kind, count in units.items()),
        "states": ", ".join(f"{count} {state}" for state, count in states.items()),
        "not used": f"{counted(page['reasons'], 'reason')} (vaportrail why NAME)",
    }
    for name, text in lines.items():
        typer.echo(f"{name + ':':<12}{text}")
    drift = page["drift"]
    last = f", last: {drift['last']['found']} ({_time(drift['last']['at'])})" if drift["last"] else ""
    typer.echo(f"{'drift:':<12}{drift['repaired']} repaired{last}")
    for found in drift["waiting"]:
        typer.echo(f"{'drift:':<12}{found}")
    if page["reports"]:
        typer.echo(f"{'reports:':<12}the API server does not take them: {page['reports']}")
    for problem in page["problems"]:
        typer.echo(f"{'problem:':<12}{problem}")
    for error in page["errors"]:
        typer.echo(f"{'error:':<12}{error['unit']}: {error['text']} ({counted(error['attempts'], 'attempt')})")
    for drop in page["drops"]:
        packets = counted(drop["packets"], "packet")
        typer.echo(f"{'refused:':<12}{drop['reason']}: {packets} in VRF {drop['vrf_name'] or drop['vrf']}")


def _mark(mark: dict[str, Any]) -> str:
    if not mark["revision"]:
        return "none"
    return f"{mark['revision']} at {_time(mark['at'])}"


def _time(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%H:%M:%S.%f}"[:-3] + "Z"


def why(
    question: Annotated[str, typer.Argument(metavar="SERVICE-OR-MEMBER", help="A name, fq_name, uuid or address.")],
    introspect: Introspect = AGENT,
    output: Output = Format.table,
) -> None:
    """In words: what of a service, listener, pool, member or interface is used, what is not, and why."""
    page = ask_agent(introspect, "/why", q=question)
    if output == Format.json:
        print_json(page)
    for answer in page["answers"] if output == Format.table else ():
        typer.echo(f"{answer['type']} {answer['name']}")
        for line in answer["lines"]:
            typer.echo(f"{'  ' * (line['depth'] + 1)}{MARKS[line['good']]} {line['text']}")
    if not page["answers"]:
        fail(f"no service, part of one, interface or floating-ip that the agent knows is called {question!r}")


def trace(
    destination: Annotated[
        str, typer.Argument(metavar="VIP:PORT", help="Or [VIP]:PORT of IPv6; a service's or pod's name, as well.")
    ],
    pod: Annotated[
        str,
        typer.Option("--from", metavar="POD", help="Who sends: a workload, an interface's name or uuid, an address."),
    ],
    proto: Annotated[Transport, typer.Option(help="tcp or udp")] = Transport.tcp,
    sport: Annotated[int | None, typer.Option(min=1, max=65535, help="Source port.", show_default="random")] = None,
    introspect: Introspect = AGENT,
    output: Output = Format.table,
) -> None:
    """The way of one packet, step by step, asked of the kernel itself; nothing is sent."""
    page = ask_agent(introspect, "/trace", pod=pod, to=destination, protocol=proto.value, sport=sport)
    if output == Format.json:
        print_json(page)
        return
    width = max(len(step["step"]) for step in page["steps"])
    for step in page["steps"]:
        typer.echo(f"{MARKS[step['good']]} {step['step']:<{width}}  {step['text']}")


def wait(
    revision: Annotated[int | None, typer.Argument(min=0, help="Default: the newest there is now.")] = None,
    all_nodes: Annotated[bool, typer.Option("--all-nodes", help="Of all nodes, as the API server knows them.")] = False,
    ignored: Annotated[
        list[str] | None, typer.Option("--except", metavar="NODE", help="Not of this node; may be repeated.")
    ] = None,
    ignore_silent: Annotated[
        bool, typer.Option("--ignore-silent", help="Only of nodes that report, not of silent ones.")
    ] = False,
    introspect: Introspect = AGENT,
    api: Api = SERVER,
    timeout: Annotated[float, typer.Option(min=0, help="Seconds.")] = 30.0,
    output: Output = Format.table,
) -> None:
    """Until the data plane of this node has a revision, or that of all nodes."""
    if all_nodes:
        wait_for_all(api, revision, timeout, ignored or (), output, silent=not ignore_silent)
        return
    if ignored or ignore_silent:
        fail("--except and --ignore-silent go with --all-nodes", 2)
    wanted = ask(api, lambda client: client.newest_revision()) if revision is None else revision
    page = ask_agent(introspect, "/wait", within=timeout + 5, revision=wanted, timeout=timeout)
    if output == Format.json:
        print_json(page)
    if not page["reached"]:
        fail(
            f"revision {page['revision']} is not applied after {timeout:g} s; applied is {page['applied']['revision']}"
        )
    if output == Format.table:
        typer.echo(f"revision {page['revision']} is applied")
