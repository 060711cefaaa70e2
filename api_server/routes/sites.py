"""Who may have a browser send requests here: nobody but this server's own pages.

A body is read whatever its Content-Type, and the server listens where no login keeps a page away. So a page of another
site is refused by what its browser says of it (`Origin`, `Sec-Fetch-Site`), and a page that had its own name point to
this address (DNS rebinding) by the name: `Host` must be one of this server's. Programs send no `Origin`, and name the
server they mean.
"""

from collections.abc import Iterable
from ipaddress import ip_address

from api_server.errors import Forbidden
from schema.quoting import quote


def check_origin(method: str, headers: dict[bytes, bytes]) -> None:
    """Forbidden for a page of another site. A link that is followed is no harm."""
    origin, site = headers.get(b"origin"), headers.get(b"sec-fetch-site", b"same-origin")
    foreign = site not in (b"same-origin", b"none") or (
        origin is not None and origin.partition(b"://")[2] != headers.get(b"host", b"")
    )
    if foreign and not (method == "GET" and headers.get(b"sec-fetch-mode") == b"navigate"):
        raise Forbidden("A page of another site may not use this server")


def hostname(authority: str) -> str:
    """Of `host:port`, `[v6]:port` or one without port; lower case, without a trailing dot."""
    if authority.startswith("["):
        return authority[1:].partition("]")[0].lower()
    name, colon, port = authority.rpartition(":")
    bare = name if colon and port.isdecimal() and ":" not in name else authority
    return bare.lower().removesuffix(".")


def is_loopback(name: str) -> bool:
    """`localhost`, what is below it (RFC 6761, 6.3), 127.0.0.0/8 and ::1."""
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return name == "localhost" or name.endswith(".localhost")


class Hosts:
    """The names this server goes by: those of the loopback, the address it listens on, the address the connection came
    in on, and those it was told of. `*`: any."""

    def __init__(self, bound: str, allowed: Iterable[str]) -> None:
        self.allowed = {hostname(name) for name in allowed}
        self.known = {"", bound.lower()} | self.allowed  # HTTP/1.0 may name none
        self.any = "*" in self.allowed
        self.passed: set[bytes] = set()

    def check(self, host: bytes, server: tuple[str, int | None] | None) -> None:
        """Forbidden names the host. server: (address, port) of the connection's own end."""
        if self.any or host in self.passed:
            return
        name = hostname(host.decode("latin-1"))
        if name in self.known or is_loopback(name):
            if len(self.passed) < 64:  # a client may write one name in many ways
                self.passed.add(host)
            return
        if server is None or name != server[0].lower():
            raise Forbidden(f"Host {quote(name)} is none of this server's names; `serve --allow-host` adds one")
