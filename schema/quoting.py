"""How a value of a client, or a type, appears in an error text: as Contrail has it, but short and printable whatever
it is.

A client can nest a value deeper, and send a number or text longer, than Python's own `repr` bears or a log line should
hold.
"""

import reprlib
from itertools import islice
from typing import Any

LONGEST = 200
"""Characters of a text; elements and levels of a collection are limited by `Short`."""


class Short(reprlib.Repr):
    def __init__(self) -> None:
        super().__init__()
        self.maxlevel = 6
        self.maxdict = self.maxlist = 12
        self.maxstring = self.maxother = LONGEST

    def repr_dict(self, x: dict[Any, Any], level: int) -> str:
        """In the client's order, as Python writes it; reprlib would sort."""
        if not x or level <= 0:
            return "{...}" if x else "{}"
        pairs = [
            f"{self.repr1(key, level - 1)}: {self.repr1(value, level - 1)}"
            for key, value in islice(x.items(), self.maxdict)
        ]
        return "{" + ", ".join(pairs + ["..."] * (len(x) > self.maxdict)) + "}"

    def repr_int(self, x: int, level: int) -> str:
        return str(x) if x.bit_length() <= 256 else f"a number of {x.bit_length()} bits"


def quote(value: Any) -> str:
    """A text as it is, anything else as Python writes it."""
    if isinstance(value, str) and value.isprintable():
        return value if len(value) <= LONGEST else value[:LONGEST] + "..."
    return Short().repr(value)


def title(type: str) -> str:
    """A type's name as a title: `virtual-network` -> `Virtual Network`."""
    return type.replace("-", " ").title()
