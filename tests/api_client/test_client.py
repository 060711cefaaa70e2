import json
import socket
from collections.abc import Callable
from typing import Any

import httpx
import pytest

import api_client
from api_client import (
    ApiClient,
    ApiError,
    BadRequest,
    ClientError,
    Conflict,
    Forbidden,
    Gone,
    NotFound,
    Operation,
    PreconditionFailed,
    Unavailable,
    UnexpectedAnswer,
    Unreachable,
    etag,
)

NETWORK = {"uuid": "u1", "fq_name": ["d", "p", "vn"]}


def answering(body: Any = None, status: int = 200, **headers: str) -> tuple[ApiClient, list[httpx.Request]]:
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        if body is None:
            return httpx.Response(status, headers=headers)
        return httpx.Response(status, headers=headers, content=body if isinstance(body, str) else json.dumps(body))

    return ApiClient("http://api/", transport=httpx.MockTransport(answer)), seen


async def test_create_wraps_and_unwraps() -> None:
    client, seen = answering({"virtual-network": NETWORK})
    async with client:
        assert await client.create("virtual-network", {"fq_name": ["d", "p", "vn"]}) == NETWORK
    assert (seen[0].method, seen[0].url.path) == ("POST", "/virtual-networks")
    assert json.loads(seen[0].content) == {"virtual-network": {"fq_name": ["d", "p", "vn"]}}
    assert seen[0].headers["Content-Type"].startswith("application/json")


async def test_read_update_delete() -> None:
    client, seen = answering({"virtual-network": NETWORK})
    async with client:
        assert await client.read("virtual-network", "u1", fields=["a", "b"], bare=True) == NETWORK
        assert await client.update("virtual-network", "u1", {"display_name": "x"}) == NETWORK
        await client.delete("virtual-network", "u1")
    assert [request.method for request in seen] == ["GET", "PUT", "DELETE"]
    assert {request.url.path for request in seen} == {"/virtual-network/u1"}
    assert dict(seen[0].url.params) == {"fields": "a,b", "exclude_children": "true", "exclude_back_refs": "true"}


async def test_an_empty_answer_to_an_update_is_no_error() -> None:
    client, _ = answering()
    async with client:
        assert await client.update("virtual-network", "u1", {}) == {}


async def test_an_update_of_the_version_that_was_read() -> None:
    client, seen = answering({"virtual-network": NETWORK})
    read = NETWORK | {"id_perms": {"last_modified": "2026-11-23T02:43:24.098180"}}
    async with client:
        await client.update("virtual-network", "u1", {"display_name": "x"}, etag=etag(read))
        await client.update("virtual-network", "u1", {"display_name": "x"})
    assert seen[0].headers["If-Match"] == '"2026-11-23T02:43:24.098180"'
    assert "If-Match" not in seen[1].headers


OPERATIONS = [
    Operation.create("virtual-network", {"fq_name": ["d", "p", "vn"]}),
    Operation.update("virtual-network", "u1", {"display_name": "x"}, etag='"t"'),
    Operation.delete("virtual-network", "u1"),
]


async def test_a_transaction_is_one_request() -> None:
    client, seen = answering({"answers": [{"status": 200, "body": {"virtual-network": NETWORK}},
                                          {"status": 200, "body": {}}, {"status": 200, "body": None}]})  # fmt: skip
    async with client:
        assert await client.transaction(OPERATIONS) == [{"virtual-network": NETWORK}, {}, None]
    (request,) = seen
    assert (request.method, request.url.path, request.url.query) == ("POST", "/transaction", b"")
    assert json.loads(request.content) == {"operations": [
        {"method": "POST", "path": "/virtual-networks", "body": {"virtual-network": {"fq_name": ["d", "p", "vn"]}}},
        {"method": "PUT", "path": "/virtual-network/u1", "body": {"virtual-network": {"display_name": "x"}},
         "if_match": '"t"'},
        {"method": "DELETE", "path": "/virtual-network/u1"},
    ]}  # fmt: skip


async def test_a_dry_run_says_what_would_change() -> None:
    change = {"operation": "create", "type": "virtual-network", "uuid": "u1"}
    answer = {"answers": [{"status": 200, "body": None}]}
    client, seen = answering({"dry_run": True, "answer": answer, "changes": [change]})
    async with client:
        would = await client.dry_run(OPERATIONS[:1])
    assert (would.answers, would.changes) == ([None], [change])
    assert dict(seen[0].url.params) == {"dry_run": "true"}


@pytest.mark.parametrize("body", [{"answers": []}, {}, [], None])
async def test_a_server_that_knows_no_dry_run_is_not_believed(body: Any) -> None:
    client, _ = answering(body)
    async with client:
        with pytest.raises(UnexpectedAnswer, match="dry run"):
            await client.dry_run(OPERATIONS)


async def test_names_both_ways() -> None:
    client, _ = answering({"type": "virtual-network", "fq_name": ["d", "p", "vn"], "uuid": "u1"})
    async with client:
        assert await client.id_to_fqname("u1") == ("virtual-network", ["d", "p", "vn"])
        assert await client.fqname_to_id("virtual-network", ["d", "p", "vn"]) == "u1"


async def test_lists() -> None:
    client, seen = answering({"virtual-networks": [NETWORK]})
    async with client:
        assert await client.list("virtual-network", parent_id="p") == [NETWORK]
    assert dict(seen[0].url.params) == {"parent_id": "p"}
    client, _ = answering({"virtual-networks": [{"virtual-network": NETWORK}]})
    async with client:
        assert await client.list("virtual-network", detail=True) == [NETWORK]
    client, _ = answering({"virtual-networks": {"count": 3}})
    async with client:
        assert await client.count("virtual-network") == 3


async def test_actions() -> None:
    client, seen = answering({"uuid": "u1"}, **{"X-Revision": "17"})
    async with client:
        assert await client.fqname_to_id("virtual-network", ("d", "p", "vn")) == "u1"
        await client.ref_update("floating-ip", "f", "virtual-machine-interface", "i", "ADD")
        await client.set_annotation("m", "vmi", "i")
        await client.set_annotation("m", "vmi", None)
        assert client.revision == 17
    bodies = [json.loads(request.content) for request in seen]
    assert [request.url.path for request in seen] == [
        "/fqname-to-id", "/ref-update", "/prop-collection-update", "/prop-collection-update",
    ]  # fmt: skip
    assert bodies[1]["ref-uuid"] == "i"
    assert bodies[1]["operation"] == "ADD"
    assert bodies[2]["updates"][0]["value"] == {"key": "vmi", "value": "i"}
    assert bodies[3]["updates"] == [{"field": "annotations", "operation": "delete", "position": "vmi"}]


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, BadRequest), (401, Forbidden), (403, Forbidden), (404, NotFound), (409, Conflict), (410, Gone),
     (412, PreconditionFailed), (500, ApiError), (503, Unavailable)],
)  # fmt: skip
async def test_a_refusal_carries_status_and_words(status: int, kind: type[ApiError]) -> None:
    client, _ = answering("the very words", status)
    async with client:
        with pytest.raises(ApiError) as caught:
            await client.read("virtual-network", "u1")
    assert type(caught.value) is kind
    assert (caught.value.status, caught.value.text) == (status, "the very words")


async def test_the_words_of_a_refusal_that_is_a_page() -> None:
    client, _ = answering("<html><body><pre>quota limit (2) &lt;exceeded&gt;</pre></body></html>", 412)
    async with client:
        with pytest.raises(PreconditionFailed) as caught:
            await client.create("security-group", {})
    assert caught.value.text == "quota limit (2) <exceeded>"


async def test_nobody_there_names_the_url_and_the_remedy() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
        async with ApiClient(url) as client:
            with pytest.raises(Unreachable, match="vaportrail serve") as caught:
                await client.list("virtual-network")
    assert url in str(caught.value)


@pytest.mark.parametrize("url", ["localhost:8082", "ftp://x", "http://", "", "http://x:port"])
def test_what_is_no_url_is_said_at_once(url: str) -> None:
    with pytest.raises(Unreachable, match="not a"):
        ApiClient(url)


def failing(error: Exception) -> Callable[[httpx.Request], httpx.Response]:
    def answer(request: httpx.Request) -> httpx.Response:
        raise error

    return answer


@pytest.mark.parametrize(
    "error", [httpx.ReadTimeout("slow"), httpx.RemoteProtocolError("cut"), httpx.InvalidURL("bad")]
)
async def test_no_exception_of_the_library_gets_out(error: Exception) -> None:
    async with ApiClient("http://api", transport=httpx.MockTransport(failing(error))) as client:
        with pytest.raises(Unreachable):
            await client.list("virtual-network")


@pytest.mark.parametrize("body", ["<html>", "[]", '{"other": {}}', '{"virtual-network": []}'])
async def test_another_server_behind_the_url_is_recognised(body: str) -> None:
    client, _ = answering(body)
    async with client:
        with pytest.raises(UnexpectedAnswer, match="is it the API server"):
            await client.read("virtual-network", "u1")


def test_one_tree_of_exceptions() -> None:
    errors = [value for name in api_client.__all__ if isinstance(value := getattr(api_client, name), type)]
    assert all(issubclass(error, ClientError) for error in errors if issubclass(error, Exception))


@pytest.mark.parametrize(("headers", "asked"), [({"Retry-After": "2"}, 4), ({}, 1), ({"Retry-After": "soon"}, 1)])
async def test_only_what_says_that_nothing_happened_is_tried_again(headers: dict[str, str], asked: int) -> None:
    pauses: list[float] = []
    seen = 0

    def answer(_: httpx.Request) -> httpx.Response:
        nonlocal seen
        seen += 1
        return httpx.Response(503, headers=headers, content="busy")

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    async with ApiClient("http://api/", transport=httpx.MockTransport(answer), sleep=sleep) as client:
        with pytest.raises(Unavailable):
            await client.delete("virtual-network", "u1")
    assert seen == asked
    assert len(pauses) == asked - 1
    assert all(2 <= pause <= 3 for pause in pauses)
