"""Servers on one PostgreSQL database: two programs, or one with two workers."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest
from postgres_server import PostgresServer
from replica_set import Replicas

from cli.demo.programs import Program


@pytest.fixture(params=["two servers", "two workers"], scope="module")
def replicas(request: pytest.FixtureRequest, postgres: PostgresServer) -> Iterator[Replicas]:
    """Two servers, or the two workers of one: of these no request chooses. One set for all tests of a module."""
    with postgres.database() as database:
        serve = ("serve", "--port", "0", "--database", database, "--max-wait", "30")
        if request.param == "two workers":
            with Program(*serve, "--workers", "2") as program:
                url = program.wait_ready(60)
                yield Replicas((program,), (url, url))
        else:
            with Program(*serve) as one, Program(*serve) as other:
                yield Replicas((one, other), (one.wait_ready(60), other.wait_ready(60)))


@pytest.fixture
async def both(replicas: Replicas) -> AsyncIterator[tuple[httpx.AsyncClient, httpx.AsyncClient]]:
    """A client of each. Each request has a connection of its own, so that it meets any worker."""
    options: dict[str, Any] = {"timeout": 30, "limits": httpx.Limits(max_keepalive_connections=0)}
    async with asyncio.timeout(100):
        async with (
            httpx.AsyncClient(base_url=replicas.urls[0], **options) as here,
            httpx.AsyncClient(base_url=replicas.urls[1], **options) as there,
        ):
            yield here, there
