"""What every request and every answer has, in one pure ASGI middleware.

A request gets an id and one `Exchange`, which handlers tell what the request was about. Before a handler sees it, it
is whole and within its limits (`bodies`), and it is its turn (`turns`). An answer gets `X-Request-Id` and `X-Revision`;
a refusal (`ApiError`) the status and the one line of text the contract words (section 0), and never a traceback. One
log line per change and per refusal, and the metrics, are written here, when all is known. (A wrapped
`BaseHTTPMiddleware` would halve the rate of creates.)
"""

import re
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from html import escape
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl
from uuid import uuid4

import orjson
import structlog
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api_server.errors import (
    ApiError,
    BadRequest,
    Busy,
    Gone,
    MethodNotAllowed,
    TimedOut,
    Unavailable,
)
from api_server.metrics import Metrics
from api_server.resources.standard import NOBODY, Caller
from api_server.routes.bodies import Bodies
from api_server.routes.sites import Hosts, check_origin
from api_server.routes.turns import Turns

log = structlog.get_logger()

LEGAL_ID = re.compile(rb"[\x21-\x7e]{1,128}")  # what a client may choose as request id: it goes into logs and headers
LEGAL_USER = re.compile(rb"[\x20-\x7e]{1,255}")

LOGGED = 2048
"""Characters of a path or a reason in a log line: a client can make a refusal as long as its body."""

HEARTBEAT = 2048
"""Bytes of a node's report that is never refused for want of time."""
UNTOLD = 10.0
"""Seconds between two log lines that say how many requests were refused as too many."""

CALLER = frozenset({b"x-user", b"x-role", b"x-project-id", b"x-domain-id"})
TERMINAL = (b"curl/", b"Wget/", b"HTTPie/")
"""Programs that show an answer to whoever typed the request; as the Kubernetes API server knows them."""

# Refusals that Contrail leaves to its web framework, whose error page holds the text (contract section 0).
FRAMED = frozenset({401, 412, 413})
FRAME = """<!doctype html>
<title>Error: {status} {phrase}</title>
<h1>Error: {status} {phrase}</h1>
<pre>{text}</pre>
"""


@dataclass(slots=True)
class Exchange:
    """One request and its answer.

    route: the class of route, a label of metrics (never a part of the URL). revision: of the answer, None if it has
    none. change: what was changed or was to be, for the log; None if nothing was. indented: a person reads the answer.
    started: monotonic seconds. headers: of the request, by lower-case name. turns: whose place it holds, None if none.
    """

    request_id: str
    method: str
    path: str
    base_url: str
    headers: Mapping[bytes, bytes] = field(default_factory=dict)
    caller: Caller = NOBODY
    indented: bool = False
    started: float = field(default_factory=time.perf_counter)
    route: str = "unknown"
    revision: int | None = None
    change: dict[str, Any] | None = None
    turns: Turns | None = None

    def leave(self) -> None:
        """Others may begin: what is left to do is to wait, or to send."""
        if self.turns is not None:
            self.turns.leave()
            self.turns = None


def exchange(request: Request) -> Exchange:
    found: Exchange = request.scope["exchange"]
    return found


def base_url(scope: Scope, headers: dict[bytes, bytes]) -> str:
    """The server as the client named it, by scheme and Host: Contrail's client cuts exactly this off every link."""
    host = headers.get(b"host", b"").decode("latin-1")
    if not host:
        address, port = scope.get("server") or ("localhost", None)
        host = f"{address}:{port}" if port else str(address)
    return f"{scope.get('scheme', 'http')}://{host}{scope.get('root_path', '').rstrip('/')}"


def open_exchange(scope: Scope, headers: dict[bytes, bytes]) -> Exchange:
    given = headers.get(b"x-request-id", b"")
    return Exchange(
        request_id=given.decode() if LEGAL_ID.fullmatch(given) else f"req-{uuid4()}",
        method=scope["method"],
        path=scope["path"],
        base_url=base_url(scope, headers),
        headers=headers,
        caller=caller(headers),
        indented=read_by_a_person(scope["query_string"], headers),
    )


def caller(headers: dict[bytes, bytes]) -> Caller:
    """What is no name or id is not said."""
    if CALLER.isdisjoint(headers):  # as of nearly all requests
        return NOBODY

    def said(name: bytes, legal: re.Pattern[bytes]) -> str:
        value = headers.get(name, b"")
        return value.decode() if legal.fullmatch(value) else ""

    return Caller(
        user=said(b"x-user", LEGAL_USER),
        role=said(b"x-role", LEGAL_USER).partition(",")[0],
        project=said(b"x-project-id", LEGAL_ID),
        domain=said(b"x-domain-id", LEGAL_ID),
    )


def read_by_a_person(query: bytes, headers: dict[bytes, bytes]) -> bool:
    """`?pretty` (`?pretty=false` is a no), else what people type at a terminal, and a page opened in a browser."""
    if b"pretty" in query:
        for name, value in parse_qsl(query.decode("latin-1"), keep_blank_values=True):
            if name == "pretty":
                return value.lower() not in ("false", "0")
    return headers.get(b"user-agent", b"").startswith(TERMINAL) or headers.get(b"sec-fetch-mode") == b"navigate"


def indented(send: Send) -> Send:
    """JSON is sent on with two spaces of indent and a line end; whatever else it is, as it is."""
    start: Message | None = None
    parts: list[bytes] = []

    async def sending(message: Message) -> None:
        nonlocal start
        if message["type"] == "http.response.start" and (b"content-type", b"application/json") in message["headers"]:
            start = message
            return
        if start is None:
            await send(message)
            return
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            body = b"".join(parts)
            if body:
                body = orjson.dumps(orjson.loads(body), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
            headers = [(name, value) for name, value in start["headers"] if name != b"content-length"]
            await send({**start, "headers": [*headers, (b"content-length", str(len(body)).encode())]})
            await send({**message, "body": body})

    return sending


def refusal(error: ApiError, accept: bytes) -> tuple[list[tuple[bytes, bytes]], bytes]:
    """Headers and body. Text labelled HTML is what Contrail sends and its clients print; JSON for who asks for it."""
    if b"application/json" in accept and b"text/" not in accept:
        oldest = {"oldest": error.oldest} if isinstance(error, Gone) else {}
        body = orjson.dumps({"error": {"status": error.status, "text": error.text, **oldest}})
        content_type = b"application/json"
    else:
        text = error.text
        if error.status in FRAMED:
            phrase = HTTPStatus(error.status).phrase
            text = FRAME.format(status=error.status, phrase=phrase, text=escape(text, quote=False))
        body = text.encode("utf-8", "replace")
        content_type = b"text/html; charset=UTF-8"
    headers = [(b"content-type", content_type), (b"content-length", str(len(body)).encode())]
    if isinstance(error, MethodNotAllowed):
        headers.append((b"allow", ", ".join(error.allow).encode()))
    elif isinstance(error, Gone):
        headers.append((b"x-oldest-revision", str(error.oldest).encode()))
    elif isinstance(error, Unavailable) and error.retry_after is not None:
        headers.append((b"retry-after", str(error.retry_after).encode()))
    elif isinstance(error, TimedOut):  # what still comes would be taken for the next request
        headers.append((b"connection", b"close"))
    # A client's words stand in the text: no browser may take them for a page.
    headers += [(b"x-content-type-options", b"nosniff"), (b"content-security-policy", b"default-src 'none'; sandbox")]
    return headers, body


def turnless(current: Exchange) -> bool:
    """What tells how the server and the nodes are never waits, and is never refused as too much. Nor does a watch: how
    many there are, and how many of them read their beginning, has bounds of its own, and hundreds come at once when a
    server has been away."""
    if current.path == "/status":
        length = current.headers.get(b"content-length", b"")
        return current.method == "POST" and length.isdigit() and int(length) <= HEARTBEAT
    return current.path in ("/healthz", "/metrics", "/watch")


class ExchangeMiddleware:
    """Opens the exchange, answers refusals and faults, and closes it with a log line and figures."""

    def __init__(
        self, app: ASGIApp, metrics: Metrics, bodies: Bodies, reads: Turns, writes: Turns, hosts: Hosts
    ) -> None:
        self.app = app
        self.metrics = metrics
        self.bodies = bodies
        self.reads = reads
        self.writes = writes
        self.hosts = hosts
        self.busy = 0  # refused and not told of yet
        self.told = -UNTOLD

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        current = open_exchange(scope, headers)
        head = current.method == "HEAD"
        scope = {**scope, "exchange": current, "method": "GET" if head else current.method}
        status = kept = 0

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                current.leave()
                status = message["status"]
                own = [(b"x-request-id", current.request_id.encode())]
                if current.revision is not None:
                    own.append((b"x-revision", str(current.revision).encode()))
                message["headers"] = [*message.get("headers", ()), *own]
            elif head:
                message = {**message, "body": b""}
            await send(message)

        reply = indented(answer) if current.indented else answer
        reason = None
        try:
            if b"%00" in scope.get("raw_path", b"") or b"%00" in scope["query_string"]:
                raise BadRequest("NUL is not allowed in a URL")
            connection = scope.get("state", {})
            if full := connection.get("full"):
                raise Busy(f"The server is busy: there are {full} connections, which is the limit")
            check_origin(scope["method"], headers)
            self.hosts.check(headers.get(b"host", b""), scope.get("server"))
            if b"content-length" in headers or b"transfer-encoding" in headers:
                receive, kept = await self.bodies.read(receive, headers)
            if not turnless(current):
                turns = self.reads if scope["method"] == "GET" else self.writes
                await turns.enter(connection.get("peer"))
                current.turns = turns
            await self.app(scope, receive, reply)
        except ApiError as error:
            if isinstance(error, Busy):
                self.tell(current, error.text)
            else:
                reason = str(error)
            await self.refuse(error, headers, status, reply)
        except Exception:  # noqa: BLE001  # the one place where a fault becomes a 500
            reason = "Internal Server Error"
            log.error("fault", request_id=current.request_id, method=current.method, path=current.path,
                      traceback=traceback.format_exc())  # fmt: skip
            await self.refuse(ApiError(f"Internal Server Error ({current.request_id})"), headers, status, reply)
        finally:
            current.leave()
            self.bodies.drop(kept)
            self.close(current, status, reason)

    def tell(self, current: Exchange, reason: str) -> None:
        """A line for each that is too much would be more than is asked for already."""
        self.busy += 1
        current.change = None
        if current.started - self.told > UNTOLD:
            log.warning("busy", refused=self.busy, reason=reason)
            self.busy, self.told = 0, current.started

    @staticmethod
    async def refuse(error: ApiError, headers: dict[bytes, bytes], status: int, answer: Send) -> None:
        if status:  # the answer is under way: all that can be done is to break it off
            raise ConnectionResetError(error.text) from error
        own, body = refusal(error, headers.get(b"accept", b""))
        await answer({"type": "http.response.start", "status": error.status, "headers": own})
        await answer({"type": "http.response.body", "body": body})

    def close(self, current: Exchange, status: int, reason: str | None) -> None:
        seconds = time.perf_counter() - current.started
        self.metrics.observe(current.route, current.method, status, seconds)
        if current.revision is not None:
            self.metrics.revision.set(current.revision)
        if reason is None and current.change is None:
            return
        line = {"request_id": current.request_id, "method": current.method, **(current.change or {})}
        if current.caller.user:
            line["user"] = current.caller.user
        if reason is not None:
            log.warning("refused", **line, path=current.path[:LOGGED], status=status, reason=reason[:LOGGED])
        else:
            log.info("changed", **line, revision=current.revision, status=status, ms=round(seconds * 1000, 1))
