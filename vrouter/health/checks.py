"""The members that are probed, and what is known of each.

A member that nobody knows yet takes no connection before its first good answer. One that serves already when it begins
to be probed (a monitor was added, the agent was restarted) goes on until it fails: a look at a service must not be what
interrupts it.

Each (member, monitor) is a task that sleeps most of the time. The first probe is at once, the second after a random
part of the delay: so thousands that begin together do not stay together.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping

import structlog

from vrouter.health.probing import Probing, State
from vrouter.health.room import Room
from vrouter.health.ticks import Ticks
from vrouter.state import Check, Health, Monitor

log = structlog.get_logger(__name__)

Probe = Callable[[Check, Monitor], Awaitable[str | None]]


class HealthChecks:
    """probe: as a `Backend` has it. serves: whether a member takes connections now. changed: told of a member whose
    health is another. clock: seconds since the epoch."""

    def __init__(
        self,
        probe: Probe,
        serves: Callable[[Check], bool],
        changed: Callable[[str], None],
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.checks: dict[str, Check] = {}
        self.probings: dict[str, dict[str, Probing]] = {}  # member -> monitor's uuid -> what is known
        self.answers = {True: 0, False: 0}  # good and bad ones, of all since the start
        self._probe = probe
        self._serves = serves
        self._changed = changed
        self._clock = clock
        self._tasks: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._fresh: list[tuple[str, str]] = []  # to be started
        self._room = Room()
        self._ticks = Ticks()

    def state(self, check: Check) -> Health:
        """What is known of a member; of one that is not probed yet, or was at another place, how it will begin."""
        if not self._knows(check):
            return Health("up") if self._serves(check) else Health("waiting", _called(check.monitors[0]))
        known = self.probings[check.member]
        result = Health("up")
        for monitor in check.monitors:
            one = known.get(monitor.uuid)
            state, text = (one.state, one.text) if one else (self._beginning(check), "")
            if state == "down":
                return Health(state, _called(monitor), text)
            if state == "waiting":
                result = Health(state, _called(monitor), text)
        return result

    def follow(self, members: Iterable[str], checks: Mapping[str, Check]) -> None:
        """Of these members, probe those in `checks`, as they say, and no others. New ones begin with `start`."""
        for member in members:
            check = checks.get(member)
            if check is None:
                self._forget(member)
                continue
            if not self._knows(check):
                self._forget(member)
            beginning = self._beginning(check)
            known = self.probings.setdefault(member, {})
            self.checks[member] = check
            wanted = {monitor.uuid: monitor for monitor in check.monitors}
            for uuid in known.keys() - wanted.keys():
                self._stop(member, uuid)
            for uuid, monitor in wanted.items():
                if uuid not in known:
                    known[uuid] = Probing(monitor, beginning, self._clock())
                elif known[uuid].monitor != monitor:  # what is known stays, and is looked at in the new way at once
                    known[uuid].monitor = monitor
                    self._halt(member, uuid)
                else:
                    continue
                self._fresh.append((member, uuid))

    def start(self) -> None:
        """Begin with those that are new: what they probe has been made by now."""
        for member, uuid in self._fresh:
            if uuid in self.probings.get(member, {}) and (member, uuid) not in self._tasks:
                self._tasks[member, uuid] = asyncio.create_task(self._run(member, uuid), name=f"probe {member}")
        self._fresh.clear()

    async def close(self) -> None:
        tasks = list(self._tasks.values())
        self._tasks.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _knows(self, check: Check) -> bool:
        known = self.checks.get(check.member)
        return known is not None and known.target == check.target

    def _beginning(self, check: Check) -> State:
        return "up" if self._serves(check) else "waiting"

    def _forget(self, member: str) -> None:
        self.checks.pop(member, None)
        for uuid in list(self.probings.get(member, ())):
            self._stop(member, uuid)
        self.probings.pop(member, None)

    def _stop(self, member: str, uuid: str) -> None:
        del self.probings[member][uuid]
        self._halt(member, uuid)

    def _halt(self, member: str, uuid: str) -> None:
        task = self._tasks.pop((member, uuid), None)
        if task is not None:
            task.cancel()

    async def _run(self, member: str, uuid: str) -> None:
        loop = asyncio.get_running_loop()
        known = self.probings[member][uuid]
        due, part = loop.time(), random.random()  # noqa: S311  spreads load
        while True:
            async with self._room.take():
                check, monitor = self.checks[member], known.monitor
                begun = loop.time()
                try:
                    error = await self._probe(check, monitor)
                except Exception as trouble:  # noqa: BLE001  this machine's own: it tells nothing of the member
                    log.warning("a probe could not be made", member=member, monitor=monitor.name, reason=repr(trouble))
                else:
                    self._take(member, known, error, loop.time() - begun)
            due = max(due + monitor.delay * part, loop.time())
            part = 1.0
            await self._ticks.sleep_until(due)

    def _take(self, member: str, known: Probing, error: str | None, took: float) -> None:
        self.answers[error is None] += 1
        if known.take(error, self._clock(), took):
            log.info("health", member=member, monitor=known.monitor.name, state=known.state, reason=known.text)
            self._changed(member)


def _called(monitor: Monitor) -> str:
    return f"health monitor {monitor.name}"
