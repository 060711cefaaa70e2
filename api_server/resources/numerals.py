"""Numbers that clients write as text."""


def decimal(text: str, most: int) -> int | None:
    """Of ASCII digits alone, `most` or less; None: it is none. Python's own `int` reads no thousands of digits."""
    if not text.isascii() or not text.isdecimal() or len(text.lstrip("0")) > len(str(most)):
        return None
    number = int(text[-len(str(most)) :])
    return number if number <= most else None
