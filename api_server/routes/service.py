"""What all routes of one application share, and the few things every handler does with it."""

import asyncio
import re
from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass, field
from typing import Any, TypeVar

import orjson
from starlette.requests import ClientDisconnect, Request
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

    watching: open watches. waiting: who waits for nodes. checking: held while the database is checked; one check at a
    time is enough to bear.
    telling: what is being read of statuses for watchers, by the stamp after which it was asked for (`status_frames`).
    """

    settings: Settings
    model: ObjectModel
    operations: Operations
    metrics: Metrics = field(default_factory=Metrics)
    opened: Store | None = None
    watching: int = 0
    waiting: int = 0
    checking: asyncio.Lock = field(default_factory=asyncio.Lock)
    telling: dict[int, asyncio.Task[Any]] = field(default_factory=dict)

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
        """Every watcher gets a `stop` frame with the reason, and its answer ends; so does that of all who wait."""
        if self.opened is not None:
            self.opened.feed.close(reason)
            self.opened.steps.close(reason)

    async def write(
        self, current: Exchange, call: Callable[[Transaction], Result], seeks: Collection[tuple[str, str]] = ()
    ) -> Result:
        """In one transaction; the exchange learns the revision. ApiError if it is refused. seeks: see `Store.write`."""
        result, revision = await self.store.write(
            call, request_id=current.request_id, user=current.caller.user, base_url=current.base_url, seeks=seeks
        )
        current.revision = revision
        return result

    async def rehearse(
        self, current: Exchange, call: Callable[[Transaction], Result]
    ) -> tuple[Result, list[dict[str, Any]]]:
        """What a write would give, and its changes (fields: those an update changes). Nothing of it is kept."""

        def described(tx: Transaction) -> tuple[Result, list[dict[str, Any]]]:
            result, changes = call(tx), []
            for event, fields in zip(tx.events, tx.fields, strict=True):
                found = orjson.loads(event.object)
                change = {"operation": event.operation, "type": event.type, "uuid": event.uuid}
                changes.append(change | {"fq_name": found["fq_name"], "fields": fields, "object": found})
            return result, changes

        answer, current.revision = await self.store.write(
            described,
            request_id=current.request_id,
            user=current.caller.user,
            base_url=current.base_url,
            rehearsal=True,
        )  # fmt: skip
        return answer

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
    try:
        body = await request.body()
    except ClientDisconnect:
        raise BadRequest("The body breaks off: the client is gone") from None
    if not body:
        return None
    if NUL.search(body):
        raise BadRequest("Invalid JSON: text must not contain NUL (\\u0000)")
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BadRequest(f"Invalid JSON: {error}") from None


def mapped(document: Any) -> dict[str, Any]:
    """The document of an action, which is an object."""
    if not isinstance(document, dict):
        raise BadRequest("Invalid JSON: the body must be an object")
    return document


async def mapping(request: Request) -> dict[str, Any]:
    return mapped(await document(request))


def nothing() -> Response:
    """An action's answer that has no body, typed as Contrail types it (contract 4.7)."""
    return Response(headers={"content-type": "text/html; charset=UTF-8"})


def json(value: Any) -> Response:
    return Response(orjson.dumps(value), media_type="application/json")
