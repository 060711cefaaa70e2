"""The OpenAPI documents are whole: every route is in one of them, with every status, and an id of its own."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from fastapi.routing import APIRoute

import schema
from api_server.app import MODULES
from api_server.routes.home import ACTIONS
from api_server.routes.openapi.documents import actions_document, document_names, family_document
from api_server.routes.plans import PLANNERS

METHODS = {"get", "post", "put", "delete"}
PAGES = ("/docs", "/documentation", "/openapi")
"""For people, and the documents themselves."""


def document(name: str) -> dict[str, Any]:
    found: dict[str, Any] = orjson.loads(
        family_document(name) if name in schema.load().families else actions_document()
    )
    return found


def operations(name: str) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document(name)["paths"].items():
        for method, operation in methods.items():
            if method in METHODS:
                yield path, method, operation


def test_every_action_is_documented() -> None:
    documented = {(path, method) for path, method, _ in operations("actions")}
    served = {
        (route.path, method.lower())
        for module in MODULES
        for route in module.router.routes
        if isinstance(route, APIRoute) and not route.path.startswith(PAGES)
        for method in route.methods
    }
    assert served == documented
    assert {(path.replace("%s", "{uuid}"), method.lower()) for _, path, method in ACTIONS} <= documented


@pytest.mark.parametrize("name", document_names())
def test_operations_have_an_id_of_their_own(name: str) -> None:
    idents = Counter(operation["operationId"] for _, _, operation in operations(name))
    assert set(idents.values()) == {1}


@pytest.mark.parametrize("name", document_names())
def test_every_write_can_be_rehearsed(name: str) -> None:
    for path, method, operation in operations(name):
        writes = method != "get" and (
            name != "actions" or any(pattern.match(path.replace("{uuid}", "u")) for pattern, _ in PLANNERS)
        )
        parameters = {parameter["name"] for parameter in operation.get("parameters", ())}
        assert ("dry_run" in parameters) == writes, (path, method)


@pytest.mark.parametrize("name", document_names())
def test_refusals_are_documented(name: str) -> None:
    for path, _, operation in operations(name):
        assert {"400", "403", "503"} <= operation["responses"].keys(), path
        if "requestBody" in operation:
            assert {"413", "501"} & operation["responses"].keys(), path
