"""How it is said: lines, deeper ones explain what stands above them."""

from typing import Any

Line = dict[str, Any]  # depth, good (True: used or as it should be, False: not, None: neither), text, code of a reason


def line(depth: int, good: bool | None, text: str, code: str | None = None) -> Line:
    return {"depth": depth, "good": good, "text": text, "code": code}


def count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
