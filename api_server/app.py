"""`create_app(settings)`: the service as one ASGI application. Its lifespan owns the store.

The order of things a request meets: `ExchangeMiddleware` (id, other sites, limits, refusals, log, metrics), then a
look-up by type for the generic routes, then the actions. Between the middleware and the routes is the place for who may
ask (tokens, rules); nothing is asked yet, so the server listens on loopback by default.
"""

import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NoReturn

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request

import schema
from api_server.errors import ApiError, MethodNotAllowed, NotFound, Unavailable
from api_server.notify.address import addresses as brokers
from api_server.notify.progress import NotifyFigures
from api_server.resources.defaults import ensure_defaults
from api_server.resources.operations import Operations
from api_server.resources.quotas import Quotas
from api_server.resources.registry import registry
from api_server.routes import (
    actions,
    addresses,
    changes,
    collections,
    docs,
    home,
    nodes,
    openapi,
    ops,
    status,
    transaction,
    unbuilt,
    watch,
)
from api_server.routes.bodies import ROOM, Bodies
from api_server.routes.middleware import ExchangeMiddleware
from api_server.routes.resources import ResourceMiddleware
from api_server.routes.service import Service
from api_server.routes.sites import Hosts
from api_server.routes.turns import READS_POSTGRESQL, READS_SQLITE, WRITES, Turns
from api_server.settings import Settings
from api_server.store import Limits, Pace, Store, UnusableDatabase

MODULES = (
    home, actions, addresses, changes, collections, transaction, watch, nodes, status, ops, docs, openapi, unbuilt,
)  # fmt: skip
"""Of routes, beside the generic ones of the types."""


def refuse(request: Request, error: Exception) -> NoReturn:
    """The router's refusals in the contract's words; the middleware answers them."""
    assert isinstance(error, HTTPException)
    if error.status_code == 405:
        allow = (error.headers or {}).get("Allow", "").split(", ")
        raise MethodNotAllowed((*allow, "HEAD") if "GET" in allow else tuple(allow)) from None
    if error.status_code == 404:
        raise NotFound(f"Not found: '{request.url.path}'") from None
    refusal = ApiError(str(error.detail))
    refusal.status = error.status_code
    raise refusal from None


@asynccontextmanager
async def notifications(service: Service, store: Store) -> AsyncIterator[None]:
    """Published from here on, if there is a broker to publish to."""
    if not service.settings.notify:
        yield
        return
    from api_server.notify.publisher import publishing  # noqa: PLC0415 - needs an extra

    async with publishing(store, brokers(service.settings.notify)) as progress:
        figures = NotifyFigures(progress, lambda: store.feed.revision)
        service.metrics.registry.register(figures)
        try:
            yield
        finally:
            service.metrics.registry.unregister(figures)


async def begin(store: Store, service: Service) -> None:
    """The objects that are always there. UnusableDatabase if nothing can be written."""
    try:
        await store.write(
            lambda tx: ensure_defaults(tx, service.operations.registry), request_id="start", user="", base_url=""
        )
    except Unavailable as error:
        raise UnusableDatabase(f"Nothing can be written to the database: {error}") from error


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """UnusableDatabase if the store cannot be opened or written to."""
    service: Service = app.state.service
    settings = service.settings
    limits = Limits(
        keep_changes=settings.keep_changes,
        keep_hours=settings.keep_hours,
        pace=Pace(keep_alive=settings.watch_keepalive),
    )
    store = await Store.open(settings.database, limits)
    try:
        await begin(store, service)
        # What is loaded by now stays: the collector need not look at it again (p99 of creates halves).
        gc.collect()
        gc.freeze()
        service.opened = store
        async with notifications(service, store):
            yield
    finally:
        service.opened = None
        await store.close()


def create_app(settings: Settings | None = None) -> FastAPI:
    """settings: from the environment if not given."""
    settings = settings or Settings()
    model = schema.load()
    app = FastAPI(
        title="Vaportrail", openapi_url=None, redirect_slashes=False, lifespan=lifespan,
        exception_handlers={HTTPException: refuse},
    )  # fmt: skip
    hooks = registry(native_driver=settings.native_driver)
    service = Service(settings, model, Operations(model, hooks, Quotas(settings.quota)))
    app.state.service = service
    app.add_middleware(ResourceMiddleware)
    reads = READS_SQLITE if settings.database.startswith("sqlite") else READS_POSTGRESQL
    app.add_middleware(  # the last one is the first that a request meets
        ExchangeMiddleware, metrics=service.metrics, hosts=Hosts(settings.host, settings.allow_host),
        bodies=Bodies(settings.max_request_size, settings.client_timeout, ROOM),
        reads=Turns(reads, settings.max_wait), writes=Turns(WRITES, settings.max_wait),
    )  # fmt: skip
    for module in MODULES:
        app.include_router(module.router)
    return app
