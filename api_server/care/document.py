"""The form of an export: JSON Lines, one thing per line, so that it can be read, compared, cut and streamed.

    {"vaportrail-export": 1, "revision": 42}                     first; of a part, "of": [type, fq_name] instead
    {"type": "project", "fq_name": [...], "uuid": ..., ...}      objects by name, parents before their children
    {"relaxed": uuid, "to": uuid}                                a reference to come that blocks no delete
    {"key": ..., "value": ...}                                   strings by name
    {"pool": ..., "number": "167772165", "holder": ...}          what is taken of a pool of numbers
    {"pool": ..., "first": "1", "last": "7"}                     what is not
    {"end": 1234}                                                last: how many lines there are before it

Numbers of pools are text, because 128 bits of an IPv6 address are more than JSON readers carry. Properties and
attributes are as they are stored, in the order in which the client wrote their members.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any

import orjson

FORMAT = 1
HEAD = "vaportrail-export"
LONGEST = 64 * 1024 * 1024
"""Bytes of a line: many times what a request may have."""


class BadDocument(Exception):
    """What is read is no export, or not a whole one; the text names the line."""


@dataclass(frozen=True, slots=True)
class Line:
    number: int
    value: dict[str, Any]

    def bad(self, text: str) -> BadDocument:
        return BadDocument(f"line {self.number} ({self.subject}): {text}")

    @property
    def subject(self) -> str:
        """What the line is about, for a person."""
        value = self.value
        if isinstance(value.get("fq_name"), list):
            return f"{value.get('type')} {':'.join(map(str, value['fq_name']))}"
        return next((f"{name} {value[name]}" for name in ("pool", "key", "relaxed") if name in value), "unknown")


def write(value: Any) -> bytes:
    return orjson.dumps(value) + b"\n"


def read(file: IO[bytes]) -> Iterator[Line]:
    """The head, then all other lines but the last. BadDocument: no JSON object, another format, cut off, too long."""
    number, ended = 0, False
    while text := file.readline(LONGEST):
        number += 1
        try:
            value = orjson.loads(text)
        except orjson.JSONDecodeError as error:
            raise BadDocument(f"line {number}: no JSON: {error}") from error
        if not isinstance(value, dict):
            raise BadDocument(f"line {number}: a JSON object expected")
        if number == 1 and HEAD not in value:
            raise BadDocument(f'line 1: no export of Vaportrail, which begins with {{"{HEAD}":{FORMAT},...}}')
        if number == 1 and value[HEAD] != FORMAT:
            raise BadDocument(f"line 1: an export of format {value[HEAD]!r}, this program reads format {FORMAT}")
        if ended:
            raise BadDocument(f"line {number}: nothing follows the end")
        if "end" in value:
            ended = True
            if value["end"] != number - 1:
                raise BadDocument(f"line {number}: {value['end']} lines before it expected, there are {number - 1}")
            continue
        yield Line(number, value)
    if not ended:
        raise BadDocument(f"cut off after line {number}: the last line is missing")
