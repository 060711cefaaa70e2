"""An answer of any length: read and sent a part at a time, of one state, while others are served."""

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from api_server.routes.middleware import Exchange
from api_server.routes.plans import JSON
from api_server.routes.service import Service
from api_server.store.snapshot import Call, Snapshot


class LongAnswer(StreamingResponse):
    """What a snapshot reads. If the database goes away meanwhile the answer breaks off."""

    def __init__(self, snapshot: Snapshot) -> None:
        super().__init__(snapshot.parts(), media_type=JSON)
        self.snapshot = snapshot

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self.snapshot.close()


async def long_answer(server: Service, current: Exchange, call: Call) -> LongAnswer:
    """call: gives the body in parts. The request needs no turn any more: snapshots have room of their own.
    Unavailable if the database is away."""
    current.leave()
    snapshot = await server.store.snapshot(call)
    current.revision = snapshot.revision
    return LongAnswer(snapshot)
