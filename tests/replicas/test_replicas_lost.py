"""What replicas lose: one of them while it is watched, the notices between them, a host of the database's."""

import asyncio
import random

import httpx
import psycopg
import pytest
import sqlalchemy as sa
from pg_proxy import PgProxy
from postgres_server import database_name
from replica_set import create, id_of, until, watching

from api_server.store import Store, UnusableDatabase
from cli.demo.programs import Program

QUERY = "resource_type=virtual-network,loadbalancer"


@pytest.mark.slow
async def test_a_watch_goes_on_at_another_replica(postgres_url: str) -> None:
    """The one that is watched is killed again and again under load: no event is missing, none comes twice."""
    serve = ("serve", "--port", "0", "--database", postgres_url, "--max-wait", "30", "--log-level", "error")
    choose, seen, last = random.Random(1), list[int](), 0
    with Program(*serve) as writing:
        async with httpx.AsyncClient(base_url=writing.wait_ready(60), timeout=30) as writer:
            last = start = int((await writer.get("/healthz")).headers["x-revision"])

            async def write() -> None:
                for number in range(300):
                    await create(writer, choose.choice(["virtual-network", "loadbalancer"]), f"w-{number}")

            load = asyncio.create_task(write())
            while last < start + 300:
                with Program(*serve) as watched:
                    url = await asyncio.to_thread(watched.wait_ready, 60)
                    async with (
                        httpx.AsyncClient(base_url=url, timeout=30) as client,
                        watching(client, f"{QUERY}&since={last}") as frames,
                    ):
                        async for frame in frames:
                            last = id_of(frame) or last
                            seen.append(last)
                            if len(seen) % 100 == 0:
                                watched.kill()
                                break
            await load
    assert seen == list(range(start + 1, start + 301))


@pytest.mark.slow
async def test_changes_are_heard_of_without_notices(postgres_url: str) -> None:
    """As behind a pooler that passes none on: notices of this database go nowhere. A connection that listened and
    is cut is no loss either."""
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("create schema mute")
        connection.execute(
            "create function mute.pg_notify(text, text) returns void language sql as $$ select null::void $$"
        )
        connection.execute(
            f"alter database {database_name(postgres_url)} set search_path = mute, pg_catalog, public".encode()
        )
    serve = ("serve", "--port", "0", "--database", postgres_url, "--max-wait", "30", "--log-level", "error")
    with Program(*serve) as one, Program(*serve) as other:
        async with (
            httpx.AsyncClient(base_url=one.wait_ready(60), timeout=30) as here,
            httpx.AsyncClient(base_url=other.wait_ready(60), timeout=30) as there,
        ):
            newest = int((await here.get("/healthz")).headers["x-revision"])
            async with watching(there, f"{QUERY}&since={newest}") as frames:
                for turn in range(3):
                    for number in range(5):
                        await create(here, "loadbalancer", f"lb-{turn}-{number}")
                    newest += 5
                    async with asyncio.timeout(20):
                        found = await until(frames, newest)
                    assert [id_of(frame) for frame in found] == list(range(newest - 4, newest + 1))
                    with psycopg.connect(postgres_url, autocommit=True) as connection:
                        listening = "select pid from pg_stat_activity where query like 'listen%%' and datname = %s"
                        pids = connection.execute(listening, [database_name(postgres_url)]).fetchall()
                        assert pids
                        connection.execute(
                            f"select pg_terminate_backend(pid) from ({listening}) listening",
                            [database_name(postgres_url)],
                        )


async def test_the_host_that_takes_writes_is_found_among_several(postgres_url: str) -> None:
    """As libpq finds it: the first host refuses, the second one is the primary."""
    with PgProxy(postgres_url) as proxy, PgProxy(postgres_url) as gone:
        port, dead = (sa.make_url(one.url).port for one in (proxy, gone))
        gone.close()
        hosts = f"127.0.0.1:{dead},127.0.0.1:{port}"
        options = "target_session_attrs=read-write&sslmode=disable&gssencmode=disable"
        store = await Store.open(f"postgresql://vaportrail@{hosts}/{database_name(postgres_url)}?{options}")
        await store.close()
        for wrong in (f"127.0.0.1:{dead},127.0.0.1:none", f"127.0.0.1:{dead},127.0.0.1:{dead}"):
            with pytest.raises(UnusableDatabase) as refused:
                await Store.open(f"postgresql://vaportrail:secret@{wrong}/{database_name(postgres_url)}?{options}")
            assert "secret" not in str(refused.value)
