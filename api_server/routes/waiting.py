"""Requests that are held until something has happened: how long, and how many at a time."""

from collections.abc import Iterator
from contextlib import contextmanager

from api_server.errors import BadRequest, Unavailable
from api_server.routes.middleware import Exchange
from api_server.routes.service import Service
from schema.quoting import quote

LONGEST = 300.0
"""Seconds that a request is held."""
MOST = 1000
"""Requests that are held at a time."""


def duration(text: str | None, name: str, default: float) -> float:
    """Seconds, at most `LONGEST`. BadRequest names the parameter."""
    try:
        seconds = default if text is None else float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < float("inf"):
        raise BadRequest(f"Bad Request, {name} must be a number of seconds from 0: {quote(text or '')}")
    return min(seconds, LONGEST)


@contextmanager
def held(server: Service, current: Exchange) -> Iterator[None]:
    """Counts as one that is held, and keeps no other from its turn. Unavailable if there are too many."""
    if server.waiting >= MOST:
        raise Unavailable(f"There are {MOST} who wait already, which is the limit")
    current.leave()
    server.waiting += 1
    server.metrics.waiting.inc()
    try:
        yield
    finally:
        server.waiting -= 1
        server.metrics.waiting.dec()
