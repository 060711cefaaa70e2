"""An API server per test, on a database of its own: in process for what needs no socket, on a port for what does."""

from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import FastAPI
from serverlab import listening, running

from api_server.app import create_app
from api_server.resources import selection
from api_server.settings import Settings


@pytest.fixture
def settings(database_url: str) -> Settings:
    return Settings(database=database_url, max_wait=30)  # on a machine that stands still nothing is refused


@pytest.fixture
def app(settings: Settings) -> FastAPI:
    return create_app(settings)


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with running(app) as client:
        yield client


@pytest.fixture
async def address(app: FastAPI) -> AsyncIterator[str]:
    """A server on a port: its URL."""
    async with listening(app) as found:
        yield found


@pytest.fixture(params=[False, True], ids=["at once", "in slices"])
def in_slices(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lists as short ones are read, and as long ones."""
    if request.param:
        monkeypatch.setattr(selection, "SLICE", 2)
