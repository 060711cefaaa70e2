"""Writes as values: a request is read and checked first, which gives a `Plan`; then the plan is carried out.

So every write can be rehearsed (`?dry_run=true`: the whole transaction, answered with its changes and rolled back), be
bound to a version (`If-Match`) and be one operation of several (`POST /transaction`), and no route has to know of it.
"""

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar

import orjson
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import compile_path

from api_server.errors import BadRequest, PreconditionFailed
from api_server.routes.middleware import Exchange, exchange
from api_server.routes.service import Service, document, named, service
from api_server.store.transaction import Transaction
from schema.quoting import quote

Result = TypeVar("Result")
Parameters = ParamSpec("Parameters")

JSON = "application/json"
TEXT = "text/html; charset=UTF-8"
"""What Contrail labels an empty answer with (contract 4.7): nothing is no JSON."""

ANY = "*"
"""In place of versions: whichever there is."""

ETAG = re.compile(r'(?:W/)?(?:"([^"]*)"|([^\s",]+))')


@dataclass(frozen=True, slots=True)
class Plan(Generic[Result]):
    """A write that has been read and checked.

    call: what happens in the transaction. answer: the body made from its result, JSON or nothing.
    subject: uuid of the one object it is about, whose version `If-Match` names; None: there is no such object.
    seeks: see `Store.write`.
    """

    call: Callable[[Transaction], Result]
    answer: Callable[[Result], bytes] = lambda _: b""
    subject: str | None = None
    seeks: Collection[tuple[str, str]] = ()


Planner = Callable[Concatenate[Service, Exchange, Any, Parameters], Plan[Any]]
"""Makes a plan of a request's document and of what its path names. ApiError if the request is wrong."""

PLANNERS: list[tuple[re.Pattern[str], Planner[...]]] = []
"""Of the actions that write, by path: all are POSTed."""


def planned(path: str) -> Callable[[Planner[Parameters]], Planner[Parameters]]:
    """Plans what is POSTed to `path`; its `{parameters}` are the planner's, by name."""
    pattern, _, _ = compile_path(path)

    def register(planner: Planner[Parameters]) -> Planner[Parameters]:
        PLANNERS.append((pattern, planner))
        return planner

    return register


def write(router: APIRouter, path: str) -> Callable[[Planner[Parameters]], Planner[Parameters]]:
    """The same, and served at once. Metrics have the last element of the path as the class of route."""

    def register(planner: Planner[Parameters]) -> Planner[Parameters]:
        async def route(request: Request) -> Response:
            named(request, path.rpartition("/")[2])
            return await perform(request, planner, request.path_params)

        router.add_api_route(path, route, methods=["POST"])
        return planned(path)(planner)

    return register


async def perform(
    request: Request, planner: Planner[...], parameters: Mapping[str, Any], *, bodied: bool = True
) -> Response:
    """Plan a request and carry it out. bodied: False for a method whose body nobody reads."""
    server, current = service(request), exchange(request)
    plan = planner(server, current, await document(request) if bodied else None, **parameters)
    if_match = current.headers.get(b"if-match")
    call = plan.call if if_match is None else matching(plan, if_match.decode("latin-1"))
    if request.scope["query_string"] and flag(request.query_params, "dry_run"):
        result, changes = await server.rehearse(current, call)
        body = orjson.dumps({
            "dry_run": True, "answer": orjson.Fragment(plan.answer(result) or b"null"), "changes": changes,
        })  # fmt: skip
        current.change = None
        return Response(body, media_type=JSON)
    body = plan.answer(await server.write(current, call, plan.seeks))
    return Response(body, headers={"content-type": JSON if body else TEXT})


def flag(query: Mapping[str, str], name: str) -> bool:
    """`?name`, with or without a value that says yes. What says neither yes nor no must not be taken for a no."""
    match query.get(name, "false").lower():
        case "" | "true" | "1":
            return True
        case "false" | "0":
            return False
        case other:
            raise BadRequest(f"Bad Request, {name} must be true or false: {quote(other)}")


def versions(header: str) -> set[str]:
    """The ETags in If-Match or If-None-Match, quoted or not, strong or weak."""
    return {quoted or bare for quoted, bare in ETAG.findall(header)}


def matching(plan: Plan[Result], if_match: Any) -> Callable[[Transaction], Result]:
    """The plan's call, refused unless its object still is of a version that the client has seen (RFC 9110, 13.1.1).

    if_match: as in the header: `*` or ETags, which are `last_modified` in quotes; None: not asked for.
    """
    if if_match is None:
        return plan.call
    if not isinstance(if_match, str):
        raise BadRequest(f"Bad Request, if_match must be an ETag: {quote(if_match)}")
    subject, named = plan.subject, versions(if_match)
    if subject is None:
        raise BadRequest("Bad Request, If-Match goes with a request about one object that exists")

    def call(tx: Transaction) -> Result:
        found = tx.get(subject)
        if found is not None and not named & {found.modified, ANY}:
            raise PreconditionFailed(f'{found.type} {subject} has changed: its version is now "{found.modified}"')
        return plan.call(tx)

    return call
