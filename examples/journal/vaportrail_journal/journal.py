"""`Journal`: a `Backend` (`vrouter/backends/protocol.py`) that writes down what another one is asked for.

It knows of that one what the protocol says, and nothing else, so it goes with any. Everything it is asked is passed on
as it is; what changes something gets its lines after the answer is there.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict

from vaportrail_journal.lines import Lines, begun, line
from vrouter.backends.lookup import Group, Header, Lookup
from vrouter.backends.protocol import (
    Backend,
    BackendError,
    Drift,
    Drop,
    Flow,
    Operation,
    Places,
    Put,
    Stat,
    Tables,
    Vif,
)
from vrouter.state import Address, Check, Key, Monitor, Unit, Vip


class Journal:
    """over: what forwards."""

    def __init__(self, over: Backend, lines: Lines) -> None:
        self._over = over
        self._lines = lines
        self._stands: dict[Key, Unit] = {}

    @property
    def problems(self) -> Sequence[str]:
        own = [self._lines.problem] if self._lines.problem else []
        return [*self._over.problems, *own]

    # --- what changes something

    def observe(self) -> list[Unit]:
        found = self._over.observe()
        self._lines.write([begun(found)], self._stands.values())
        self._stands = {unit.key: unit for unit in found}
        return found

    def apply(self, operations: Sequence[Operation]) -> list[BackendError | None]:
        answers = self._over.apply(operations)
        lines = [
            line(
                "put" if isinstance(operation, Put) else "delete", key=operation.unit.key,
                unit=asdict(operation.unit), error=None if error is None else str(error),
            )
            for operation, error in zip(operations, answers, strict=True)
        ]  # fmt: skip
        self._lines.write(lines, self._stands.values())
        for operation, error in zip(operations, answers, strict=True):
            if error is None and isinstance(operation, Put):
                self._stands[operation.unit.key] = operation.unit
            elif error is None:
                self._stands.pop(operation.unit.key, None)
        return answers

    def drift(self) -> list[Drift]:
        found = self._over.drift()
        if found:
            lines = [line("drift", kind=one.kind, key=one.unit, text=one.text, mended=one.mended) for one in found]
            self._lines.write(lines, self._stands.values())
        return found

    def cleanup(self) -> list[str]:
        removed = self._over.cleanup()
        self._lines.write([line("cleanup", removed=removed), begun(())], self._stands.values())
        self._stands = {}
        return removed

    # --- what is passed on

    def open(self) -> None:
        self._over.open()

    def close(self) -> None:
        self._over.close()

    def tables(self, vrf: int | None = None) -> Tables:
        return self._over.tables(vrf)

    def lookup(self, interface: str, header: Header) -> Lookup:
        return self._over.lookup(interface, header)

    def groups(self, vrf: int, vip: Address) -> Sequence[Group]:
        return self._over.groups(vrf, vip)

    def carrier(self, interface: str) -> bool | None:
        return self._over.carrier(interface)

    def vifs(self, vrf: int | None = None) -> Sequence[Vif]:
        return self._over.vifs(vrf)

    def flows(self, vrf: int | None = None) -> Iterable[Flow]:
        return self._over.flows(vrf)

    def drops(self) -> Sequence[Drop]:
        return self._over.drops()

    def stats(self, vrf: int | None = None) -> Sequence[Stat]:
        return self._over.stats(vrf)

    def counts(self, vip: Vip) -> Sequence[Stat]:
        return self._over.counts(vip)

    def places(self, vip: Vip | None = None) -> Sequence[Places]:
        return self._over.places(vip)

    async def probe(self, check: Check, monitor: Monitor) -> str | None:
        return await self._over.probe(check, monitor)

    def watch(self, disturbed: Callable[[], None]) -> None:
        self._over.watch(disturbed)
