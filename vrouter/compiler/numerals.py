"""Numbers as clients send them."""

from typing import Any


def integer(value: Any) -> int | None:
    """Some clients send ports as text (kube-manager does for an ingress)."""
    if isinstance(value, str) and value.isdecimal():
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None
