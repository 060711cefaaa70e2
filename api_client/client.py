"""A typed asynchronous client of the configuration API.

Thin on purpose: an object is the JSON object the server gave, without its envelope; what the server refuses is an
exception with its status and words. Every answer's `X-Revision` is remembered, so that a program can wait until what it
wrote has reached the data plane.
"""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from functools import partial
from types import TracebackType
from typing import Any, Literal, Self
from urllib.parse import quote

import httpx
import orjson

from api_client import statuses
from api_client.delta import NO_SHAPES, Begin, Shapes
from api_client.errors import UnexpectedAnswer, Unreachable, refusal
from api_client.operations import DryRun, Operation
from api_client.watch import SILENCE, Watch

DEFAULT_URL = "http://127.0.0.1:8082"
TIMEOUT = 30.0  # seconds for a whole answer; the server's slowest, a list of everything, takes about one
RETRIES = 3  # of what the server says it did nothing of, being busy for the moment
LONGEST_PAUSE = 5.0  # seconds before a retry, whatever the server asks for
LONGEST_WAIT = 300.0  # seconds that the server holds a request; who waits longer asks again

JsonObject = dict[str, Any]


def etag(object: Mapping[str, Any]) -> str:
    """The version of an object that was read, for `update`: the time of its last change (contract 2.7)."""
    return f'"{object["id_perms"]["last_modified"]}"'


class ApiClient:
    """An async context manager; `url` such as `http://127.0.0.1:8082` (Unreachable if it cannot be one).

    Types are hyphenated (`virtual-network`). All methods raise `ApiError` when refused and `Unreachable` without an
    answer.
    """

    def __init__(
        self,
        url: str = DEFAULT_URL,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.url = url.rstrip("/")
        self._sleep = sleep
        self.revision = 0  # the highest seen in an answer
        try:
            parsed = httpx.URL(self.url)
        except httpx.InvalidURL as error:
            raise Unreachable(url, f"not a URL: {error}") from error
        if parsed.scheme not in ("http", "https") or not parsed.host:
            raise Unreachable(url, "not an http:// or https:// URL")
        # trust_env off: the API is beside us or in a lab; a proxy of the environment must not see it
        self._http = httpx.AsyncClient(base_url=self.url, transport=transport, timeout=TIMEOUT, trust_env=False)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        await self._http.aclose()

    async def create(self, type: str, object: Mapping[str, Any]) -> JsonObject:
        """POST; `object` without envelope. Gives what the server answers: uuid, fq_name, href, ..."""
        return self._unwrap(type, await self.request("POST", f"/{type}s", {type: object}))

    async def read(self, type: str, uuid: str, *, fields: Sequence[str] = (), bare: bool = False) -> JsonObject:
        """GET one object. fields: only these besides its identity. bare: without children and back references."""
        parameters = {"fields": ",".join(fields)} if fields else {}
        if bare:
            parameters |= {"exclude_children": "true", "exclude_back_refs": "true"}
        return self._unwrap(type, await self.request("GET", f"/{type}/{uuid}", parameters=parameters))

    async def update(self, type: str, uuid: str, changes: Mapping[str, Any], *, etag: str | None = None) -> JsonObject:
        """PUT the top-level fields in `changes`; others stay as they are.

        etag: only if the object is still of this version, else PreconditionFailed.
        """
        headers = {"If-Match": etag} if etag else {}
        return self._unwrap(type, await self.request("PUT", f"/{type}/{uuid}", {type: changes}, headers=headers))

    async def delete(self, type: str, uuid: str) -> None:
        await self.request("DELETE", f"/{type}/{uuid}")

    async def list(self, type: str, *, detail: bool = False, **parameters: str) -> list[JsonObject]:
        """GET the collection; parameters are the dialect's: `parent_id`, `back_ref_id`, `fields`, `filters`, ..."""
        if detail:
            parameters["detail"] = "true"
        rows = self._unwrap_any(f"{type}s", await self.request("GET", f"/{type}s", parameters=parameters))
        return [row[type] for row in rows] if detail else list(rows)

    async def count(self, type: str, **parameters: str) -> int:
        body = await self.request("GET", f"/{type}s", parameters={"count": "true", **parameters})
        return int(self._unwrap_any(f"{type}s", body)["count"])

    async def transaction(self, operations: Sequence[Operation]) -> Sequence[Any]:
        """Do all of them in their order, or none; gives the body of each answer.

        A refusal has the status of the operation that failed; its text begins with `operation N: `, counted from 1.
        """
        return _bodies(await self.request("POST", "/transaction", _document(operations)), self.url)

    async def dry_run(self, operations: Sequence[Operation]) -> DryRun:
        """What `transaction` would do; refused where that would be. Changes nothing."""
        body = await self.request("POST", "/transaction", _document(operations), parameters={"dry_run": "true"})
        if not isinstance(body, dict) or body.get("dry_run") is not True:
            raise UnexpectedAnswer(f"{self.url} did not take this as a dry run; is it the API server?")
        return DryRun(_bodies(body.get("answer"), self.url), body.get("changes") or [])

    async def action(self, name: str, body: Mapping[str, Any]) -> Any:
        """POST to an action route such as `prop-collection-update`; gives its JSON, None for an empty answer."""
        return await self.request("POST", f"/{name}", body)

    async def ref_update(
        self, type: str, uuid: str, ref_type: str, ref_uuid: str, operation: Literal["ADD", "DELETE"], attr: Any = None
    ) -> None:
        await self.action("ref-update", {
            "type": type, "uuid": uuid, "ref-type": ref_type, "ref-uuid": ref_uuid,
            "operation": operation, "attr": attr,
        })  # fmt: skip

    async def set_annotation(self, uuid: str, key: str, value: str | None) -> None:
        """Set one annotation, or remove it (None)."""
        update: JsonObject = {"field": "annotations", "operation": "delete", "position": key}
        if value is not None:
            update |= {"operation": "set", "value": {"key": key, "value": value}}
        await self.action("prop-collection-update", {"uuid": uuid, "updates": [update]})

    async def fqname_to_id(self, type: str, fq_name: Sequence[str]) -> str:
        """uuid by name. NotFound if there is none."""
        return str((await self.action("fqname-to-id", {"type": type, "fq_name": [*fq_name]}))["uuid"])

    async def id_to_fqname(self, uuid: str) -> tuple[str, Sequence[str]]:
        """Type and name by uuid. NotFound if there is none."""
        found = await self.action("id-to-fqname", {"uuid": uuid})
        return str(found["type"]), found["fq_name"]

    async def newest_revision(self) -> int:
        """The revision the server stands at now."""
        await self.count("global-system-config")
        return self.revision

    async def changes(self, parameters: Mapping[str, str]) -> JsonObject:
        """A page of the change log: `changes`, `next`, `revision`, `compacted`; parameters as in docs/api.md. Gone if
        the log does not reach back so far."""
        within = float(parameters.get("wait", 0)) + TIMEOUT
        body = await self.request("GET", "/changes", parameters=parameters, within=within)
        self._unwrap_any("changes", body)
        page: JsonObject = body
        return page

    async def status(self, type: str, uuid: str) -> JsonObject:
        """What nodes have made of an object, joined, with the tree below it (docs/api.md). NotFound if it is not
        there."""
        return self._unwrap("status", await self.request("GET", f"/status/{type}/{uuid}"))

    async def statuses_of(self, node: str) -> Sequence[JsonObject]:
        """All that a node has reported."""
        body = await self.request("GET", "/status", parameters={"node": node})
        return list(self._unwrap_any("rows", body))

    async def report_status(
        self,
        node: str,
        revision: int,
        rows: Sequence[Mapping[str, Any]],
        agent: Mapping[str, Any] | None = None,
        scopes: Collection[str] | None = None,
    ) -> Sequence[str]:
        """Report what a node says of objects, without a revision of it; the uuids that the server does not know.

        revision: that the node has applied. agent: what its agent says of itself; None if that is as it was. scopes:
        what its watch is of, None for everything.
        """
        report: dict[str, Any] = {"node": node, "revision": revision, "rows": [*rows]}
        report["scopes"] = None if scopes is None else sorted(scopes)
        if agent is not None:
            report["agent"] = agent
        return list(self._unwrap_any("unknown", await self.request("POST", "/status", report)))

    async def nodes(self) -> Sequence[JsonObject]:
        """All nodes: which revision each has applied, and what it could not program and why (docs/api.md)."""
        return list(self._unwrap_any("nodes", await self.request("GET", "/status/nodes")))

    async def forget_node(self, name: str) -> None:
        """Until it reports again. NotFound if it never did."""
        await self.request("DELETE", f"/status/nodes/{quote(name, safe='')}")

    async def wait_for_nodes(
        self, revision: int | None = None, seconds: float = 30.0, *, ignored: Sequence[str] = (), silent: bool = True
    ) -> JsonObject:
        """Until all nodes have applied a revision (None: the newest there is now), or so many seconds have passed.

        Gives `revision`, `reached`, and `missing`: the nodes that have not. ignored: nodes that do not matter. silent:
        whether those do that do not report.
        """
        parameters = {"ignore_silent": "false" if silent else "true"} | (
            {"except": ",".join(ignored)} if ignored else {}
        )
        end = time.monotonic() + seconds
        while True:
            left = max(0.0, end - time.monotonic())
            if revision is not None:
                parameters["revision"] = str(revision)
            asked = min(left, LONGEST_WAIT)
            body = await self.request(
                "GET", "/status/wait", parameters={**parameters, "timeout": f"{asked:.3f}"}, within=asked + TIMEOUT
            )
            reached, revision = bool(self._unwrap_any("reached", body)), int(self._unwrap_any("revision", body))
            if reached or asked >= left:
                found: JsonObject = body
                return found

    async def follow_statuses(self, types: Sequence[str]) -> AsyncIterator[JsonObject]:
        """Statuses of objects of some types, without the trees below them, as they are and as they change; endless
        (`statuses`)."""
        async for found in statuses.follow(self._http, self.url, types, await self.newest_revision()):
            yield found

    def watch(
        self,
        types: Sequence[str] | Mapping[str, Sequence[str]],
        *,
        after: int | None = None,
        scopes: Collection[str] | None = None,
        shapes: Shapes = NO_SHAPES,
        ref_names: bool = True,
        begin: Begin | None = None,
        silence: float = SILENCE,
    ) -> Watch:
        """Follow changes of `types`; a mapping names the fields wanted of each (none: all of them).

        after: resume behind this revision instead of starting with a Snapshot.
        scopes: only of objects that concern one of these (docs/api.md), until the watch is given others.
        shapes: what to read objects into, by type (`Shapes`). ref_names: whether references have the name of what they
        are to, for which the server must look.
        begin: takes what comes into sight before the whole of its delta is there (see `Watch`).
        silence: seconds without a byte after which the connection counts as dead.
        """
        fields = types if isinstance(types, Mapping) else dict.fromkeys(types, ())
        return Watch(
            self._http,
            self.url,
            fields,
            after=after,
            scopes=scopes,
            shapes=shapes,
            ref_names=ref_names,
            begin=begin,
            silence=silence,
        )

    async def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        parameters: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        within: float = TIMEOUT,
    ) -> Any:
        """Any route; gives the parsed JSON, None for an empty body. within: seconds for the whole answer.

        A refusal that says when to try again (503 with `Retry-After`) says that nothing has happened, so it is tried
        again; one that does not is raised at once.
        """
        content, sent = None, dict(headers or {})
        if body is not None:
            content = orjson.dumps(body)
            sent["Content-Type"] = 'application/json; charset="UTF-8"'
        request = partial(
            self._http.request, method, path, content=content, headers=sent, params=parameters, timeout=within
        )
        try:
            answer = await request()
            for _ in range(RETRIES):
                if (pause := retry_after(answer)) is None:
                    break
                await self._sleep(min(pause, LONGEST_PAUSE) * random.uniform(1.0, 1.5))  # noqa: S311 - spreads load
                answer = await request()
        except httpx.HTTPError as error:
            raise Unreachable(self.url, str(error) or type(error).__name__) from error
        except httpx.InvalidURL as error:
            raise Unreachable(self.url, f"not a URL: {error}") from error
        if answer.status_code >= 400:
            raise refusal(answer.status_code, answer.text)
        revision = answer.headers.get("X-Revision", "")
        if revision.isdecimal():
            self.revision = max(self.revision, int(revision))
        if not answer.content:
            return None
        try:
            return orjson.loads(answer.content)
        except orjson.JSONDecodeError as error:
            text = f"{method} {self.url}{path} did not answer with JSON; is it the API server?"
            raise UnexpectedAnswer(text) from error

    def _unwrap(self, type: str, body: Any) -> JsonObject:
        found = self._unwrap_any(type, body) if body is not None else {}
        if not isinstance(found, dict):
            raise UnexpectedAnswer(f"{self.url} answered without a {type}; is it the API server?")
        return found

    def _unwrap_any(self, key: str, body: Any) -> Any:
        if not isinstance(body, dict) or key not in body:
            raise UnexpectedAnswer(f"{self.url} answered without {key!r}; is it the API server?")
        return body[key]


def retry_after(answer: httpx.Response) -> float | None:
    """Seconds after which to try again what did not happen; None: it is not said."""
    seconds = answer.headers.get("Retry-After", "") if answer.status_code == 503 else ""
    return float(seconds) if seconds.isdecimal() else None


def _document(operations: Sequence[Operation]) -> JsonObject:
    return {"operations": [operation.document() for operation in operations]}


def _bodies(body: Any, url: str) -> list[Any]:
    """Of the answers of a transaction."""
    answers = body.get("answers") if isinstance(body, dict) else None
    if not isinstance(answers, list):
        raise UnexpectedAnswer(f"{url} answered without 'answers'; is it the API server?")
    return [answer["body"] for answer in answers]
