"""Client of the configuration API: objects over REST, and what changes over `GET /watch`.

    async with ApiClient("http://127.0.0.1:8082") as api:
        network = await api.read("virtual-network", uuid)
        async for delta in api.watch(["loadbalancer", "loadbalancer-member"]):
            ...

`errors` draws what may be raised; nothing of the HTTP library gets out.
"""

from api_client.client import DEFAULT_URL, ApiClient, JsonObject, etag
from api_client.delta import Delta, Event, Events, Snapshot
from api_client.errors import (
    ApiError,
    BadRequest,
    ClientError,
    Conflict,
    Forbidden,
    Gone,
    NotFound,
    PreconditionFailed,
    Unavailable,
    UnexpectedAnswer,
    Unreachable,
)
from api_client.operations import DryRun, Operation
from api_client.watch import Watch

__all__ = [
    "DEFAULT_URL", "ApiClient", "ApiError", "BadRequest", "ClientError", "Conflict", "Delta", "DryRun", "Event",
    "Events", "Forbidden", "Gone", "JsonObject", "NotFound", "Operation", "PreconditionFailed", "Snapshot",
    "Unavailable", "UnexpectedAnswer", "Unreachable", "Watch", "etag",
]  # fmt: skip
