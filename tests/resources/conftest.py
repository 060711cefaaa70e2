"""A client of a store of its own, with the default objects and project `p1`."""

from collections.abc import AsyncIterator

import pytest
from resource_client import Client

from api_server.store import Store


@pytest.fixture
async def client(database_url: str) -> AsyncIterator[Client]:
    store = await Store.open(database_url)
    client = Client(store)
    await client.start("p1")
    yield client
    await store.close()
