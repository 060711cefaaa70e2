"""How the demo speaks: numbered steps, the commands a reader can repeat, their output cut to what matters."""

import shlex
import time
from typing import Any

import orjson
from rich.console import Console


class Narrator:
    def __init__(self) -> None:
        self.console = Console(highlight=False, soft_wrap=True)
        self.number = 0
        self.started = time.monotonic()

    def step(self, title: str) -> None:
        self.number += 1
        self.console.print(
            f"\n[bold]{self.number}. {title}[/bold]  [dim]({time.monotonic() - self.started:.1f} s)[/dim]"
        )

    def say(self, text: str) -> None:
        self.console.print(f"   {text}", markup=False)

    def command(self, *words: str) -> None:
        self.console.print(f"   [cyan]$ {shlex.join(words)}[/cyan]")

    def output(self, text: str) -> None:
        for line in text.rstrip("\n").splitlines():
            self.console.print(f"   {line}", markup=False)

    def json(self, value: Any, *keep: str) -> None:
        """An object, or only these of its fields; what is left out is shown as such."""
        shown = {key: value[key] for key in keep if key in value} if keep else value
        text = orjson.dumps(shown, option=orjson.OPT_INDENT_2).decode()
        if len(shown) < len(value):
            text = text.removesuffix("\n}") + ",\n  ...\n}"
        self.output(text)

    def bars(self, counts: dict[str, int]) -> None:
        total = sum(counts.values()) or 1
        for name, count in sorted(counts.items()):
            self.say(f"{name:<14} {count:>4}  {'█' * round(40 * count / total)}")
