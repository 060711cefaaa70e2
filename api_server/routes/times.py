"""Times on the wire beside Contrail's objects: ISO 8601 with zone; inside, milliseconds since 1970."""

from datetime import UTC, datetime
from typing import Any

from api_server.errors import BadRequest


def moment(value: Any, where: str) -> int:
    """BadRequest names where it stands."""
    try:
        at = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        at = None
    if at is None or at.tzinfo is None or at.year < 1970:
        raise BadRequest(f"Bad Request, {where} must be a time of ISO 8601 with its zone, as 2026-01-31T12:00:00.000Z")
    return round(at.timestamp() * 1000)


def iso(at: int | None) -> str | None:
    if at is None:
        return None
    return datetime.fromtimestamp(at / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
