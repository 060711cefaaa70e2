"""`POST /transaction`: several writes at once, or none of them.

    {"operations": [{"method": "POST", "path": "/virtual-networks", "body": {...}, "if_match": "<ETag>"}, ...]}

An operation is a write as it would be sent alone; each sees what those before it did. All of them are one revision, so
a watcher never sees a part. The answers stand in the same order; a refusal names the operation (counted from 1) and has
the status that it would have had alone.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import copy
from dataclasses import replace
from typing import Any

import orjson
from fastapi import APIRouter

from api_server.errors import ApiError, BadRequest, MethodNotAllowed, NotFound
from api_server.routes.middleware import Exchange
from api_server.routes.plans import PLANNERS, Plan, Planner, matching, write
from api_server.routes.resources import METHODS, find_place
from api_server.routes.service import Service, mapped
from api_server.store.transaction import Transaction
from schema.quoting import quote

router = APIRouter()

MOST = 1000
"""Operations of one transaction: all other writes wait for it, up to about half a second."""

MEMBERS = {"method", "path", "body", "if_match"}


@contextmanager
def counted(number: int) -> Iterator[None]:
    """Refusals say which operation they are about. number: from 1."""
    try:
        yield
    except ApiError as error:
        told = copy(error)
        told.text = f"operation {number}: {error.text}"
        raise told from error


def find(method: str, path: str) -> tuple[Planner[...], dict[str, Any]]:
    """The planner of a write, and what its path names. NotFound or MethodNotAllowed as if it were sent alone."""
    if place := find_place(path):
        if found := place.write(method):
            return found[1], place.parameters
        raise MethodNotAllowed(tuple(name for name in METHODS[place.uuid is not None] if name != "GET"))
    for pattern, planner in PLANNERS:
        if matched := pattern.match(path):
            if planner is transaction:
                raise BadRequest("Bad Request, a transaction cannot be an operation of another")
            if method != "POST":
                raise MethodNotAllowed(("POST",))
            return planner, matched.groupdict()
    raise NotFound(f"Not found: '{quote(path)}'")


def plan(server: Service, current: Exchange, operation: Any) -> tuple[Plan[Any], Any]:
    """One operation, and its call."""
    if not isinstance(operation, dict):
        raise BadRequest(f"Bad Request, an operation must be an object with method, path and body: {quote(operation)}")
    method, path = operation.get("method"), operation.get("path")
    if not isinstance(method, str) or not isinstance(path, str) or not path.startswith("/"):
        raise BadRequest("Bad Request, an operation needs a method such as 'POST' and a path such as '/projects'")
    if unknown := sorted(operation.keys() - MEMBERS):
        raise BadRequest(f"Bad Request, an operation has no member {quote(unknown[0])}")
    planner, parameters = find(method.upper(), path)
    planned = planner(server, current, operation.get("body"), **parameters)
    return planned, matching(planned, operation.get("if_match"))


@write(router, "/transaction")
def transaction(server: Service, current: Exchange, document: Any) -> Plan[Sequence[Any]]:
    operations = mapped(document).get("operations")
    if not isinstance(operations, list) or not operations:
        raise BadRequest("Bad Request, operations must be a list of at least one operation")
    if len(operations) > MOST:
        raise BadRequest(f"Bad Request, operations are {len(operations)}, and {MOST} is the limit of one transaction")
    exchanges = [replace(current, change=None) for _ in operations]
    planned = []
    for number, (own, operation) in enumerate(zip(exchanges, operations, strict=True), 1):
        with counted(number):
            planned.append(plan(server, own, operation))

    def call(tx: Transaction) -> list[Any]:
        results = []
        for number, (_, one) in enumerate(planned, 1):
            with counted(number):
                results.append(one(tx))
        return results

    def answer(results: Sequence[Any]) -> bytes:
        bodies = [one.answer(result) for (one, _), result in zip(planned, results, strict=True)]
        changes = [own.change for own in exchanges if own.change is not None]
        current.change = {"action": "transaction", "operations": changes} if changes else None
        answers = [{"status": 200, "body": orjson.Fragment(body or b"null")} for body in bodies]
        return orjson.dumps({"answers": answers})

    current.change = {"action": "transaction"}
    return Plan(call, answer)
