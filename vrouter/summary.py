"""What an agent says of itself to the API server: what it is, how much stands, and what it could not program and why.

It is made anew whenever it may be told, so all of it can be had from what the compiler and the reconciler keep: how
many units of which state, which have failed, which results have a reason.
"""

from collections.abc import Iterator, Mapping
from importlib.metadata import version
from itertools import islice
from typing import Any

from vrouter.backends.protocol import Backend
from vrouter.cache import Cache
from vrouter.compiler import Compiler
from vrouter.reconciler import Reconciler
from vrouter.settings import AgentSettings
from vrouter.state import Key, Reason

MOST = 20  # reasons, and problems, that are told; what there is beyond is counted
LONGEST = 500  # characters of one


class Summary:
    """Called, it gives what `POST /status` takes as `agent`."""

    def __init__(
        self, settings: AgentSettings, backend: Backend, cache: Cache, compiler: Compiler, reconciler: Reconciler
    ) -> None:
        self._said = {"version": version("vaportrail"), "backend": settings.backend}
        self._backend = backend
        self._cache = cache
        self._compiler = compiler
        self._reconciler = reconciler

    def __call__(self) -> Mapping[str, Any]:
        states = self._reconciler.states
        failed = set(failures(self._cache, self._compiler, self._reconciler))
        others = set(self._compiler.reasons()) - failed
        told = [*islice(sorted(failed), MOST)]
        told += islice(sorted(others), MOST - len(told))
        return {
            **self._said,
            "problems": [problem[:LONGEST] for problem in self._backend.problems[:MOST]],
            "units": {state: states[state] for state in ("done", "pending", "error")},
            "reasons": [self._row(reason) for reason in told],
            "more_reasons": len(failed) + len(others) - len(told),
        }

    def _row(self, reason: Reason) -> Mapping[str, str]:
        kind, uuid = reason.subject
        known = self._cache.get(uuid)
        name = ":".join(known.fq_name)[:LONGEST] if known else ""
        return {"type": kind, "uuid": uuid, "name": name, "code": reason.code, "text": reason.text[:LONGEST]}


def failures(cache: Cache, compiler: Compiler, reconciler: Reconciler) -> Iterator[Reason]:
    """What the backend has to say of units it could not make."""
    for key in sorted(reconciler.failed, key=str):
        owner = compiler.owner(key)
        if owner is not None:
            found = cache.get(owner[1])
            subject = (found.type if found else owner[0], owner[1])
            yield Reason(subject, "backend", f"{describe(key)} could not be made: {reconciler.status[key].text}")


def describe(key: Key) -> str:
    """A unit for people: `VIP 10.97.10.10 in VRF 5`."""
    match key:
        case ("vip", vrf, address):
            return f"VIP {address} in VRF {vrf}"
        case ("join", one, other):
            return f"join of VRFs {one} and {other}"
        case ("uplink", vrf):
            return f"uplink of VRF {vrf}"
        case ("exit", vrf, family):
            return f"way out of VRF {vrf} for IPv{family}"
        case ("egress", vrf, address):
            return f"way out of {address} in VRF {vrf}"
        case ("outside", vrf, address):
            return f"address {address} outside of VRF {vrf}"
        case ("remote", vrf, uuid):
            return f"remote interface {uuid} in VRF {vrf}"
        case (kind, name):
            return f"{'VRF' if kind == 'vrf' else kind} {name}"
        case _:
            return ":".join(map(str, key))
