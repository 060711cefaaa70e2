"""The journal's file: a line of JSON for each thing that was done, and what stands according to them."""

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from vrouter.state import Key, Unit

Line = dict[str, Any]


class Lines:
    """problem: why nothing is written any more, "" as long as all is. limit: bytes after which the file is put aside as
    `FILE.1`; what it held before is gone. Each file begins with all that stands, so it can be read by itself."""

    def __init__(self, path: Path, limit: int) -> None:
        self.problem = ""
        self.path = path
        self.aside = path.with_name(f"{path.name}.1")
        self._limit = limit

    def write(self, lines: Iterable[Line], stands: Iterable[Unit]) -> None:
        """Add lines. stands: what does before them, for the beginning of another file. Never raises: what forwards does
        not wait for a disk that is full."""
        try:
            if self.path.exists() and self.path.stat().st_size >= self._limit:
                self.path.replace(self.aside)
                self._append([begun(stands)])
            self._append(lines)
        except OSError as error:
            self.problem = f"the journal {self.path} is not written: {error.strerror}"
        else:
            self.problem = ""

    def _append(self, lines: Iterable[Line]) -> None:
        text = "".join(f"{json.dumps(line, default=str)}\n" for line in lines)
        handle = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        with os.fdopen(handle, "w") as file:
            file.write(text)


def begun(stands: Iterable[Unit]) -> Line:
    """All that stands at the beginning of an agent's life, or of a file."""
    return line("begin", units=[{"key": unit.key, "unit": asdict(unit)} for unit in stands])


def line(did: str, **more: Any) -> Line:
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return {"at": now, "did": did, **more}


def read(path: Path) -> Iterator[Line]:
    """ValueError names the line that is none; but for the last one, which may have been cut off with the power."""
    text = path.read_text().split("\n")
    for number, each in enumerate(text, 1):
        try:
            if each:
                yield json.loads(each)
        except json.JSONDecodeError as error:
            if number < len(text):
                raise ValueError(f"{path}, line {number}: {error}") from error


def standing(lines: Iterable[Line], at: str = "~") -> Mapping[Key, Any]:
    """Units as JSON by key, as they stood at that time (ISO 8601, UTC). What failed is left as it was before."""
    found: dict[Key, Any] = {}
    for one in lines:
        if one["at"] > at:
            break
        if one["did"] == "begin":
            found = {tuple(unit["key"]): unit["unit"] for unit in one["units"]}
        elif one.get("error") is not None:
            continue
        elif one["did"] == "put":
            found[tuple(one["key"])] = one["unit"]
        elif one["did"] == "delete":
            found.pop(tuple(one["key"]), None)
    return found
