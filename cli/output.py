"""How commands print: a table or YAML for people, JSON for programs, one sentence for a failure.

Exit statuses: 0 done, 1 refused or not there, 2 used wrongly.
"""

import sys
from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Annotated, Any, NoReturn

import orjson
import typer


class Format(StrEnum):
    table = "table"
    json = "json"


Output = Annotated[Format, typer.Option("-o", "--output", help="table or json")]


class ObjectFormat(StrEnum):
    table = "table"
    json = "json"
    yaml = "yaml"


ObjectOutput = Annotated[ObjectFormat, typer.Option("-o", "--output", help="table, json or yaml")]


class Failure(Exception):
    """Why a command cannot do what it was asked, as a sentence. status: 1 refused or not there, 2 used wrongly."""

    def __init__(self, text: str, status: int = 1) -> None:
        super().__init__(text)
        self.status = status


class Misuse(Failure):
    """Wrong whatever the server has."""

    def __init__(self, text: str) -> None:
        super().__init__(text, 2)


def fail(text: str, status: int = 1) -> NoReturn:
    """One sentence on standard error, and out."""
    sys.stderr.write(f"vaportrail: {text}\n")
    raise typer.Exit(status)


def counted(count: int, noun: str) -> str:
    """`1 flow`, `2 flows`."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def span(seconds: float) -> str:
    """`45 s`, `5 min`, `2 d`."""
    for size, name in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size:.0f} {name}"
    return f"{max(seconds, 0):.0f} s"


def print_json(value: Any) -> None:
    sys.stdout.write(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode() + "\n")


def print_data(value: Any, output: ObjectFormat) -> None:
    """For programs and for editors; `output` is not `table`."""
    if output is ObjectFormat.json:
        print_json(value)
    else:
        from cli import notation

        sys.stdout.write(notation.dump(value))


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Columns aligned, not boxed, and never cut where the output is not a terminal: made for eyes and for grep."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(*columns, box=None, pad_edge=False, header_style="bold")
    for row in rows:
        table.add_row(*["-" if cell is None else escape(str(cell)) for cell in row])  # `[fd00::1]:80` is no markup
    console = Console(soft_wrap=True, highlight=False)
    if not console.is_terminal:
        console.width = 1000
    with console.capture() as captured:
        console.print(table)
    for line in captured.get().splitlines():
        sys.stdout.write(line.rstrip() + "\n")
