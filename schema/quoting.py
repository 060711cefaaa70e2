"""How a value of a client appears in an error text: as Contrail quotes it, but short and printable whatever it is.

A client can nest a value deeper, and send a number or text longer, than Python's own `repr` bears or a log line should
hold.
"""

import reprlib
from typing import Any

LONGEST = 200
"""Characters of a text; elements and levels of a collection are limited by `Short`."""


class Short(reprlib.Repr):
    def __init__(self) -> None:
        super().__init__()
        self.maxlevel = 6
        self.maxdict = self.maxlist = 12
        self.maxstring = self.maxother = LONGEST

    def repr_int(self, x: int, level: int) -> str:
        return str(x) if x.bit_length() <= 256 else f"a number of {x.bit_length()} bits"


def quote(value: Any) -> str:
    """A text as it is, anything else as Python writes it."""
    if isinstance(value, str) and value.isprintable():
        return value if len(value) <= LONGEST else value[:LONGEST] + "..."
    return Short().repr(value)
