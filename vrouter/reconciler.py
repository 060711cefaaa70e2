"""Makes the data plane what it should be, and says of each unit how far it is.

Level-triggered: a key says that something about a unit may have changed, never what; what to do is the difference
between what is desired and what was applied. So keys may come twice, late, or together, and a restart is a reconcile of
everything against what the backend observes: what is right already is not touched.

Order: VIPs let go of interfaces that leave, here or on other nodes, then those and VRFs go; then VRFs, interfaces,
remote ones and VIPs come, each on what it stands on. A VIP is made with those of its members whose interface stands, so
that one pod that cannot be made does not take its service away; it gets the member as soon as that interface stands.

Backend calls block, so they run one at a time in a thread of their own; the event loop never waits for the kernel.
"""

import asyncio
import random
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Literal, TypeVar

import structlog

from vrouter.backends.protocol import Backend, BackendError, Delete, Drift, Operation, Put
from vrouter.drift import Repairs
from vrouter.state import Check, Interface, Join, Key, Unit, Vip, Vrf, base_of

log = structlog.get_logger(__name__)

T = TypeVar("T")

BASES = ("interface", "remote")  # what VIPs stand on
ADDRESSES = ("outside", "egress")  # on bases and ways
WAYS = ("join", "uplink", "exit")  # between VRFs and out of them, each on those before it

FIRST_RETRY = 0.1  # seconds; doubles with each failure
LONGEST_RETRY = 30.0
SLICE = 256  # operations between two chances to stop or to answer a question: about a tenth of a second


@dataclass(frozen=True, slots=True)
class Status:
    """since: seconds since the epoch. text: what the backend said. retry_at: on the monotonic clock, None for never."""

    state: Literal["pending", "done", "error"]
    since: float
    text: str = ""
    attempts: int = 0
    retry_at: float | None = None


class Reconciler:
    """desired: the compiler's live mapping. applied: what stands, as far as is known."""

    def __init__(
        self,
        backend: Backend,
        desired: Mapping[Key, Unit],
        *,
        monotonic: Callable[[], float] = time.monotonic,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.applied: dict[Key, Unit] = {}
        self.status: dict[Key, Status] = {}
        self.states: Counter[str] = Counter()  # state -> how many have it
        self.failed: set[Key] = set()  # those whose status is an error
        self._moved: set[Key] = set()
        self.repairs = Repairs(clock)
        self._backend = backend
        self._desired = desired
        self._monotonic = monotonic
        self._clock = clock
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="backend")
        self._uncertain: set[Key] = set()  # of what is applied, where an operation failed on the way
        self._retries: dict[Key, float] = {}  # key -> when, on the monotonic clock
        self._mentions: dict[Key, set[str]] = {}  # VIP -> interfaces it mentions, desired or applied
        self._users: dict[str, set[Key]] = {}  # the same the other way: interface -> VIPs

    async def start(self) -> None:
        """Open the backend and read what stands. BackendError if this machine cannot serve."""
        await self.ask(self._backend.open)
        for unit in await self.ask(self._backend.observe):
            self._stands(unit.key, unit)

    async def ask(self, question: Callable[[], T]) -> T:
        """Run a backend call in the backend's thread."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, question)

    async def close(self) -> None:
        """Let go of the backend after the call that runs now; what stands stays."""
        await self.ask(self._backend.close)
        self._thread.shutdown(wait=True, cancel_futures=True)

    @property
    def next_retry(self) -> float | None:
        """Seconds until something is to be tried again."""
        if not self._retries:
            return None
        return max(0.0, min(self._retries.values()) - self._monotonic())

    def everything(self) -> set[Key]:
        return self._desired.keys() | self.applied.keys()

    def serves(self, check: Check) -> bool:
        """Whether the member takes connections now, as far as is known."""
        units = (self.applied.get(key) for key in self._users.get(check.interface, ()))
        return any(
            (check.interface, check.port) == (member.interface, member.port)
            for vip in units if isinstance(vip, Vip) for listener in vip.listeners for member in listener.members
        )  # fmt: skip

    def doubt(self, key: Key) -> None:
        """What stands of this unit may be otherwise by now: it is put again in the next round that has its key."""
        if key in self.applied:
            self._uncertain.add(key)
            self._set(key, "pending")

    def vips_of(self, interface: str) -> set[Key]:
        """VIPs of which an interface (a uuid) is or should be a member."""
        return set(self._users.get(interface, ()))

    async def look(self) -> set[Key]:
        """What others have changed is put right, or its keys are given: to be reconciled, as nothing stands of it."""
        keys: set[Key] = set()
        for drift in await self.ask(self._look):
            self.repairs.found(drift)
            if drift.unit is not None and not drift.mended:
                keys |= {drift.unit, *self._users_of([drift.unit])}
        self._uncertain |= keys & self.applied.keys()
        return keys

    def _look(self) -> list[Drift]:
        try:
            return self._backend.drift()
        except Exception:  # whatever it is, the agent must go on with the rest
            log.exception("the backend failed to look for drift")
            return []

    async def reconcile(self, changed: Iterable[Key]) -> None:
        """Try to make what these keys name as desired, and what is due for another try. Failures become statuses."""
        now = self._monotonic()
        keys = set(changed)
        for key in keys:
            self._retries.pop(key, None)
            if key in self.status:
                self.status[key] = replace(self.status[key], attempts=0)
        due = {key for key, at in self._retries.items() if at <= now}
        keys |= due
        for key in due:
            del self._retries[key]
        for key in keys:
            self._mention(key)
            if key in self._desired and self.applied.get(key) != self._desired[key]:
                self._set(key, "pending")
        leaving = {key for key in keys if key[0] in BASES and self._leaves(key)}
        keys |= {_other_self(self.applied[key]) for key in leaving}  # which waits for that
        kinds: dict[str | int, list[Key]] = defaultdict(list)
        for key in sorted(keys, key=str):
            kinds[key[0]].append(key)
        vips = {*kinds["vip"], *self._users_of(leaving)}
        await self._apply(list(self._shrink(vips, leaving)))
        for kind in ADDRESSES:
            await self._apply(list(self._deletes(kinds[kind])))
        await self._apply(list(self._delete_bases(leaving)))
        for kind in reversed(WAYS):
            await self._apply(list(self._deletes(kinds[kind])))
        await self._apply(list(self._delete_vrfs(kinds["vrf"])))
        bases = [put for kind in ("vrf", *WAYS, *BASES, *ADDRESSES) for put in self._puts(kinds[kind])]
        remade = self._users_of(operation.unit.key for operation in bases if operation.unit.key in self.applied)
        await self._apply(bases)
        vips |= self._users_of(operation.unit.key for operation in bases)
        await self._apply(list(self._put_vips(vips, remade)))

    # --- what to do

    def _leaves(self, key: Key) -> bool:
        """Whether an interface that stands goes away, or to another VRF."""
        stands, wanted = self.applied.get(key), self._desired.get(key)
        return stands is not None and (wanted is None or _vrfs(stands) != _vrfs(wanted))

    def _blocked(self, key: Key) -> bool:
        """Whether an old self of it stands where it should, and could not be removed; that error is tried again."""
        if key[0] not in BASES:
            return False
        wanted = self._desired[key]
        other = self.applied.get(_other_self(wanted))
        return self._leaves(key) or (other is not None and _vrfs(other) == _vrfs(wanted))

    def _shrink(self, vips: set[Key], leaving: set[Key]) -> Iterator[Operation]:
        available = self._availability(leaving)
        for key in sorted(vips & self.applied.keys(), key=str):
            stands, wanted = self.applied[key], self._desired.get(key)
            if not isinstance(stands, Vip):
                continue
            if wanted is None:
                yield Delete(stands)
            elif isinstance(wanted, Vip) and any(leaving & _bases(stands, uuid) for uuid in stands.backends):
                smaller = _narrow(wanted, available)
                if smaller != stands:
                    yield Put(smaller)

    def _delete_bases(self, leaving: Iterable[Key]) -> Iterator[Operation]:
        for key in sorted(leaving, key=str):
            if self._users_of([key]) & self._uncertain:
                self._fail(key, BackendError("a VIP could not let go of it yet"))
            else:
                yield Delete(self.applied[key])

    def _deletes(self, keys: Iterable[Key]) -> Iterator[Operation]:
        for key in keys:
            stands = self.applied.get(key)
            if stands is not None and key not in self._desired:
                yield Delete(stands)

    def _delete_vrfs(self, keys: Iterable[Key]) -> Iterator[Operation]:
        for key in keys:
            stands = self.applied.get(key)
            if stands is None or key in self._desired:
                continue
            if any(_vrfs(stands)[0] in _vrfs(other) for other in self.applied.values() if not isinstance(other, Vrf)):
                self._fail(key, BackendError("something in this VRF could not be removed yet"))
                continue
            yield Delete(stands)

    def _puts(self, keys: Iterable[Key]) -> Iterator[Put]:
        for key in keys:
            wanted = self._desired.get(key)
            if wanted is None:
                if key not in self.applied:
                    self._clear(key)
            elif self._blocked(key):
                continue
            elif self.applied.get(key) != wanted or key in self._uncertain:
                yield Put(wanted)
            else:
                self._set(key, "done")

    def _put_vips(self, vips: Iterable[Key], remade: set[Key]) -> Iterator[Operation]:
        """remade: those with an interface that was made anew. They may have lost it with its old self, also where their
        unit is the same as before; a backend that has just started does not know of them."""
        available = self._availability()
        for key in sorted(vips, key=str):
            wanted = self._desired.get(key)
            if not isinstance(wanted, Vip):
                if key not in self.applied:
                    self._clear(key)
                continue
            standing = _narrow(wanted, available)
            if self.applied.get(key) != standing or key in self._uncertain or key in remade:
                yield Put(standing)
            else:
                self._set(key, "done")

    def _availability(self, leaving: Container[Key] = ()) -> Callable[[int, str], bool]:
        """Whether what a VRF reaches an interface (a uuid) by stands as desired, and does not leave. It is looked up
        once for all VIPs of a round."""

        @cache
        def available(vrf: int, uuid: str) -> bool:
            unit = base_of(self._desired, vrf, uuid)
            if unit is None or unit.key in leaving or unit.key in self._uncertain:
                return False
            return self.applied.get(unit.key) == unit

        return available

    # --- doing it

    async def _apply(self, operations: Sequence[Operation]) -> None:
        for start in range(0, len(operations), SLICE):
            part = operations[start : start + SLICE]
            answers = await self.ask(partial(self._call, part))
            for operation, error in zip(part, answers, strict=True):
                key = operation.unit.key
                if error is not None:
                    self._uncertain.add(key)
                    if isinstance(operation, Put):  # perhaps in part: it must be removed in time
                        self.applied[key] = operation.unit
                    self._mention(key)
                    self._fail(key, error)
                elif isinstance(operation, Delete):
                    self._stands(key, None)
                else:
                    self._stands(key, operation.unit)
                    self._set(key, "done")

    def _call(self, operations: Sequence[Operation]) -> Sequence[BackendError | None]:
        """In the backend's thread. A fault of its own is shown as an error of what was asked, and tried again."""
        try:
            return self._backend.apply(operations)
        except Exception as error:  # whatever it is, the agent must go on with the rest
            log.exception("the backend failed", operations=len(operations))
            failure = error if isinstance(error, BackendError) else BackendError(f"{type(error).__name__}: {error}")
            return [failure] * len(operations)

    def _stands(self, key: Key, unit: Unit | None) -> None:
        self._uncertain.discard(key)
        self.repairs.stands(key)
        if unit is None:
            self.applied.pop(key, None)
            if key not in self._desired:
                self._clear(key)
        else:
            self.applied[key] = unit
        self._mention(key)

    def _mention(self, key: Key) -> None:
        """Keep the index of which VIPs use, or may still use, which interface."""
        if key[0] != "vip":
            return
        now = set(self._mentions.get(key, ())) if key in self._uncertain else set()
        wanted, stands = self._desired.get(key), self.applied.get(key)
        for unit in (wanted, stands) if stands is not wanted else (wanted,):  # mostly it is the same one
            if isinstance(unit, Vip):
                now |= unit.interfaces
        before = self._mentions.pop(key, set())
        if now:
            self._mentions[key] = now
        for uuid in before - now:
            self._users[uuid].discard(key)
            if not self._users[uuid]:
                del self._users[uuid]
        for uuid in now - before:
            self._users.setdefault(uuid, set()).add(key)

    def _users_of(self, keys: Iterable[Key]) -> set[Key]:
        """VIPs with these interfaces, a remote one in its own VRF."""
        found: set[Key] = set()
        for key in keys:
            if key[0] == "interface":
                found |= self._users.get(str(key[1]), set())
            elif key[0] == "remote":
                found |= {vip for vip in self._users.get(str(key[2]), ()) if vip[1] == key[1]}
        return found

    # --- statuses

    def take_moved(self) -> set[Key]:
        """Keys whose state, or error, is another since the last call."""
        moved, self._moved = self._moved, set()
        return moved

    def _set(self, key: Key, state: Literal["pending", "done"]) -> None:
        before = self.status.get(key)
        if before is None or before.state != state:
            attempts = before.attempts if before and state == "pending" else 0
            self._become(key, Status(state, self._clock(), attempts=attempts))
            self.failed.discard(key)
            self._moved.add(key)

    def _fail(self, key: Key, error: BackendError) -> None:
        attempts = self.status[key].attempts + 1 if key in self.status else 1
        retry_at = None
        if not error.permanent:
            delay = min(FIRST_RETRY * 2 ** min(attempts - 1, 20), LONGEST_RETRY)
            retry_at = self._monotonic() + delay * random.uniform(0.75, 1.0)  # noqa: S311 - spreads load
            self._retries[key] = retry_at
        if self.status.get(key) is None or self.status[key].text != str(error):
            log.warning("not applied", unit=":".join(map(str, key)), reason=str(error), permanent=error.permanent)
            self._moved.add(key)
        self._become(key, Status("error", self._clock(), str(error), attempts, retry_at))
        self.failed.add(key)

    def _clear(self, key: Key) -> None:
        self._become(key, None)
        self.failed.discard(key)
        self._moved.add(key)
        self._retries.pop(key, None)
        self._uncertain.discard(key)

    def _become(self, key: Key, status: Status | None) -> None:
        before = self.status.pop(key, None)
        if before is not None:
            self.states[before.state] -= 1
        if status is not None:
            self.status[key] = status
            self.states[status.state] += 1


def _narrow(vip: Vip, available: Callable[[int, str], bool]) -> Vip:
    """The VIP with those members whose interface is available."""
    away = {uuid for uuid in vip.interfaces if not available(vip.vrf, uuid)}
    if not away:
        return vip
    listeners = tuple(
        listener._replace(members=tuple(one for one in listener.members if one.interface not in away))
        for listener in vip.listeners
    )
    return replace(vip, listeners=listeners)


def _bases(vip: Vip, uuid: str) -> set[Key]:
    """What a member of the VIP may be reached by."""
    return {("interface", uuid), ("remote", vip.vrf, uuid)}


def _other_self(unit: Unit) -> Key:
    """What an interface of this node would be in its VRF if it were on another, or the other way."""
    return ("remote", unit.vrf, unit.uuid) if isinstance(unit, Interface) else ("interface", unit.key[-1])


def _vrfs(unit: Unit) -> tuple[int, ...]:
    """Those it stands in."""
    match unit:
        case Vrf():
            return (unit.index,)
        case Join():
            return unit.one, unit.other
        case _:
            return (unit.vrf,)
