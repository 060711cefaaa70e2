"""Why something is not used, one by one or as a walk."""

from collections.abc import Iterable
from typing import Any

from starlette.requests import Request

from vrouter.cache import Cache
from vrouter.draining import drains
from vrouter.introspect.questions import BadQuestion
from vrouter.introspect.sources import Sources
from vrouter.state import Reason
from vrouter.summary import failures
from vrouter.why import explain


async def reasons(sources: Sources, request: Request) -> Any:
    cache, compiler = sources.cache, sources.compiler
    return rows({*compiler.reasons(), *failures(cache, compiler, sources.reconciler)}, cache)


def rows(found: Iterable[Reason], cache: Cache) -> list[dict[str, Any]]:
    return [
        {"type": kind, "uuid": uuid, "name": about.name if (about := cache.get(uuid)) else None,
         "code": reason.code, "text": reason.text}
        for reason in sorted(found) for kind, uuid in [reason.subject]
    ]  # fmt: skip


async def why(sources: Sources, request: Request) -> Any:
    question = request.query_params.get("q", "")
    if not question:
        raise BadQuestion("q is missing: a name, uuid, VIP or member")
    compiler, reconciler, backend = sources.compiler, sources.reconciler, sources.backend
    draining = await drains(sources.reporter.statuses, compiler, reconciler, backend)
    return await explain(question, sources.cache, compiler, reconciler, backend, draining)
