"""What all routes of one application share, and the few things every handler does with it."""

import re
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, TypeVar

import orjson
from starlette.requests import Request
from starlette.responses import Response

from api_server.errors import BadRequest, Unavailable
from api_server.metrics import Metrics, StoreCounts
from api_server.resources.operations import Operations
from api_server.routes.middleware import Exchange, exchange
from api_server.settings import Settings
from api_server.store import Store
from api_server.store.reader import Reader
from api_server.store.transaction import Transaction
from schema.model import ObjectModel

Result = TypeVar("Result")

# PostgreSQL cannot store NUL, so nobody takes it: \\u0000, unless the backslash is itself escaped.
NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")


@dataclass
class Service:
    """One application. `store` is there between start-up and shutdown only: without it all is Unavailable.

    watching: open watches.
    """

    settings: Settings
    model: ObjectModel
    operations: Operations
    metrics: Metrics = field(default_factory=Metrics)
    opened: Store | None = None
    watching: int = 0

    def __post_init__(self) -> None:
        self.metrics.registry.register(StoreCounts(self.counts))

    @property
    def store(self) -> Store:
        if self.opened is None:
            raise Unavailable("The API server is starting or stopping")
        return self.opened

    def counts(self) -> dict[str, int]:
        """What the store has done so far, for the metrics; nothing while it is closed."""
        return asdict(self.opened.counts) if self.opened is not None else {}

    def stop_watchers(self, reason: str) -> None:
        """Every watcher gets a `stop` frame with the reason, and its answer ends."""
        if self.opened is not None:
            self.opened.feed.close(reason)

    async def write(self, current: Exchange, call: Callable[[Transaction], Result]) -> Result:
        """In one transaction; the exchange learns the revision. ApiError if it is refused."""
        result, revision = await self.store.write(
            call, request_id=current.request_id, user=current.user, base_url=current.base_url
        )
        current.revision = revision
        return result

    async def read(self, current: Exchange, call: Callable[[Reader], Result]) -> Result:
        """One snapshot; the exchange learns its revision."""

        def dated(reader: Reader) -> tuple[Result, int]:
            return call(reader), reader.revision

        result, current.revision = await self.store.read(dated)
        return result


def service(request: Request) -> Service:
    found: Service = request.app.state.service
    return found


def named(request: Request, route: str) -> Exchange:
    """The request's exchange, with its class of route for the metrics."""
    current = exchange(request)
    current.route = route
    return current


async def document(request: Request) -> Any:
    """The JSON body, None if there is none, whatever its Content-Type: `curl -d` labels all it sends as a form.
    BadRequest says where it breaks."""
    body = await request.body()
    if not body:
        return None
    if NUL.search(body):
        raise BadRequest("Invalid JSON: text must not contain NUL (\\u0000)")
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BadRequest(f"Invalid JSON: {error}") from None


async def mapping(request: Request) -> dict[str, Any]:
    """The JSON body of an action, which is an object."""
    body = await document(request)
    if not isinstance(body, dict):
        raise BadRequest("Invalid JSON: the body must be an object")
    return body


def nothing() -> Response:
    """An action's answer that has no body, typed as Contrail types it (contract 4.7)."""
    return Response(headers={"content-type": "text/html; charset=UTF-8"})


def json(value: Any) -> Response:
    return Response(orjson.dumps(value), media_type="application/json")
