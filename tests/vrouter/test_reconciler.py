from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from ipaddress import IPv4Address
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vrouter.backends.protocol import BackendError, BackendSettings, Delete, Operation, Put
from vrouter.backends.simulator import SimulatorBackend
from vrouter.reconciler import LONGEST_RETRY, Reconciler
from vrouter.state import HostAddress, Interface, Key, Listener, Member, Remote, Tunnel, Unit, Vip, Vrf, Vtep, base_of

VRF = Vrf(5, "d:p:vn:vn", Vtep(IPv4Address("192.0.2.1"), 5))
OTHER = Vrf(6, "d:p:other:other")


def interface(number: int, vrf: int = 5) -> Interface:
    address = IPv4Address(f"10.0.0.{number}")
    return Interface(f"if{number}", f"d:p:if{number}", vrf, f"pod{number}", f"02:00:00:00:00:0{number}",
                     (HostAddress(address, IPv4Address("10.0.0.254")),))  # fmt: skip


def remote(number: int) -> Remote:
    address = IPv4Address(f"10.0.0.{number}")
    return Remote(f"if{number}", f"d:p:if{number}", 5, (address,), Tunnel(IPv4Address("192.0.2.2")))


def vip(*numbers: int, last: int = 100, vrf: int = 5) -> Vip:
    members = tuple(Member(f"if{number}", IPv4Address(f"10.0.0.{number}"), 80) for number in numbers)
    return Vip(vrf, IPv4Address(f"10.0.0.{last}"), f"d:p:lb{last}", (Listener("tcp", 80, members),))


class Backend(SimulatorBackend):
    """Notes what is asked of it and fails where `fails` says so; strict about what must stand first."""

    def __init__(self) -> None:
        super().__init__(BackendSettings("n1", create_workloads=True))
        self.calls: list[Operation] = []
        self.fails: Callable[[Operation], BackendError | None] = lambda operation: None
        self.crash: Exception | None = None
        self.faults: list[str] = []  # orders in which nothing should be asked

    def apply(self, operations: Sequence[Operation]) -> list[BackendError | None]:
        if self.crash:
            raise self.crash
        answers: list[BackendError | None] = []
        for operation in operations:
            self.calls.append(operation)
            self._check(operation)
            error = self.fails(operation)
            answers.append(error or super().apply([operation])[0])
        return answers

    def _check(self, operation: Operation) -> None:
        standing = {unit.key: unit for unit in self.observe()}
        match operation:
            case Put(Vip() as unit):
                missing = [uuid for uuid in unit.backends if base_of(standing, unit.vrf, uuid) is None]
                self.faults += [f"{unit.key} comes before its interface {uuid}" for uuid in missing]
            case Put(Interface() | Remote() as unit):
                other = ("remote", unit.vrf, unit.uuid) if isinstance(unit, Interface) else ("interface", unit.uuid)
                if getattr(standing.get(other), "vrf", None) == unit.vrf:
                    self.faults.append(f"{unit.key} comes while {other} stands")
            case Delete(Interface(uuid=uuid) | Remote(uuid=uuid) as unit):
                users = [one for one in standing.values() if isinstance(one, Vip) and one.vrf == unit.vrf]
                self.faults += [f"{uuid} leaves while {one.key} uses it" for one in users if uuid in one.backends]
            case Delete(Vrf(index=index)):
                left = [unit for unit in standing.values() if not isinstance(unit, Vrf) and unit.vrf == index]
                self.faults += [f"VRF {index} leaves before {unit.key}" for unit in left]


class Desk:
    """A reconciler with a clock that moves when told to."""

    def __init__(self, backend: Backend | None = None) -> None:
        self.now = 1000.0
        self.backend = backend or Backend()
        self.desired: dict[Key, Unit] = {}
        self.reconciler = Reconciler(self.backend, self.desired, monotonic=lambda: self.now, clock=lambda: self.now)

    async def want(self, *units: Unit) -> list[Operation]:
        """Desire exactly these; gives what was asked of the backend."""
        changed = self.desired.keys() | {unit.key for unit in units}
        self.desired.clear()
        self.desired.update({unit.key: unit for unit in units})
        return await self.reconcile(changed)

    async def reconcile(self, changed: Any = ()) -> list[Operation]:
        self.backend.calls.clear()
        await self.reconciler.reconcile(changed)
        return list(self.backend.calls)

    @property
    def standing(self) -> dict[Key, Unit]:
        return {unit.key: unit for unit in self.backend.observe()}

    def state(self, unit: Unit) -> str | None:
        status = self.reconciler.status.get(unit.key)
        return status.state if status else None


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    desk = Desk()
    await desk.reconciler.start()
    yield desk
    await desk.reconciler.close()
    assert desk.backend.faults == []


async def test_in_the_order_of_what_stands_on_what(desk: Desk) -> None:
    first, second = interface(1), interface(2)
    calls = await desk.want(vip(1, 2), second, VRF, first)
    assert calls == [Put(VRF), Put(first), Put(second), Put(vip(1, 2))]
    calls = await desk.want()
    assert [type(call) for call in calls] == [Delete] * 4
    assert [call.unit.key[0] for call in calls] == ["vip", "interface", "interface", "vrf"]
    assert desk.standing == {}
    assert desk.reconciler.status == {}


async def test_a_change_is_one_operation(desk: Desk) -> None:
    base = (VRF, interface(1), interface(2))
    await desk.want(*base, vip(1))
    assert await desk.want(*base, vip(1, 2)) == [Put(vip(1, 2))]
    assert await desk.want(*base, vip(1, 2)) == []


async def test_a_vip_lets_go_before_its_interface_leaves(desk: Desk) -> None:
    await desk.want(VRF, interface(1), interface(2), vip(1, 2))
    assert await desk.want(VRF, interface(1), vip(1)) == [Put(vip(1)), Delete(interface(2))]


async def test_an_interface_that_moves_to_another_vrf(desk: Desk) -> None:
    await desk.want(VRF, OTHER, interface(1), interface(2), vip(1, 2))
    moved = interface(2, vrf=6)
    calls = await desk.want(VRF, OTHER, interface(1), moved, vip(1), vip(2, vrf=6))
    assert calls.index(Put(vip(1))) < calls.index(Delete(interface(2))) < calls.index(Put(moved))
    assert desk.standing == desk.desired


async def test_an_interface_that_moves_to_another_node_and_back(desk: Desk) -> None:
    await desk.want(VRF, interface(1), interface(2), vip(1, 2), vip(2, last=101))
    calls = await desk.want(VRF, interface(1), remote(2), vip(1, 2), vip(2, last=101))
    gone = [Put(vip(1)), Put(replace(vip(last=101)))]
    assert calls[:2] == gone
    assert calls[2:] == [Delete(interface(2)), Put(remote(2)), Put(vip(1, 2)), Put(vip(2, last=101))]
    calls = await desk.want(VRF, interface(1), interface(2), vip(1, 2), vip(2, last=101))
    assert calls == [*gone, Delete(remote(2)), Put(interface(2)), Put(vip(1, 2)), Put(vip(2, last=101))]
    assert desk.standing == desk.desired


async def test_a_remote_interface_that_changes_is_one_operation_for_it_and_one_for_its_vips(desk: Desk) -> None:
    await desk.want(VRF, remote(1), vip(1))
    elsewhere = replace(remote(1), via=Tunnel(IPv4Address("192.0.2.9")))
    assert await desk.want(VRF, elsewhere, vip(1)) == [Put(elsewhere), Put(vip(1))]


async def test_an_interface_that_is_made_anew_gets_its_place_in_vips_again(desk: Desk) -> None:
    await desk.want(VRF, interface(1), vip(1))
    other = replace(interface(1), mac="02:00:00:00:00:99")
    assert await desk.want(VRF, other, vip(1)) == [Put(other), Put(vip(1))]


async def test_an_interface_that_cannot_be_made_does_not_take_its_service_away(desk: Desk) -> None:
    desk.backend.fails = lambda call: BackendError("no namespace pod2") if call.unit == interface(2) else None
    await desk.want(VRF, interface(1), interface(2), vip(1, 2))
    assert desk.standing[vip().key] == vip(1)
    assert desk.state(interface(2)) == "error"
    assert desk.reconciler.status[interface(2).key].text == "no namespace pod2"
    desk.backend.fails = lambda call: None
    desk.now += 1
    assert await desk.reconcile() == [Put(interface(2)), Put(vip(1, 2))]
    assert desk.state(interface(2)) == "done"


async def test_failures_are_tried_again_later_and_later(desk: Desk) -> None:
    desk.backend.fails = lambda call: BackendError("busy")
    await desk.want(VRF)
    waits = []
    for _ in range(14):
        wait = desk.reconciler.next_retry
        assert wait is not None
        waits.append(wait)
        assert await desk.reconcile() == []  # not due yet
        desk.now += wait
        assert await desk.reconcile() == [Put(VRF)]
    assert waits[0] <= 0.1
    assert waits[4] > waits[0]
    assert LONGEST_RETRY / 2 < waits[-1] <= LONGEST_RETRY
    desk.backend.fails = lambda call: None
    desk.now += LONGEST_RETRY
    await desk.reconcile()
    assert desk.reconciler.next_retry is None
    assert desk.state(VRF) == "done"


async def test_a_permanent_failure_waits_for_a_change(desk: Desk) -> None:
    desk.backend.fails = lambda call: BackendError("name taken", permanent=True)
    await desk.want(VRF)
    assert desk.reconciler.next_retry is None
    desk.backend.fails = lambda call: None
    changed = replace(VRF, name="d:p:new:new")
    assert await desk.want(changed) == [Put(changed)]
    assert desk.state(changed) == "done"


async def test_what_failed_half_way_is_removed_when_no_longer_wanted(desk: Desk) -> None:
    desk.backend.fails = lambda call: BackendError("half way") if isinstance(call, Put) else None
    await desk.want(VRF)
    assert await desk.want() == [Delete(VRF)]
    assert desk.reconciler.status == {}
    assert desk.reconciler.next_retry is None


async def test_what_cannot_be_removed_keeps_its_status_and_its_vrf(desk: Desk) -> None:
    await desk.want(VRF, interface(1))
    desk.backend.fails = lambda call: BackendError("stuck") if call.unit == interface(1) else None
    await desk.want()
    assert desk.state(interface(1)) == "error"
    assert VRF.key in desk.standing
    desk.backend.fails = lambda call: None
    for _ in range(2):
        desk.now += LONGEST_RETRY
        await desk.reconcile()
    assert desk.standing == {}
    assert desk.reconciler.status == {}


async def test_a_fault_of_the_backend_is_an_error_not_the_end(desk: Desk) -> None:
    desk.backend.crash = RuntimeError("bug")
    await desk.want(VRF)
    assert desk.reconciler.status[VRF.key].text == "RuntimeError: bug"
    desk.backend.crash = None
    desk.now += LONGEST_RETRY
    await desk.reconcile()
    assert desk.standing == desk.desired


async def test_a_restart_finds_what_stands_and_touches_only_what_differs(desk: Desk) -> None:
    await desk.want(VRF, interface(1), interface(2), vip(1, 2), vip(1, last=101))
    again = Desk(desk.backend)
    again.desired.update({unit.key: unit for unit in (VRF, interface(1), interface(2), vip(1, 2), vip(2, last=102))})
    await again.reconciler.start()
    calls = await again.reconcile(again.reconciler.everything())
    assert sorted(calls, key=str) == sorted([Delete(vip(1, last=101)), Put(vip(2, last=102))], key=str)
    assert again.state(vip(1, 2)) == "done"
    await again.reconciler.close()


NUMBERS = st.lists(st.integers(1, 3), unique=True, max_size=3)
SOME = st.sets(st.integers(1, 3))
WANTS = st.tuples(NUMBERS, SOME, SOME, NUMBERS, NUMBERS, st.sampled_from(["none", "some", "all"]))


@settings(max_examples=150, deadline=None)
@given(st.lists(WANTS, max_size=8), st.randoms(use_true_random=False))
async def test_whatever_fails_on_the_way_it_gets_there(wants: list[Any], chance: Any) -> None:
    desk = Desk()
    await desk.reconciler.start()

    def fails(operation: Operation) -> BackendError | None:
        broken = trouble == "all" or (trouble == "some" and chance.random() < 0.4)
        return BackendError("chance") if broken else None

    desk.backend.fails = fails
    for numbers, away, elsewhere, first, second, trouble in wants:  # noqa: B007  read by `fails`
        bases = [interface(number, 6) if number in elsewhere else remote(number) if number in away
                 else interface(number) for number in numbers]  # fmt: skip
        here = [one for one in first if one in numbers and one not in elsewhere]
        there = [one for one in second if one in numbers and one in elsewhere]
        vrfs = [vrf for vrf in (VRF, OTHER) if any(one.vrf == vrf.index for one in bases)]
        vips = ([vip(*here)] if VRF in vrfs else []) + ([vip(*there, vrf=6)] if OTHER in vrfs else [])
        desk.now += chance.random()
        await desk.want(*vrfs, *bases, *vips)
        assert +desk.reconciler.states == Counter(one.state for one in desk.reconciler.status.values())
    trouble = "none"
    for _ in range(5):
        desk.now += LONGEST_RETRY
        await desk.reconcile()
    assert desk.standing == desk.desired
    assert {key: status.state for key, status in desk.reconciler.status.items()} == dict.fromkeys(desk.desired, "done")
    assert desk.reconciler.next_retry is None
    assert desk.backend.faults == []
    await desk.reconciler.close()
