"""A connection to RabbitMQ that publishes in order and knows what has arrived.

Needs the extra `amqp`. Contrail's exchange is declared as Contrail declares it; where it exists with other arguments,
or this user may not declare it, it is used as it is.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import aiormq
import structlog
from aiormq.connection import TCPTransportFactory, TLSTransportFactory, TransportFactory
from aiormq.exceptions import ChannelAccessRefused, ChannelPreconditionFailed, PublishError
from yarl import URL

from api_server.errors import one_line
from api_server.notify.address import shown, with_heartbeat
from api_server.notify.messages import EXCHANGE, Message
from api_server.store.changes import ENTRIES

log = structlog.get_logger()
logging.getLogger("aiormq").setLevel(logging.CRITICAL)  # what it tells of a lost connection is told here, in one line

CONNECT_SECONDS = 5.0
CLOSE_SECONDS = 1.0
HEARTBEAT_SECONDS = 15  # three times that without a word and the broker is away
PATIENCE_SECONDS = 10.0  # a broker that confirms nothing for so long is worth a line in the log

LOST = "the connection was lost"


class Away(Exception):
    """No broker, or no longer; the text is one line, without passwords."""


class Unheard(Exception):
    """Nobody has bound a queue to the exchange: the message is gone."""


class _Connection(aiormq.Connection):
    """Takes what is published at once in one turn of the loop; a busy server has few of them."""

    FRAME_BUFFER_SIZE = 2 * ENTRIES


class _Transport(TransportFactory):
    """Opens a connection as its address says, and keeps hold of it: the library can only close one in good order."""

    writer: asyncio.StreamWriter | None = None

    async def create(self, url: URL, **options: Any) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        factory: TransportFactory = TLSTransportFactory() if url.scheme == "amqps" else TCPTransportFactory()
        reader, self.writer = await factory.create(url, **options)
        return reader, self.writer

    def abort(self) -> None:
        """What was not sent yet is dropped."""
        if self.writer is not None:
            self.writer.transport.abort()


class Link:
    """An open connection; made by `connect`. name: the broker's address, for logs. since: by the loop's clock."""

    def __init__(self, name: str, connection: aiormq.Connection, channel: aiormq.Channel) -> None:
        self.name = name
        self.since = connection.loop.time()
        self._channel = channel
        self._closed = (connection.closing, channel.closing)

    async def publish(self, messages: Sequence[Message], *, heard: bool = False) -> None:
        """In order, all on their way at once; returns when the broker has confirmed all of them.

        heard: Unheard if one of them reaches no queue. Away if the broker refuses one, or the connection is lost: some
        may have arrived. Waits for a broker that takes its time (flow control, a memory alarm) as long as the
        connection stands.
        """
        sending = asyncio.gather(*[self._send(message, heard) for message in messages])
        try:
            waiting = {sending, *self._closed}
            done, _ = await asyncio.wait(waiting, timeout=PATIENCE_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            if not done:
                log.warning("notify waits", broker=self.name, reason="the broker confirms nothing")
                await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            if sending.done() and not sending.cancelled():
                error = sending.exception()
                if error is None:
                    return
                if isinstance(error, PublishError):
                    raise Unheard
            raise Away(f"{self.name}: {_reason(*self._closed, sending) or LOST}")
        finally:
            sending.add_done_callback(_ignore)
            sending.cancel()

    async def lost(self, within: float | None = None) -> None:
        """Returns after so many seconds; Away as soon as the connection is lost."""
        done, _ = await asyncio.wait(self._closed, timeout=within, return_when=asyncio.FIRST_COMPLETED)
        if done:
            raise Away(f"{self.name}: {_reason(*self._closed) or LOST}")

    def _send(self, message: Message, heard: bool) -> Any:
        # As kombu's producer labels it, which Contrail publishes with; the id is added.
        properties = aiormq.spec.Basic.Properties(
            content_type="application/json", content_encoding="utf-8", delivery_mode=2, message_id=message.id
        )
        return self._channel.basic_publish(
            message.body, exchange=EXCHANGE, properties=properties, mandatory=heard, wait=False
        )


@asynccontextmanager
async def connect(addresses: Sequence[str]) -> AsyncIterator[Link]:
    """To the first broker that answers; Away says why none does. When the block ends nothing more is sent."""
    reasons = []
    for address in addresses:
        name, transport = shown(address), _Transport()
        connection = _Connection(with_heartbeat(address, HEARTBEAT_SECONDS), transport_factory=transport)
        # In a task of its own: a broker that goes away is a cancellation to the library, which must not be taken for
        # one of ours.
        opening = asyncio.create_task(_open(connection, name))
        try:
            await asyncio.wait([opening], timeout=CONNECT_SECONDS)
            if opening.done() and not opening.cancelled() and not opening.exception():
                yield Link(name, connection, opening.result())
                return
            reasons.append(f"{name}: {_reason(opening) or 'no answer'}")
        finally:
            opening.add_done_callback(_ignore)
            opening.cancel()
            await _close(connection, transport)
    raise Away("; ".join(reasons))


def _reason(*futures: "asyncio.Future[Any]") -> str:
    """What the first that failed has to say."""
    for future in futures:
        if future.done() and not future.cancelled() and (error := future.exception()) and str(error):
            return one_line(error)
    return ""


def _ignore(done: "asyncio.Future[Any]") -> None:
    """Its failure is known, or of no interest."""
    if not done.cancelled():
        done.exception()


async def _open(connection: aiormq.Connection, name: str) -> aiormq.Channel:
    await connection.connect({"product": "Vaportrail"})
    return await _channel(connection, name)


async def _channel(connection: aiormq.Connection, name: str) -> aiormq.Channel:
    """A channel that confirms, with the exchange there."""
    channel = await connection.channel(publisher_confirms=True)
    try:
        await channel.exchange_declare(exchange=EXCHANGE, exchange_type="fanout", durable=False)
    except (ChannelPreconditionFailed, ChannelAccessRefused) as error:
        channel = await connection.channel(publisher_confirms=True)
        await channel.exchange_declare(exchange=EXCHANGE, passive=True)
        log.warning("notify exchange is not as Contrail declares it", broker=name, reason=one_line(error))
    assert isinstance(channel, aiormq.Channel)
    return channel


async def _close(connection: aiormq.Connection, transport: _Transport) -> None:
    """In good order if that is quick, as it is unless the broker hangs."""
    closing = asyncio.create_task(connection.close())
    closing.add_done_callback(_ignore)
    try:
        await asyncio.wait([closing], timeout=CLOSE_SECONDS)
    finally:
        transport.abort()
