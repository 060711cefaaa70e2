"""A client of a store of its own, with the default objects and project `p1`."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from resource_client import Client

from api_server.store import Store


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[Client]:
    store = await Store.open(f"sqlite:///{tmp_path / 'objects.db'}")
    client = Client(store)
    await client.start("p1")
    yield client
    await store.close()
