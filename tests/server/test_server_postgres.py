"""The same on PostgreSQL: a tour of everything that touches the database."""

import asyncio
import base64
import random
from pathlib import Path

import httpx
import psycopg
import pytest
import structlog
from pg_proxy import Commit, PgProxy
from serverlab import PROJECT, create, listening, read, running

from api_server.app import create_app
from api_server.settings import Settings
from api_server.store import UnusableDatabase, engine


async def tour(client: httpx.AsyncClient) -> list[object]:
    """What a client sees, without what differs from run to run (uuids, times)."""
    seen: list[object] = []
    pool = await create(client, "loadbalancer-pool", "pool")
    members = [
        await create(client, "loadbalancer-member", [*pool["fq_name"], name])
        for name in ("b", "Z", "a", "é", "10", "9")
    ]
    for query in (
        {},
        {"parent_id": pool["uuid"]},
        {"filters": "display_name==a"},
        {"page_marker": "", "page_limit": "3"},
    ):
        answer = await client.get("/loadbalancer-members", params={"detail": "true", **query})
        listed = answer.json()["loadbalancer-members"]
        seen.append([each["loadbalancer-member"]["fq_name"][-1] for each in listed])
    path = f"/loadbalancer-member/{members[0]['uuid']}"
    body = {"loadbalancer-member": {"loadbalancer_member_properties": {"address": "10.0.0.1", "weight": 2**31}}}
    seen.append((await client.put(path, json=body)).status_code)
    seen.append((await read(client, "loadbalancer-member", members[0]["uuid"]))["loadbalancer_member_properties"])
    again = {"loadbalancer-member": {"fq_name": members[0]["fq_name"]}}
    taken = await client.post("/loadbalancer-members", json=again)
    seen.append((taken.status_code, taken.text.replace(members[0]["uuid"], "U")))
    used = await client.delete(f"/loadbalancer-pool/{pool['uuid']}")
    seen.append((used.status_code, used.text.split("'")[0]))
    seen.append((await client.get("/loadbalancer/" + "x" * 10_000)).status_code)
    for key, value in (("k", "v"), ("k", "w")):
        await client.post("/useragent-kv", json={"operation": "STORE", "key": key, "value": value})
    seen.append((await client.post("/useragent-kv", json={"operation": "RETRIEVE", "key": None})).json())
    seen.append(
        (await client.post("/loadbalancers", json={"loadbalancer": {"fq_name": [*PROJECT, "x" * 4000]}})).text[:40]
    )
    # What stands in an index has to fit there, however little it can be compressed.
    long = base64.b64encode(random.Random(1).randbytes(3000)).decode()
    kept = await client.post("/useragent-kv", json={"operation": "STORE", "key": long, "value": "v"})
    seen.append((kept.status_code, kept.text))
    pair = {"key": "vmi", "value": long}
    marked = {"loadbalancer-member": {"annotations": {"key_value_pair": [pair]}}}
    seen.append((await client.put(path, json=marked)).status_code)
    body = {"loadbalancer-member": {"annotations": None, "loadbalancer_member_properties": {"address": long}}}
    seen.append((await client.put(path, json=body)).status_code)
    async with client.stream("GET", "/watch?resource_type=loadbalancer-member&since=0") as stream:
        events = []
        async for line in stream.aiter_lines():
            if line.startswith("event"):
                events.append(line)
            if len(events) == len(members) + 1:
                break
    seen.append(events)
    return seen


async def test_both_databases_behave_alike(postgres_url: str, tmp_path: Path) -> None:
    found = []
    for database in (postgres_url, f"sqlite:///{tmp_path}/a.db"):
        app = create_app(Settings(database=database))
        async with listening(app) as url, httpx.AsyncClient(base_url=url, timeout=30) as client:
            found.append(await tour(client))
    assert found[0] == found[1]
    assert (400, "A key must not be longer than 2048 bytes") in found[0]


async def test_concurrent_creates_have_one_winner_each(postgres_url: str) -> None:
    app = create_app(Settings(database=postgres_url))
    async with listening(app) as url, httpx.AsyncClient(base_url=url, timeout=30) as client:
        body = {"loadbalancer": {"fq_name": [*PROJECT, "lb"]}}
        answers = await asyncio.gather(*[client.post("/loadbalancers", json=body) for _ in range(20)])
        assert sorted(answer.status_code for answer in answers) == [200] + [409] * 19
        revisions = {int(answer.headers["x-revision"]) for answer in answers if answer.status_code == 200}
        assert revisions == {int((await client.get("/healthz")).headers["x-revision"])}


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_database_that_goes_away_is_503(postgres_url: str, method: str) -> None:
    app = create_app(Settings(database=postgres_url))
    async with listening(app) as url, httpx.AsyncClient(base_url=url, timeout=30) as client:
        await create(client, "loadbalancer", "before")
        name = postgres_url.rsplit("/", 1)[1].split("?", maxsplit=1)[0]
        with psycopg.connect(postgres_url, autocommit=True) as other:
            other.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity where datname = %s and pid <> pg_backend_pid()",
                [name],
            )
        body = {"loadbalancer": {"fq_name": [*PROJECT, "after"]}} if method == "POST" else None
        answer = await client.request(method, "/loadbalancers", json=body)
        assert answer.status_code in (200, 503)
        if answer.status_code == 503:  # the client tries again
            answer = await client.request(method, "/loadbalancers", json=body)
        assert answer.status_code == 200


async def test_a_commit_whose_answer_is_lost_happened_once(postgres_url: str) -> None:
    with PgProxy(postgres_url) as proxy:
        app = create_app(Settings(database=proxy.url))
        async with listening(app) as url, httpx.AsyncClient(base_url=url, timeout=30) as client:
            before = await create(client, "loadbalancer", "before")
            since = (await client.get("/healthz")).headers["x-revision"]
            for fate in (Commit.UNANSWERED, Commit.UNSENT):
                proxy.at_commit(fate)
                after = await create(client, "loadbalancer", fate.name)
                assert proxy.struck.is_set()
                proxy.at_commit(fate)
                assert (await client.delete(f"/loadbalancer/{after['uuid']}")).status_code == 200
                assert proxy.struck.is_set()
            listed = (await client.get("/loadbalancers")).json()["loadbalancers"]
            assert [one["uuid"] for one in listed] == [before["uuid"]]
            events: list[str] = []
            async with client.stream("GET", f"/watch?resource_type=loadbalancer&since={since}") as stream:
                async for line in stream.aiter_lines():
                    if line.startswith("event: ") and "bookmark" not in line:
                        events.append(line.removeprefix("event: "))
                    if len(events) == 4:
                        break
            assert events == ["create", "delete"] * 2


async def test_where_the_database_is_stands_in_the_log_only(postgres_url: str) -> None:
    with PgProxy(postgres_url) as proxy:
        app = create_app(Settings(database=proxy.url))
        async with listening(app) as url, httpx.AsyncClient(base_url=url, timeout=30) as client:
            proxy.refusing = True
            proxy.cut()
            body = {"loadbalancer": {"fq_name": [*PROJECT, "lb"]}}
            with structlog.testing.capture_logs() as lines:
                answers = [await client.get("/loadbalancers"), await client.post("/loadbalancers", json=body)]
                assert {(one.status_code, one.text) for one in answers} == {(503, "The database is away")}
            where = proxy.url.removeprefix("postgresql://").partition("?")[0]
            assert [where in line["reason"] for line in lines if line["event"] == "refused"] == [True, True]
            proxy.refusing = False
            assert (await client.post("/loadbalancers", json=body)).status_code == 200


async def test_a_start_beside_a_writer_that_does_not_end_says_so(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "POSTGRESQL_SETUP", (*engine.POSTGRESQL_SETUP, "set lock_timeout='200ms'"))
    app = create_app(Settings(database=postgres_url))
    async with running(app):
        pass
    with psycopg.connect(postgres_url) as other:
        other.execute("update counter set revision = revision")
        said = r"Nothing can be written to the database: .*, idle in transaction, begun \d s ago, waits for its client$"
        with pytest.raises(UnusableDatabase, match=said):
            async with running(create_app(Settings(database=postgres_url))):
                pass
    async with running(app):
        pass
