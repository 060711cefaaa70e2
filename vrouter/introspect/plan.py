"""What changes of objects would change on this node."""

from typing import Any

from starlette.requests import Request

from vrouter.differences import tell
from vrouter.introspect.questions import BadQuestion, document
from vrouter.introspect.reasons import rows
from vrouter.introspect.sources import Sources
from vrouter.rehearsal import BadChange, events_of, rehearse

LARGEST = 32 * 1024 * 1024  # bytes of a body; a transaction of 1000 operations is a tenth of it
PATIENCE = 5.0  # seconds to wait for the revision that was planned on


async def plan(sources: Sources, request: Request) -> Any:
    """Posted: {"base": revision, "changes": as a dry run answers them}. Nothing is done.

    revision: `base`, and the one that was compared with. found, lost: reasons there would be, and would be no longer.
    """
    posted = await document(request, LARGEST)
    if not isinstance(posted, dict) or not isinstance(base := posted.get("base", 0), int):
        raise BadQuestion('an object is expected: {"base": revision, "changes": [...]}')
    try:
        events = events_of(posted.get("changes"))
    except BadChange as error:
        raise BadQuestion(str(error)) from error
    await sources.progress.wait(base, PATIENCE)
    if not sources.cache.whole:
        raise BadQuestion("this agent has not read all objects of the API server yet", 503)
    rehearsal = rehearse(sources.compiler, events)
    return {
        "node": sources.settings.node, "revision": {"base": base, "seen": sources.cache.revision},
        "units": tell(sources.compiler, rehearsal),
        "found": rows(rehearsal.found, rehearsal.ahead.cache), "lost": rows(rehearsal.lost, sources.cache),
    }  # fmt: skip
