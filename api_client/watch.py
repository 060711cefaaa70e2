"""What changes, as an endless sequence that survives the server.

`GET /watch` (docs/api.md) becomes deltas (`delta.py`): a Snapshot first, and again only if the server's change log does
not reach back to where this watch stands (410 Gone); and the Events of each revision.

A watch of scopes is of the objects that concern them only (docs/api.md). `move` gives it others, and it goes on with
the difference: an `Events` with what comes into sight and goes out of it, at the revision at which it does.

A lost connection is not the consumer's affair: the watch reconnects, waits longer after each failure (with jitter, so
that a thousand agents do not return in one instant), and resumes after the last revision it delivered. A revision of
which only a part arrived is dropped and comes again whole. Revisions never go back, apart from a new Snapshot, and
repeat only where scopes change at one.
"""

import asyncio
import random
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import aclosing
from typing import Any

import httpx
import structlog

from api_client.delta import NO_SHAPES, Begin, Delta, Group, Reader, Shapes, Snapshot
from api_client.errors import ApiError, ClientError, Gone, Unreachable, refusal
from api_client.sse import Parser

log = structlog.get_logger(__name__)

FIRST_DELAY = 0.05  # seconds; a server that restarts on the same machine is back within a second
LONGEST_DELAY = 2.0
# The server sends a comment each 60 s at the latest; longer silence is a dead connection.
SILENCE = 90.0


class Watch:
    """An async iterator of `Delta`. Made by `ApiClient.watch`.

    Raises ApiError if the very first request is refused; what was right once is repeated, whatever the answer.
    connected: whether a stream is open now. error: why not, a sentence, else None. revision: of the last delta, None
    before. scopes: what the deltas so far are of, None for everything.
    begin: wants what comes into sight before the whole of its delta is there; may be set to None. If the connection is
    lost in the middle, a Snapshot follows: it tells what of that beginning is there no more.
    """

    def __init__(
        self,
        http: httpx.AsyncClient,
        url: str,
        types: Mapping[str, Sequence[str]],
        *,
        after: int | None = None,
        scopes: Collection[str] | None = None,
        shapes: Shapes = NO_SHAPES,
        ref_names: bool = True,
        begin: Begin | None = None,
        silence: float = SILENCE,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.url = url
        self.revision = after
        self.scopes = None if scopes is None else frozenset(scopes)
        self.begin = begin
        self._wanted = self.scopes
        self._interrupted = asyncio.Event()
        self.connected = False
        self.error: str | None = None
        self._http = http
        self._types = types
        self._reader = Reader(types, shapes)
        self._ref_names = ref_names
        self._silence = silence
        self._sleep = sleep
        self._first = True  # no stream was ever open
        self._deltas = self._run()

    def __aiter__(self) -> "Watch":
        return self

    async def __anext__(self) -> Delta:
        return await anext(self._deltas)

    async def aclose(self) -> None:
        await self._deltas.aclose()

    def move(self, scopes: Collection[str] | None) -> None:
        """Be of these scopes from some revision on; None: of everything."""
        wanted = None if scopes is None else frozenset(scopes)
        if wanted != self._wanted:
            self._wanted = wanted
            self._interrupted.set()

    def look(self) -> None:
        """Ask how far the server is: a watch of scopes does not hear of revisions that have nothing for it."""
        if self.revision is not None and self._wanted == self.scopes:  # else it is being told
            self._interrupted.set()

    async def _run(self) -> AsyncGenerator[Delta, None]:
        delay = FIRST_DELAY
        try:
            while True:
                try:
                    async for delta in self._stream():
                        delay = FIRST_DELAY
                        yield delta
                    if self._interrupted.is_set():
                        continue
                    failure: ClientError = Unreachable(self.url, "the server ended the watch")
                except Gone as gone:
                    log.warning("the change log does not reach back; reading everything again", url=self.url,
                                revision=self.revision, reason=gone.text)  # fmt: skip
                    self.revision = None
                    continue
                except ClientError as error:
                    if self._first and isinstance(error, ApiError) and error.status < 500:
                        raise  # a wrong request does not become right by repeating it
                    failure = error
                self._lost(failure)
                await self._sleep(delay * random.uniform(0.5, 1.0))  # noqa: S311 - spreads load, keeps no secret
                delay = min(2 * delay, LONGEST_DELAY)
        finally:
            self.connected = False

    def _lost(self, failure: ClientError) -> None:
        if self.connected or self.error is None:  # once per loss, not once per try
            log.warning("waiting for the API server", url=self.url, reason=str(failure))
        self.connected = False
        self.error = str(failure)

    def _found(self) -> None:
        log.info("watching the API server", url=self.url, since="now" if self.revision is None else self.revision)
        self.connected = True
        self.error = None
        self._first = False

    def _parameters(self, wanted: frozenset[str] | None) -> dict[str, str]:
        parameters = {"resource_type": ",".join(kind.replace("-", "_") for kind in self._types)}
        for kind, fields in self._types.items():
            if fields:
                parameters[f"{kind.replace('-', '_')}_fields"] = ",".join(fields)
        if not self._ref_names:
            parameters["exclude_ref_names"] = "true"
        if wanted is not None:
            parameters["scope"] = ",".join(sorted(wanted))
            if self.revision is not None and self.scopes is not None:
                moves = {"enter": wanted - self.scopes, "leave": self.scopes - wanted}
                parameters |= {name: ",".join(sorted(scopes)) for name, scopes in moves.items() if scopes}
        return parameters

    async def _stream(self) -> AsyncGenerator[Delta, None]:
        self._interrupted.clear()
        wanted = self._wanted
        if (wanted is None) != (self.scopes is None):
            self.revision = None  # from everything to a part, or back: from the beginning
        headers = {"Accept": "text/event-stream"}
        if self.revision is not None:
            headers["Last-Event-ID"] = str(self.revision)
        timeout, parameters = httpx.Timeout(10.0, read=self._silence), self._parameters(wanted)
        group = Group(self._reader, resumed=self.revision is not None)
        try:
            request = self._http.stream("GET", "/watch", params=parameters, headers=headers, timeout=timeout)
            async with request as answer:
                if answer.status_code != 200:
                    raise refusal(answer.status_code, (await answer.aread()).decode("utf-8", "replace"))
                self._found()
                parser = Parser()
                async with aclosing(_until(self._interrupted, answer.aiter_bytes())) as chunks:
                    async for chunk in chunks:
                        for frame in parser.feed(chunk):
                            delta = group.take(frame, self.begin)
                            if delta is not None:
                                self.revision = delta.revision
                                if isinstance(delta, Snapshot) or frame.event == "scope":
                                    self.scopes = wanted
                                yield delta
        except httpx.TimeoutException as error:
            raise Unreachable(self.url, f"silent for {self._silence:.0f} s") from error
        except httpx.HTTPError as error:
            raise Unreachable(self.url, str(error) or type(error).__name__) from error
        finally:
            if group.begun:
                self.revision = None


async def _until(interrupted: asyncio.Event, chunks: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
    """The chunks, as long as nobody interrupts."""
    stop: asyncio.Future[Any] = asyncio.ensure_future(interrupted.wait())
    chunk: asyncio.Future[bytes] | None = None
    try:
        while True:
            chunk = asyncio.ensure_future(anext(chunks))
            await asyncio.wait((chunk, stop), return_when=asyncio.FIRST_COMPLETED)
            if stop.done():
                return
            try:
                yield chunk.result()
            except StopAsyncIteration:
                return
    finally:
        waiting = [one for one in (stop, chunk) if one is not None and not one.done()]
        for one in waiting:
            one.cancel()
        if waiting:
            await asyncio.wait(waiting)  # not each by itself: that would take a cancel of this task for theirs
        for one in waiting:
            if not one.cancelled():
                one.exception()
