"""Indented JSON for people: `?pretty`, what is typed at a terminal, a page opened in a browser."""

import httpx
import orjson
import pytest
from serverlab import create

CURL = {"User-Agent": "curl/8.5.0"}


@pytest.mark.parametrize(
    ("query", "headers", "indented"),
    [
        ("", {}, False),
        ("?pretty", {}, True),
        ("?pretty=true", {}, True),
        ("?count=True&pretty=1", {}, True),
        ("", CURL, True),
        ("", {"User-Agent": "Wget/1.21"}, True),
        ("", {"User-Agent": "HTTPie/3.2"}, True),
        ("", {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Site": "none"}, True),
        ("", {"User-Agent": "python-requests/2.32"}, False),
        ("?pretty=false", CURL, False),
        ("?pretty=0", CURL, False),
        ("?%C3%B9=%C3%B9&pretty&filters=%F0%9F%90%80==1", {}, True),
    ],
)
async def test_who_gets_it(client: httpx.AsyncClient, query: str, headers: dict[str, str], indented: bool) -> None:
    answer = await client.get(f"/domains{query}", headers=headers)
    plain = await client.get(f"/domains{query.replace('pretty', 'x')}")
    assert answer.json() == plain.json()
    assert answer.headers["content-type"] == "application/json"
    assert int(answer.headers["content-length"]) == len(answer.content)
    expected = orjson.dumps(plain.json(), option=orjson.OPT_INDENT_2) + b"\n" if indented else plain.content
    assert answer.content == expected


async def test_only_json_is_changed(client: httpx.AsyncClient) -> None:
    uuid = (await create(client, "loadbalancer", "lb", parent_type="project"))["uuid"]
    refused = await client.get("/foo", headers=CURL)
    assert (refused.status_code, refused.text) == (404, "Not found: '/foo'")
    told = await client.get("/foo", headers=CURL | {"Accept": "application/json"})
    assert told.text == '{\n  "error": {\n    "status": 404,\n    "text": "Not found: \'/foo\'"\n  }\n}\n'
    found = await client.get(f"/loadbalancer/{uuid}", headers=CURL)
    same = await client.get(f"/loadbalancer/{uuid}", headers=CURL | {"If-None-Match": found.headers["etag"]})
    assert (same.status_code, same.content) == (304, b"")
    head = await client.head(f"/loadbalancer/{uuid}", headers=CURL)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == found.headers["content-length"]
    assert (await client.get("/metrics", headers=CURL)).text.startswith("# HELP")
    deleted = await client.delete(f"/loadbalancer/{uuid}", headers=CURL)
    assert (deleted.status_code, deleted.content, deleted.headers["content-length"]) == (200, b"", "0")
