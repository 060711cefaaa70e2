"""Numbers as clients send them."""

from typing import Any


def integer(value: Any) -> int | None:
    """Some clients send ports as text (kube-manager does for an ingress)."""
    if type(value) is int:  # a bool is one, too
        return value
    return int(value) if isinstance(value, str) and value.isdecimal() else None
