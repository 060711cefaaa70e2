"""`vaportrail stats`: what has gone through each VIP, listener and member, in all or in a second."""

import time
from collections.abc import Callable, Iterator
from typing import Annotated, Any

import click
import orjson
import typer

from cli.agent import AGENT, Introspect, VrfOption, ask_agent
from cli.output import Format, Output, print_json, print_table

COUNTERS = ("connections", "packets", "bytes", "reverse_packets", "reverse_bytes")
Row = dict[str, Any]
Path = tuple[Any, ...]


def stats(
    service: Annotated[str | None, typer.Argument(help="Only this service, by any name or address.")] = None,
    introspect: Introspect = AGENT,
    vrf: VrfOption = None,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Rates in a second, again and again.")] = False,
    interval: Annotated[float, typer.Option(min=0.1, help="Seconds between two looks of --watch.")] = 2.0,
    output: Output = Format.table,
) -> None:
    """Connections, packets and bytes of each VIP, listener and member, counted by the kernel since the VRF was made."""

    def ask() -> Any:
        return ask_agent(introspect, "/stats", service=service, vrf=vrf)

    if watch:
        _follow(ask, interval, output)
        return
    page = ask()
    if output == Format.json:
        print_json(page)
    elif not page:
        typer.echo("no VIP")
    else:
        _print(page)


def _print(page: list[Row]) -> None:
    print_table(
        ["VIP, listener, member", "Connections", "Packets", "Bytes", "Packets back", "Bytes back"],
        ([name, *(row[counter] for counter in COUNTERS)] for name, row in _rows(page)),
    )


def _rows(page: list[Row]) -> Iterator[tuple[str, Row]]:
    for vip in page:
        yield f"{vip['vip']} {vip['name']} VRF {vip['vrf']}", vip
        for listener in vip["listeners"]:
            gone = "" if listener["current"] else " (gone)"
            yield f"  {listener['protocol']} {listener['port']}{gone}{_limit(listener['places'])}", listener
            for member in listener["members"]:
                if member["port"] == 0:
                    yield "    members that have left", member
                    continue
                name = (member["member_name"] or member["member"] or "").rsplit(":", 1)[-1]
                weight = f"weight {member['weight']}" if member["weight"] else "no member now"
                address = f"[{member['address']}]" if ":" in member["address"] else member["address"]
                yield f"    {address}:{member['port']} {name} {weight}", member


def _limit(places: dict[str, int] | None) -> str:
    if places is None:
        return ""
    refused = f", {places['refused']} refused" if places["refused"] else ""
    return f", {places['taken']} of {places['limit']} connections{refused}"


def _follow(ask: Callable[[], Any], interval: float, output: Format) -> None:
    """Until Ctrl-C."""
    before, at = ask(), time.monotonic()
    try:
        while True:
            time.sleep(interval)
            now, then = ask(), at
            at = time.monotonic()
            page = rates(before, now, at - then)
            before = now
            if output == Format.json:
                typer.echo(orjson.dumps(page).decode())
            else:
                click.clear()
                _print(page)
    except KeyboardInterrupt:
        return


def rates(before: list[Row], now: list[Row], seconds: float) -> list[Row]:
    """`now` with what was added in a second in the place of the counters; what is new counts from 0."""
    counted = dict(_paths(before))
    paths = {id(row): path for path, row in _paths(now)}

    def rate(row: Row) -> Row:
        old = counted.get(paths[id(row)], {})
        added = {name: round(max(0, row[name] - old.get(name, 0)) / seconds, 1) for name in COUNTERS}
        return {**row, **added}

    return [
        {**rate(vip), "listeners": [
            {**rate(listener), "members": [rate(member) for member in listener["members"]]}
            for listener in vip["listeners"]
        ]}
        for vip in now
    ]  # fmt: skip


def _paths(page: list[Row]) -> Iterator[tuple[Path, Row]]:
    for vip in page:
        path: Path = (vip["vrf"], vip["vip"])
        yield path, vip
        for listener in vip["listeners"]:
            below = (*path, listener["protocol"], listener["port"])
            yield below, listener
            for member in listener["members"]:
                yield (*below, member["address"], member["port"]), member
