"""`vaportrail health`: the members that an agent probes, and what they answer."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from cli.agent import AGENT, Introspect, ask_agent
from cli.output import Format, Output, fail, print_json, print_table


def health(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="Of a member, pool, service, health monitor or interface.")
    ] = None,
    introspect: Introspect = AGENT,
    output: Output = Format.table,
) -> None:
    """Health of the members that are probed here; with a NAME also how it changed."""
    rows = ask_agent(introspect, "/health", q=name)
    if output == Format.json:
        print_json(rows)
        return
    if not rows:
        what = f"is about {name!r}" if name else "stands on this node"
        fail(f"no member that is probed {what}")
    columns = ["Member", "Target", "Monitor", "State", "Since", "Last answer", "Good/bad"]
    print_table(columns, (_cells(row) for row in rows))
    for row in rows if name else ():
        typer.echo(f"\n{row['name']}, {row['type']} every {row['delay']} s, {row['max_retries']} in a row:")
        for one in row["history"]:
            typer.echo(f"  {_at(one['at'])}  {one['state']}{': ' if one['reason'] else ''}{one['reason']}")


def _cells(row: dict[str, Any]) -> Sequence[object]:
    address = f"[{row['address']}]" if ":" in row["address"] else row["address"]
    state = f"{row['state']}{': ' if row['reason'] else ''}{row['reason']}"
    last = f"{row['error'] or 'good'}, {row['seconds'] * 1000:.1f} ms" if row["last"] else "none yet"
    return (row["name"] or row["member"], f"{address}:{row['port']}", f"{row['monitor']} ({row['type']})", state,
            _at(row["since"]), last, f"{row['good']}/{row['bad']}")  # fmt: skip


def _at(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%SZ}"
