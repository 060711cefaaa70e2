"""A graph of objects, and the compiler that follows it."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from object_graph import Graph

from vrouter.cache import Cache
from vrouter.compiler import Compiler
from vrouter.compiler.engine import unprobed
from vrouter.state import Check, Health, Plug


class World:
    """A graph, and the compiler that follows it."""

    def __init__(
        self,
        graph: Graph | None = None,
        health: Callable[[Check], Health] = unprobed,
        plugs: Mapping[str, Plug] | None = None,
        *,
        external: str | None = None,
    ) -> None:
        self.graph = graph or Graph()
        self.cache = Cache()
        self.plugs = dict(plugs or {})
        self.compiler = Compiler(self.cache, "n1", health, external=external)
        self.compiler.plug = self.plugs.get
        for facts in self.cache.replace(self.graph.snapshot()):
            self.compiler.touch(facts)
        self.compiler.compile()
        self.compiler.take_changed()

    def follow(self) -> set[Any]:
        """Take over what happened in the graph; gives the keys of changed units."""
        self.compiler.touch(self.cache.apply(self.graph.events()))
        self.compiler.compile()
        return self.compiler.take_changed()

    def follow_in_parts(self) -> set[Any]:
        """The same while the events are on their way: each alone, and something is made after it."""
        delta = self.graph.events()
        for event in delta.events:
            if event.kind == "delete":
                self.compiler.touch(self.cache.apply(replace(delta, events=[event])))
            else:
                self.compiler.touch(self.cache.begin(event.type, [event.object]))
            self.compiler.prepare(1)
        self.compiler.touch(self.cache.apply(replace(delta, events=[])))
        self.compiler.compile()
        return self.compiler.take_changed()

    def plug(self, interface: str, plug: Plug | None) -> None:
        """A port comes, or goes (None)."""
        if plug is None:
            self.plugs.pop(interface, None)
        else:
            self.plugs[interface] = plug
        self.compiler.touch([interface])
        self.compiler.compile()

    def unit(self, *key: str | int) -> Any:
        return self.compiler.desired.get(key)

    @property
    def reasons(self) -> dict[str, str]:
        """uuid -> text, of objects with one reason."""
        return {reason.subject[1]: reason.text for reason in self.compiler.reasons()}

    def backends(self, vrf: int = 5, vip: str = "10.0.0.100") -> list[str]:
        unit = self.unit("vip", vrf, vip)
        return list(unit.backends)
