"""What operators and readers look at: health, metrics, log lines, the documents of the API, the links."""

import json
from typing import Any

import httpx
import pytest
import structlog
from fastapi import FastAPI
from serverlab import PROJECT, create

import schema
from api_server.app import create_app
from api_server.routes.home import ACTIONS


async def test_health_says_the_revision(client: httpx.AsyncClient) -> None:
    answer = await client.get("/healthz")
    assert answer.status_code == 200
    assert answer.json() == {"status": "ok", "revision": int(answer.headers["x-revision"])}


async def test_metrics_have_no_labels_from_clients(client: httpx.AsyncClient) -> None:
    await create(client, "loadbalancer", "very-special-name")
    await client.get("/very-special-path")
    await client.request("VERYSPECIAL", "/loadbalancers")
    text = (await client.get("/metrics")).text
    assert 'vaportrail_answers_total{method="POST",route="create",status="200"} 1.0' in text
    assert 'vaportrail_answers_total{method="GET",route="unknown",status="404"} 1.0' in text
    assert "pecial" not in text.lower()
    assert "vaportrail_store_writes_total 2.0" in text  # the default objects, and the load balancer
    revision = (await client.get("/healthz")).json()["revision"]
    assert f"vaportrail_revision {float(revision)}" in text


async def test_a_line_per_change_and_per_refusal(client: httpx.AsyncClient) -> None:
    headers = {"X-Request-Id": "my-id", "X-User": "alice"}
    with structlog.testing.capture_logs() as lines:
        body = {"loadbalancer": {"fq_name": [*PROJECT, "lb"]}}
        answer = await client.post("/loadbalancers", json=body, headers=headers)
        assert (await client.get("/loadbalancers")).status_code == 200
        refused = await client.post("/loadbalancers", json=body, headers=headers)
    changed, refusal = lines
    created = answer.json()["loadbalancer"]
    assert answer.headers["x-request-id"] == "my-id"
    assert changed.pop("ms") > 0
    assert changed == {
        "event": "changed", "log_level": "info", "request_id": "my-id", "user": "alice", "method": "POST",
        "action": "create", "type": "loadbalancer", "uuid": created["uuid"],
        "fq_name": "default-domain:default-project:lb", "revision": int(answer.headers["x-revision"]), "status": 200,
    }  # fmt: skip
    assert refused.status_code == refusal["status"] == 409
    assert refusal["reason"] == refused.text
    assert (refusal["event"], refusal["log_level"], refusal["request_id"]) == ("refused", "warning", "my-id")


async def test_a_line_has_an_end(client: httpx.AsyncClient) -> None:
    with structlog.testing.capture_logs() as lines:
        name = {"type": "loadbalancer", "fq_name": ["x" * 100_000]}
        refused = await client.post("/fqname-to-id", json=name)
        await client.post("/chown", json={"uuid": "y" * 100_000, "owner": "z"})
        await client.post("/ref-relax-for-delete", json={"uuid": "y" * 100_000, "ref-uuid": "z"})
    assert len(refused.text) > 100_000
    assert [line["event"] for line in lines] == ["refused"] * 3
    assert max(len(str(line)) for line in lines) < 5000


@pytest.mark.parametrize("given", ["", "a b", "x" * 129, "\x80"])
async def test_an_unfit_request_id_is_replaced(client: httpx.AsyncClient, given: str) -> None:
    answer = await client.get("/", headers={"X-Request-Id": given.encode("latin-1")})
    assert answer.headers["x-request-id"].startswith("req-")


async def test_a_client_that_goes_away_is_no_fault(app: FastAPI, client: httpx.AsyncClient) -> None:
    """In the midst of its body: the line says so, and nothing else does."""
    scope = {
        "type": "http", "method": "POST", "path": "/loadbalancers", "raw_path": b"/loadbalancers", "query_string": b"",
        "headers": [(b"host", b"test"), (b"content-length", b"100")], "server": ("test", 80),
    }  # fmt: skip
    messages = iter([{"type": "http.request", "body": b'{"load', "more_body": True}, {"type": "http.disconnect"}])

    async def receive() -> Any:
        return next(messages)

    async def send(_: Any) -> None:
        """Nobody is there to hear it."""

    with structlog.testing.capture_logs() as lines:
        await app(scope, receive, send)
    (line,) = lines
    assert (line["event"], line["reason"]) == ("refused", "The body breaks off: the client is gone")


async def test_a_fault_is_no_traceback(client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError("secret")

    monkeypatch.setattr("api_server.resources.operations.Operations.create", broken)
    with structlog.testing.capture_logs() as lines:
        answer = await client.post("/loadbalancers", json={"loadbalancer": {"fq_name": [*PROJECT, "lb"]}})
    assert answer.status_code == 500
    assert answer.text == f"Internal Server Error ({answer.headers['x-request-id']})"
    assert "secret" in next(line["traceback"] for line in lines if line["event"] == "fault")


async def test_home_has_every_link(client: httpx.AsyncClient) -> None:
    home = (await client.get("/", headers={"Host": "api.localhost:99"})).json()
    assert home["href"] == "http://api.localhost:99"
    links = [item["link"] for item in home["links"]]
    assert all(link.keys() == {"rel", "href", "name", "method"} for link in links)
    by_rel: dict[str, list[dict[str, Any]]] = {}
    for link in links:
        by_rel.setdefault(link["rel"], []).append(link)
    assert list(by_rel) == ["documentation", "root", "collection", "resource-base", "action"]
    types = schema.load().types.values()
    assert {link["name"]: link["href"] for link in by_rel["collection"]} == {
        kind.name: f"http://api.localhost:99/{kind.plural}" for kind in types
    }
    assert {link["name"]: link["href"] for link in by_rel["resource-base"]} == {
        kind.name: f"http://api.localhost:99/{kind.name}" for kind in types
    }
    allocate = next(link for link in by_rel["action"] if link["name"] == "virtual-network-ip-alloc")
    assert allocate["href"].endswith("/virtual-network/%s/ip-alloc")
    for _, path, method in ACTIONS:
        answer = await client.request(method, path.replace("%s", "u"), json={})
        assert answer.status_code not in (405, 500), path
        assert not answer.text.startswith("Not found"), path


async def test_head_is_get_without_a_body(client: httpx.AsyncClient) -> None:
    for path in ("/", "/loadbalancers", "/healthz"):
        got, head = await client.get(path), await client.head(path)
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["content-length"] == got.headers["content-length"]
    head = await client.head("/watch?resource_type=loadbalancer")
    assert (head.content, head.headers["content-type"]) == (b"", "text/event-stream")


async def test_contrails_link_to_the_documentation_leads_somewhere(client: httpx.AsyncClient) -> None:
    page = await client.get("/documentation/index.html")
    assert (page.status_code, page.text) == (200, (await client.get("/docs")).text)


def references(document: Any) -> set[str]:
    if isinstance(document, dict):
        own = {document["$ref"]} if isinstance(document.get("$ref"), str) else set()
        return own.union(*[references(value) for value in document.values()])
    return set().union(*[references(value) for value in document]) if isinstance(document, list) else set()


async def test_every_type_is_documented_exactly_once(client: httpx.AsyncClient) -> None:
    paths: list[str] = []
    for family in schema.load().families:
        document = (await client.get(f"/openapi/{family}.json")).json()
        assert document["openapi"].startswith("3.0")
        paths += document["paths"]
        known = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
        assert references(document) <= known
    expected = [path for kind in schema.load().types.values() for path in (f"/{kind.plural}", f"/{kind.name}/{{uuid}}")]
    assert sorted(paths) == sorted(expected)


async def test_documents_say_what_validation_says(client: httpx.AsyncClient) -> None:
    document = (await client.get("/openapi/" + schema.load().types["loadbalancer-pool"].family + ".json")).json()
    schemas = json.dumps(document["components"]["schemas"])
    assert "ROUND_ROBIN" in schemas
    assert "loadbalancer_pool_properties" in schemas


async def test_docs_load_nothing_from_elsewhere(client: httpx.AsyncClient) -> None:
    index = await client.get("/docs")
    family = next(iter(schema.load().families))
    page = await client.get(f"/docs/{family}")
    for answer in (index, page):
        assert answer.status_code == 200
        assert "default-src 'self'" in answer.headers["content-security-policy"]
        assert "://" not in answer.text
    for kind in schema.load().types:
        assert kind in index.text
    for name in (
        "swagger-ui.css",
        "swagger-ui-bundle.js",
        "swagger-ui-standalone-preset.js",
        "favicon-32x32.png",
        "start.js",
    ):
        assert f"/docs/assets/{name}" in page.text
        assert len((await client.get(f"/docs/assets/{name}")).content) > 400
    actions = (await client.get("/openapi/actions.json")).json()
    assert "/ref-update" in actions["paths"]
    for path in ("/docs/nonsense", "/docs/assets/nonsense", "/docs/assets/..%2f__init__.py", "/openapi/nonsense.json"):
        assert (await client.get(path)).status_code == 404


async def test_nothing_is_served_before_the_store_is_open(settings: Any) -> None:
    app = create_app(settings)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        for path in ("/healthz", "/loadbalancers"):
            answer = await client.get(path)
            assert answer.status_code == 503
            assert answer.headers["content-type"] == "text/html; charset=UTF-8"
