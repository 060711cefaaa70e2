"""Statuses as they change, as an endless sequence that survives the server.

At first, and whenever the connection had been lost, all of them come as they are; then those that change. A consumer
compares with what it knows.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import httpx
import orjson

from api_client.errors import ClientError, UnexpectedAnswer, Unreachable, refusal
from api_client.sse import Parser

DELAY = 1.0  # seconds between two tries
SILENCE = 90.0  # the server sends a comment each 60 s at the latest


async def follow(http: httpx.AsyncClient, url: str, types: Sequence[str], after: int) -> AsyncIterator[dict[str, Any]]:
    """Raises ApiError if the first request is refused. after: a revision the server knows."""
    first = True
    while True:
        try:
            async for found in _stream(http, url, types, after):
                first = False
                yield found
        except ClientError as error:
            if first and not isinstance(error, Unreachable):
                raise
        await asyncio.sleep(DELAY)


async def _stream(http: httpx.AsyncClient, url: str, types: Sequence[str], after: int) -> AsyncIterator[dict[str, Any]]:
    parameters = {"resource_type": ",".join(types), "status": "1", "since": str(after)}
    try:
        timeout = httpx.Timeout(10.0, read=SILENCE)
        async with http.stream("GET", "/watch", params=parameters, timeout=timeout) as answer:
            if answer.status_code != 200:
                raise refusal(answer.status_code, (await answer.aread()).decode("utf-8", "replace"))
            parser = Parser()
            async for chunk in answer.aiter_bytes():
                for frame in parser.feed(chunk):
                    if frame.event == "status":
                        yield _read(frame.data)
    except httpx.HTTPError as error:
        raise Unreachable(url, str(error) or type(error).__name__) from error


def _read(data: bytes) -> dict[str, Any]:
    try:
        found: dict[str, Any] = orjson.loads(data)["status"]
    except (orjson.JSONDecodeError, KeyError, TypeError) as error:
        raise UnexpectedAnswer("a status frame does not hold a status") from error
    return found
