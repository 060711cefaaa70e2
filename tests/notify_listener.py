"""A daemon's ear: a queue of its own, bound to Contrail's exchange as Contrail's daemons bind theirs."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, NamedTuple

import aiormq
import orjson
from aiormq.abc import DeliveredMessage

EXCHANGE = "vnc_config.object-update"


class Heard(NamedTuple):
    """place: revision and sequence of the change."""

    place: tuple[int, int]
    body: dict[str, Any]

    @property
    def what(self) -> tuple[str, str, str]:
        return self.body["oper"], self.body["type"], self.body["fq_name"][-1]


class Listener:
    """Keeps what it hears over several connections."""

    def __init__(self) -> None:
        self.heard: list[Heard] = []
        self._more = asyncio.Event()

    def hear(self, message: DeliveredMessage) -> None:
        assert message.header.properties.message_id
        revision, sequence = message.header.properties.message_id.split(".")
        self.heard.append(Heard((int(revision), int(sequence)), orjson.loads(message.body)))
        self._more.set()

    async def until(self, enough: Callable[[list[Heard]], bool]) -> list[Heard]:
        while not enough(self.heard):
            self._more.clear()
            await self._more.wait()
        return self.heard

    async def up_to(self, revision: int) -> list[Heard]:
        return await self.until(lambda heard: bool(heard) and heard[-1].place[0] >= revision)

    async def more(self, number: int) -> list[Heard]:
        before = len(self.heard)
        return await self.until(lambda heard: len(heard) >= before + number)

    def first_arrivals(self) -> list[tuple[int, int]]:
        """Places, each once."""
        return list(dict.fromkeys(one.place for one in self.heard))


@asynccontextmanager
async def bound(url: str, listener: Listener, **exchange: Any) -> AsyncIterator[aiormq.Channel]:
    connection = await aiormq.connect(url)
    try:
        channel = await connection.channel()
        assert isinstance(channel, aiormq.Channel)
        await channel.exchange_declare(exchange=EXCHANGE, exchange_type="fanout", **exchange)
        queue = (await channel.queue_declare(exclusive=True)).queue
        assert queue
        await channel.queue_bind(queue, EXCHANGE)

        async def hear(message: DeliveredMessage) -> None:
            listener.hear(message)

        await channel.basic_consume(queue, hear, no_ack=True)
        yield channel
    finally:
        with suppress(Exception):  # the broker may have gone
            await connection.close(timeout=1)


@asynccontextmanager
async def listening_to(url: str) -> AsyncIterator[Listener]:
    listener = Listener()
    async with bound(url, listener):
        yield listener
