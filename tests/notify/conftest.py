"""A listener that has bound its queue."""

from collections.abc import AsyncIterator

import pytest
from notify_listener import Listener, listening_to
from rabbitmq_server import RabbitmqServer


@pytest.fixture
async def listener(rabbitmq: RabbitmqServer) -> AsyncIterator[Listener]:
    async with listening_to(rabbitmq.url) as listener:
        yield listener
