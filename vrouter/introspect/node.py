"""The agent itself: connection, revisions, units, and waiting for them."""

import os
from collections import Counter
from typing import Any

from starlette.requests import Request

from vrouter.backends.protocol import Drift
from vrouter.drift import Repairs
from vrouter.introspect.questions import number
from vrouter.introspect.sources import Sources
from vrouter.progress import Mark
from vrouter.summary import describe

LONGEST_WAIT = 300.0  # seconds that `/wait` holds a request
KINDS = ("vrf", "join", "interface", "remote", "vip")  # of units
OUTSIDE = ("uplink", "exit", "outside", "egress")  # of those, too, where there are addresses outside


async def status(sources: Sources, request: Request) -> Any:
    watch, reconciler, compiler = sources.watch, sources.reconciler, sources.compiler
    kinds = Counter(key[0] for key in compiler.desired)
    return {
        "node": sources.settings.node,
        "api": sources.settings.api,
        "backend": sources.settings.backend,
        "workloads": "create" if sources.settings.create_workloads else "attach",
        "problems": list(sources.backend.problems),
        "connected": bool(watch and watch.connected),
        "waiting_for": watch.error if watch and not watch.connected else None,
        "reports": sources.reporter.error,
        "revision": {"seen": _mark(sources.progress.seen), "applied": _mark(sources.progress.applied)},
        "objects": sources.cache.counts(),
        "units": {kind: kinds[kind] for kind in (*KINDS, *(kind for kind in OUTSIDE if kind in kinds))},
        "states": {state: reconciler.states[state] for state in ("done", "pending", "error")},
        "errors": [
            {"unit": describe(key), "text": status.text, "attempts": status.attempts, "since": status.since}
            for key in sorted(reconciler.failed, key=str) if (status := reconciler.status[key])
        ],
        "drift": _drift(reconciler.repairs),
        "ports": len(sources.ports),
        "reasons": sum(1 for _ in compiler.reasons()),
        "started": sources.started,
        "pid": os.getpid(),
    }  # fmt: skip


async def units(sources: Sources, request: Request) -> Any:
    keys = sorted(sources.reconciler.everything(), key=str)
    return [
        {"key": key, "desired": sources.compiler.desired.get(key), "applied": sources.reconciler.applied.get(key),
         **sources.state(key)}
        for key in keys
    ]  # fmt: skip


async def wait(sources: Sources, request: Request) -> Any:
    """Answers when `revision` is applied, or after `timeout` seconds."""
    progress = sources.progress
    revision = int(number(request, "revision", progress.seen.revision))
    timeout = min(number(request, "timeout", 30.0), LONGEST_WAIT)
    reached = await progress.wait(revision, timeout)
    errors = sorted(describe(key) for key in sources.reconciler.failed)
    return {"revision": revision, "reached": reached, "applied": _mark(progress.applied),
            "seen": _mark(progress.seen), "errors": errors}  # fmt: skip


async def healthz(sources: Sources, request: Request) -> Any:
    return {"status": "ok", "connected": bool(sources.watch and sources.watch.connected)}


def _drift(repairs: Repairs) -> dict[str, Any]:
    """What others had changed: how many objects stand again, of which kinds, which was the last, and what is left."""
    last = repairs.last
    shown = last and {"kind": last.drift.kind, "found": _found(last.drift), "at": last.at}
    waiting = [_found(drift) for drift in repairs.waiting.values()]
    return {"repaired": repairs.counts.total(), "kinds": dict(repairs.counts), "last": shown, "waiting": waiting}


def _found(drift: Drift) -> str:
    return f"{describe(drift.unit)}: {drift.text}" if drift.unit else drift.text


def _mark(mark: Mark) -> dict[str, Any]:
    return {"revision": mark.revision, "at": mark.at or None}
