"""Addresses as the compiler makes them: parsed once for all who ask for the same, and with their hash and text at hand.

Those of `ipaddress` make both anew each time: dictionaries by address would be a tenth of a cold start. They are equal
to these, and have the same hash.
"""

from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from socket import AF_INET, inet_pton
from typing import Any

from vrouter.state import Address


class _Kept:
    """Before a class of `ipaddress`: what is asked of it often is kept."""

    hash: int
    text: str

    def __hash__(self) -> int:
        return self.hash

    def __str__(self) -> str:
        return self.text

    def keep(self) -> None:
        self.hash, self.text = super().__hash__(), super().__str__()


class _V4(_Kept, IPv4Address):
    version = 4

    def __init__(self, address: int | str) -> None:  # also of a copy, and of what arithmetic makes of another one
        super().__init__(address)
        self.keep()


class _V6(_Kept, IPv6Address):
    version = 6

    def __init__(self, address: int | str) -> None:
        super().__init__(address)
        self.keep()


def parse(text: Any) -> Address:
    """An address in any notation. ValueError if it is none."""
    return _parse(text) if isinstance(text, str) else _kept(ip_address(text))


@lru_cache(maxsize=4096)
def _parse(text: str) -> Address:
    try:
        return _V4(int.from_bytes(inet_pton(AF_INET, text), "big"))  # as strict as `ipaddress`, and the system's
    except (OSError, ValueError):
        return _kept(ip_address(text))


def _kept(found: Address) -> Address:
    """The text has the zone."""
    return _V4(int(found)) if isinstance(found, IPv4Address) else _V6(str(found))
