"""What the pages are made from: the agent's parts, and names for what they have."""

import time
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request

from api_client import Watch
from vrouter.backends.protocol import Backend, Tables
from vrouter.cache import Cache
from vrouter.compiler import Compiler
from vrouter.health import HealthChecks
from vrouter.introspect.questions import BadQuestion
from vrouter.ports import Ports
from vrouter.progress import Progress
from vrouter.reconciler import Reconciler
from vrouter.report import Reporter
from vrouter.settings import AgentSettings
from vrouter.state import Key, Unit, Vrf


@dataclass
class Sources:
    """watch: None until the server is followed. started: seconds since the epoch."""

    settings: AgentSettings
    backend: Backend
    cache: Cache
    compiler: Compiler
    reconciler: Reconciler
    progress: Progress
    health: HealthChecks
    reporter: Reporter
    ports: Ports
    watch: Watch | None = None
    started: float = field(default_factory=time.time)

    async def tables(self, vrf: int | None) -> Tables:
        return await self.reconciler.ask(lambda: self.backend.tables(vrf))

    def desired(self, kind: type[Any]) -> list[Any]:
        return [unit for _, unit in sorted(self.compiler.desired.items(), key=_order) if isinstance(unit, kind)]

    def state(self, key: Key) -> dict[str, Any]:
        status = self.reconciler.status.get(key)
        if status is None:
            return {"state": "pending", "text": "", "since": None}
        return {"state": status.state, "text": status.text, "since": status.since}

    def vrf_name(self, index: int) -> str | None:
        unit = self.compiler.desired.get(("vrf", index))
        return unit.name if isinstance(unit, Vrf) else None

    def interface_name(self, uuid: str | None) -> str | None:
        """Of this node's or another's."""
        found = self.cache.get(uuid) if uuid else None
        return ":".join(found.fq_name) if found else None

    def vrf(self, request: Request) -> int | None:
        """`vrf=` by index, by name, or by the name's last part."""
        text = request.query_params.get("vrf")
        if not text:
            return None
        if text.isdecimal():
            return int(text)
        found = [unit.index for unit in self.desired(Vrf) if text == unit.name or unit.name.endswith(f":{text}")]
        if len(found) != 1:
            raise BadQuestion(f"{'no' if not found else 'more than one'} VRF is called {text!r}")
        return int(found[0])


def plain(value: Any) -> dict[str, Any]:
    """A slotted value as a row."""
    return {name: getattr(value, name) for name in value.__slots__}


def _order(item: tuple[Key, Unit]) -> tuple[Any, ...]:
    return tuple((isinstance(part, str), part) for part in item[0])
