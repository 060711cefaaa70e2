"""Why something is not used, one by one or as a walk."""

from typing import Any

from starlette.requests import Request

from vrouter.introspect.questions import BadQuestion
from vrouter.introspect.sources import Sources
from vrouter.why import explain


async def reasons(sources: Sources, request: Request) -> Any:
    found = {*sources.compiler.reasons(), *sources.backend_reasons()}
    return [
        {"type": kind, "uuid": uuid, "name": about.name if (about := sources.cache.get(uuid)) else None,
         "code": reason.code, "text": reason.text}
        for reason in sorted(found) for kind, uuid in [reason.subject]
    ]  # fmt: skip


async def why(sources: Sources, request: Request) -> Any:
    question = request.query_params.get("q", "")
    if not question:
        raise BadQuestion("q is missing: a name, uuid, VIP or member")
    found = [*sources.compiler.reasons(), *sources.backend_reasons()]
    tables = await sources.tables(None)
    return explain(question, sources.cache, sources.compiler, sources.reconciler, found, tables)
