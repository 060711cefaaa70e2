"""`vaportrail flow`: the flow table, once or live, with the columns of Contrail's `flow -l`."""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, Literal

import orjson
import typer

from cli.agent import AGENT, Introspect, Transport, VrfOption, ask_agent
from cli.output import Format, Output, counted, print_json, print_table

Row = dict[str, Any]
What = Literal["now", "new", "more", "closing", "end"]


class State(StrEnum):
    open = "open"
    unanswered = "unanswered"
    closing = "closing"


class Order(StrEnum):
    packets = "packets"
    bytes = "bytes"
    idle = "idle"
    expires = "expires"


def flow(
    introspect: Introspect = AGENT,
    vrf: VrfOption = None,
    proto: Annotated[Transport | None, typer.Option(help="Only this protocol.")] = None,
    vip: Annotated[str | None, typer.Option(metavar="ADDRESS", help="Only flows to this VIP.")] = None,
    port: Annotated[int | None, typer.Option(help="Only flows to this port of a VIP.")] = None,
    service: Annotated[str | None, typer.Option(help="Only flows to this service's VIPs, by any name.")] = None,
    source: Annotated[str | None, typer.Option(metavar="ADDRESS", help="Only flows from this client.")] = None,
    member: Annotated[
        str | None, typer.Option(help="Only flows to this pod: an interface (name, uuid), workload or address.")
    ] = None,
    state: Annotated[State | None, typer.Option(help="Only flows in this state.")] = None,
    active: Annotated[float | None, typer.Option(min=0, help="Only flows with a packet in so many seconds.")] = None,
    sort: Annotated[Order | None, typer.Option(help="Most packets or bytes first, or shortest idle or left.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="Rows at most.")] = 10_000,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Follow: new, changed and ended flows.")] = False,
    interval: Annotated[float, typer.Option(min=0.1, help="Seconds between two looks of --watch.")] = 1.0,
    output: Output = Format.table,
) -> None:
    """Flows in pairs: from a client to a VIP and on to a member, and back."""

    def ask(active: float | None) -> Any:
        return ask_agent(
            introspect, "/flows", limit=limit, vrf=vrf, protocol=proto, vip=vip, port=port, service=service,
            source=source, member=member, state=state, active=active, sort=sort,
        )  # fmt: skip

    if watch:
        _follow(ask, active, interval, output)
        return
    page = ask(active)
    if output == Format.json:
        print_json(page)
        return
    typer.echo(
        "Action: N=NAT, D=destination address, Pd=destination port, S=source address, Ps=source port; E:ECMP slot\n"
    )
    print_table(
        ["Source:Port/Destination:Port", "Proto", "V", "Action", "E", "Stats p/b", "Idle", "TTL", "Member"],
        (cells for row in page["flows"] for cells in _pair(row)),
    )
    shown = len(page["flows"])
    typer.echo(f"\n{counted(page['total'], 'flow')}" + (f", {shown} shown" if shown < page["total"] else ""))


def _pair(row: Row) -> Iterator[list[object]]:
    client, vip, member = _ends(row)
    protocol = row["protocol"].upper()
    flags = "" if row["state"] == "open" else f" {row['state']}"
    yield [
        f"{client} => {vip}", protocol, row["vrf"], row["action"], row["ecmp_index"],
        f"{row['packets']}/{row['bytes']}", f"{row['idle']:.0f}s", f"{row['expires']:.0f}s{flags}",
        f"{_name(row)} {member}",
    ]  # fmt: skip
    yield [
        f"{member} => {client}", protocol, row["vrf"], row["reverse_action"], None,
        f"{row['reverse_packets']}/{row['reverse_bytes']}", "", "", f"as {vip}",
    ]  # fmt: skip


def _ends(row: Row) -> tuple[str, str, str]:
    return tuple(  # type: ignore[return-value]  # three of them
        f"[{row[address]}]:{row[port]}" if ":" in row[address] else f"{row[address]}:{row[port]}"
        for address, port in (("source", "source_port"), ("vip", "port"), ("member_address", "member_port"))
    )


def _name(row: Row) -> str:
    return str(row["member_name"] or row["member"] or "").rsplit(":", 1)[-1]


# --- live


@dataclass
class Known:
    """A flow that was seen. since, gone: on the watcher's clock, when it was first seen, and when it will be forgotten
    unless another packet comes."""

    row: Row
    since: float
    gone: float


class Changes:
    """What happened between two looks at the flows that are active.

    A look brings only the flows with a packet since the last one, so it costs what happened, not what there is. A flow
    that shows no more packets is forgotten when its time is over, and so it is here.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[Any, ...], Known] = {}
        self._first = True

    def take(self, rows: Iterable[Row], now: float) -> Iterator[tuple[What, Row]]:
        """now: seconds, never going back. Rows get `age`: seconds since they were first seen here."""
        for row in rows:
            key = tuple(row[name] for name in ("vrf", "protocol", "source", "source_port", "vip", "port"))
            before = self._known.get(key)
            if before is not None and (row["member"] != before.row["member"] or row["packets"] < before.row["packets"]):
                before = None  # a new connection from the same port
            known = Known(row, before.since if before else now, now + row["expires"])
            self._known[key] = known
            row["age"] = now - known.since
            if before is None:
                yield "now" if self._first else "new", row
            elif row["closing"] and not before.row["closing"]:
                yield "closing", row
            elif _counts(row) != _counts(before.row):
                yield "more", row
        self._first = False
        for key in [key for key, known in self._known.items() if known.gone <= now]:
            known = self._known.pop(key)
            known.row["age"] = now - known.since
            yield "end", known.row


def _counts(row: Row) -> tuple[int, int]:
    return row["packets"], row["reverse_packets"]


def _follow(ask: Callable[[float | None], Any], active: float | None, interval: float, output: Format) -> None:
    """Until Ctrl-C."""
    changes = Changes()
    try:
        while True:
            began = time.monotonic()
            for what, row in changes.take(ask(active)["flows"], began):
                if output == Format.json:
                    typer.echo(orjson.dumps({"what": what, **row}).decode())
                else:
                    typer.echo(_line(what, row, datetime.now(UTC)))
            time.sleep(max(0.0, interval - (time.monotonic() - began)))
            active = time.monotonic() - began + 1.0  # what was seen twice is shown once; what was missed never
    except KeyboardInterrupt:
        return


def _line(what: What, row: Row, at: datetime) -> str:
    client, vip, member = _ends(row)
    slot = "-" if row["ecmp_index"] is None else row["ecmp_index"]
    return (
        f"{at:%H:%M:%S}Z {what:<7} {row['protocol']} {client} => {vip} {row['action']} E:{slot} "
        f"to {_name(row)} {member}  "
        f"{row['packets']}/{row['bytes']} there, {row['reverse_packets']}/{row['reverse_bytes']} back, "
        f"{row['state']}, age {row['age']:.0f}s"
    )
