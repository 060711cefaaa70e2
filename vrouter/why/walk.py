"""From a question to its answers."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from vrouter.backends.protocol import Backend
from vrouter.cache import Cache
from vrouter.compiler import Compiler
from vrouter.draining import Drain
from vrouter.objects import Object
from vrouter.reconciler import Reconciler
from vrouter.state import Vip
from vrouter.subjects import INTERFACE, Subjects
from vrouter.why import outside, pods, services
from vrouter.why.evidence import gather
from vrouter.why.ground import Ground
from vrouter.why.lines import Line, line

EMPTY: Mapping[str, Drain] = {}

_WALKS: Mapping[str, Callable[[Ground, Object], Iterator[Line]]] = {
    "loadbalancer": services.service,
    "loadbalancer-listener": services.part,
    "loadbalancer-pool": services.part,
    "loadbalancer-member": services.part,
    "floating-ip": outside.floating_ip,
    INTERFACE: pods.interface,
}


async def explain(
    question: str,
    cache: Cache,
    compiler: Compiler,
    reconciler: Reconciler,
    backend: Backend,
    drains: Mapping[str, Drain] = EMPTY,
) -> dict[str, Any]:
    """Answers for everything that `question` may mean: a name, fq_name, uuid, workload, address or `VIP:PORT`.

    {"question", "answers": [{"type", "uuid", "name", "lines": [{"depth", "good", "text", "code"}]}]}; no answers if
    nothing is called so. drains: of members of weight 0 (`draining`).
    """
    ground = Ground(cache, compiler, reconciler, drains)
    subjects = [one for one in Subjects(cache, ground.view).called(question) if one.type in _WALKS]
    vips = {vip.key: vip for one in subjects for vip in _vips_about(ground, one)}
    interfaces = [one.uuid for one in subjects if one.type == INTERFACE]
    ground.evidence = await reconciler.ask(lambda: gather(backend, vips.values(), interfaces))
    answers = [
        {"type": found.type, "uuid": found.uuid, "name": ":".join(found.fq_name), "lines": list(_lines(ground, found))}
        for found in subjects
    ]
    return {"question": question, "answers": answers}


def _lines(ground: Ground, found: Object) -> Iterator[Line]:
    if ground.evidence.failure:
        yield line(0, False, f"the data plane could not be asked: {ground.evidence.failure}")
    yield from _WALKS[found.type](ground, found)


def _vips_about(ground: Ground, found: Object) -> Iterator[Vip]:
    """Those whose groups must be known to tell of it."""
    if found.type == INTERFACE:
        yield from ground.used_by(found.uuid)
    for owner in [found] if found.type in ("loadbalancer", "floating-ip") else ground.owners(found):
        yield from ground.vips(owner)
