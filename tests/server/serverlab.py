"""API servers for tests, and the few requests that most of them begin with."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
from fastapi import FastAPI

from api_server.app import create_app
from api_server.server import Server, listen, url
from api_server.settings import Settings

PROJECT = ["default-domain", "default-project"]


@asynccontextmanager
async def running(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """The application without a socket."""
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test:8082") as client,
    ):
        yield client


@asynccontextmanager
async def listening(app: FastAPI) -> AsyncIterator[str]:
    """The application on a free port of the loopback; yields its URL. Ends as it does on SIGTERM."""
    listener = listen("127.0.0.1", 0)
    ready = asyncio.Event()
    server = Server(app, listener, ready=lambda _: ready.set())
    serving = asyncio.create_task(server.serve())
    waiting = asyncio.create_task(ready.wait())
    await asyncio.wait([serving, waiting], return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    try:
        yield url(listener)
    finally:
        server.should_exit = True
        await serving


@asynccontextmanager
async def replicas(database: str) -> AsyncIterator[list[tuple[FastAPI, httpx.AsyncClient]]]:
    """Two servers on one database, each with a client."""
    apps = [create_app(Settings(database=database)) for _ in range(2)]
    async with (
        listening(apps[0]) as one,
        listening(apps[1]) as other,
        httpx.AsyncClient(base_url=one, timeout=10) as here,
        httpx.AsyncClient(base_url=other, timeout=10) as there,
    ):
        yield [(apps[0], here), (apps[1], there)]


async def create(client: httpx.AsyncClient, kind: str, name: list[str] | str, **fields: Any) -> dict[str, Any]:
    """A created object's answer; a name alone stands in the default project."""
    fq_name = [*PROJECT, name] if isinstance(name, str) else name
    answer = await client.post(f"/{kind}s", json={kind: {"fq_name": fq_name, **fields}})
    assert answer.status_code == 200, answer.text
    created: dict[str, Any] = answer.json()[kind]
    return created


async def read(client: httpx.AsyncClient, kind: str, uuid: str, **query: str) -> dict[str, Any]:
    answer = await client.get(f"/{kind}/{uuid}", params=query)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()[kind]
    return found
