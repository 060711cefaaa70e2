"""How commands print: a table for people, JSON for programs, one sentence for a failure."""

import sys
from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Annotated, Any, NoReturn

import orjson
import typer
from rich.console import Console
from rich.table import Table


class Format(StrEnum):
    table = "table"
    json = "json"


Output = Annotated[Format, typer.Option("-o", "--output", help="table or json")]


def fail(text: str, status: int = 1) -> NoReturn:
    """One sentence on standard error, and out."""
    sys.stderr.write(f"vaportrail: {text}\n")
    raise typer.Exit(status)


def counted(count: int, noun: str) -> str:
    """`1 flow`, `2 flows`."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def print_json(value: Any) -> None:
    sys.stdout.write(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode() + "\n")


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Columns aligned, not boxed, and never cut where the output is not a terminal: made for eyes and for grep."""
    table = Table(*columns, box=None, pad_edge=False, header_style="bold")
    for row in rows:
        table.add_row(*["-" if cell is None else str(cell) for cell in row])
    console = Console(soft_wrap=True, highlight=False)
    if not console.is_terminal:
        console.width = 1000
    with console.capture() as captured:
        console.print(table)
    for line in captured.get().splitlines():
        sys.stdout.write(line.rstrip() + "\n")
