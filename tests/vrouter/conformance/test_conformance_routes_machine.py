"""Whatever VRFs are joined and parted, guarded and opened, with whatever pods and members, in whatever order: who is
reached, by the VIP and directly, is who should be. The reconciler does it, as in an agent."""

import asyncio
from itertools import combinations

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from lab import Answer, Lab, Refused
from scenery import Network, ask, assert_reaches, listener, member
from simulator_lab import SimulatorLab

from vrouter.reconciler import Reconciler
from vrouter.state import Family, Interface, Join, Key, Link, Remote, Unit, Vip, addresses_of

NEAR, VRFS = 1, (1, 2, 3)
PORT, TARGET = 8888, 80
Pair = tuple[int, int]

vrfs, pairs = st.sampled_from(VRFS), st.sampled_from(list(combinations(VRFS, 2)))
sides = st.tuples(st.booleans(), st.booleans())


def machine(lab_type: type[Lab], family: Family) -> type[RuleBasedStateMachine]:
    class Machine(RuleBasedStateMachine):
        def __init__(self) -> None:
            super().__init__()
            self.lab = lab_type(family)
            self.runner = asyncio.Runner()
            self.networks = {index: Network(self.lab, index, apply=False) for index in VRFS}
            self.desired: dict[Key, Unit] = {}
            self.reconciler: Reconciler | None = None
            self.pods: dict[tuple[int, int], Interface] = {}
            self.joined: dict[Pair, tuple[bool, bool]] = {}  # whether guarded against the first, the second
            self.members: set[tuple[int, int]] = set()
            self.client = self.new_pod(NEAR, 0)
            self.settle()

        def teardown(self) -> None:
            self.let_go()
            self.runner.close()
            self.lab.close()

        @rule(vrf=vrfs, number=st.integers(1, 2))
        def put_pod(self, vrf: int, number: int) -> None:
            self.pods.setdefault((vrf, number), self.new_pod(vrf, number))
            self.settle()

        @precondition(lambda self: self.pods)
        @rule(data=st.data())
        def delete_pod(self, data: st.DataObject) -> None:
            place = data.draw(st.sampled_from(sorted(self.pods)))
            self.lab.silence(self.pods.pop(place).uuid)
            self.members.discard(place)
            self.settle()

        @rule(pair=pairs, guarded=sides)
        def join(self, pair: Pair, guarded: tuple[bool, bool]) -> None:
            self.joined[pair] = guarded
            self.settle()

        @rule(pair=pairs)
        def part(self, pair: Pair) -> None:
            self.joined.pop(pair, None)
            self.settle()

        @precondition(lambda self: self.pods)
        @rule(data=st.data())
        def serve(self, data: st.DataObject) -> None:
            self.members = data.draw(st.sets(st.sampled_from(sorted(self.pods))))
            self.settle()

        @precondition(lambda self: self.lab.survives_restart)
        @rule()
        def restart(self) -> None:
            self.let_go()
            self.lab.restart()
            self.settle()

        @invariant()
        def the_vip_reaches_its_members(self) -> None:
            pods = [self.pods[place] for place in self.members if self.is_joined(NEAR, place[0])]
            if pods:
                assert_reaches(self.lab, self.client, self.lab.vip, PORT, pods)
            else:
                assert ask(self.lab, self.client, self.lab.vip, PORT) == Refused("reset")

        @invariant()
        def pods_reach_whom_they_may(self) -> None:
            for (vrf, _), pod in self.pods.items():
                outcome = ask(self.lab, self.client, pod.address, TARGET, "udp")
                if self.may_open(NEAR, vrf):
                    assert isinstance(outcome, Answer)
                    assert outcome.member == pod.uuid
                else:
                    assert outcome == Refused("unreachable")
                back = ask(self.lab, pod, self.client.address, TARGET, "udp")
                assert isinstance(back, Answer) is self.may_open(vrf, NEAR)

        @invariant()
        def the_backend_knows_what_stands(self) -> None:
            assert {unit.key: unit for unit in self.lab.backend.observe()} == self.desired

        def let_go(self) -> None:
            """Of the reconciler; what it has made is the lab's to end."""
            if self.reconciler is not None:
                self.reconciler._thread.shutdown()
                self.reconciler = None

        # --- what there should be

        def new_pod(self, vrf: int, number: int) -> Interface:
            return self.networks[vrf].new_pod(self.networks[vrf]._last + 10 * vrf + number + 1)

        def is_joined(self, one: int, other: int) -> bool:
            return one == other or (min(one, other), max(one, other)) in self.joined

        def may_open(self, one: int, other: int) -> bool:
            """Whether pods of the one VRF may open connections to those of the other."""
            if one == other:
                return True
            guarded = self.joined.get((min(one, other), max(one, other)))
            return guarded is not None and not guarded[0 if one < other else 1]

        def units(self) -> list[Unit]:
            pods = [self.client, *self.pods.values()]
            found: list[Unit] = [network.vrf for network in self.networks.values()]
            found += [*(Join(*pair) for pair in self.joined), *pods]
            for one, other in self.joined:
                for vrf, away in ((one, other), (other, one)):
                    found += [
                        Remote(pod.uuid, pod.name, vrf, addresses_of(pod), Link(away), not self.may_open(vrf, away))
                        for pod in pods if pod.vrf == away
                    ]  # fmt: skip
            places = sorted(place for place in self.members if self.is_joined(NEAR, place[0]))
            members = [member(self.pods[place], TARGET) for place in places]
            return [*found, Vip(NEAR, self.lab.vip, "default-domain:lab:service", (listener(PORT, *sorted(members)),))]

        def settle(self) -> None:
            """Make it so."""
            self.desired.clear()
            self.desired.update({unit.key: unit for unit in self.units()})
            self.runner.run(self.reconcile())
            for pod in [self.client, *self.pods.values()]:
                self.lab.listen(pod, "tcp", TARGET)
                self.lab.listen(pod, "udp", TARGET)

        async def reconcile(self) -> None:
            if self.reconciler is None:
                self.reconciler = Reconciler(self.lab.backend, self.desired)
                for unit in await self.reconciler.ask(self.lab.backend.observe):
                    self.reconciler._stands(unit.key, unit)
            await self.reconciler.reconcile(self.reconciler.everything())
            assert {key: one.text for key, one in self.reconciler.status.items() if one.state != "done"} == {}

    return Machine


def run(lab_type: type[Lab], family: Family, examples: int, steps: int) -> None:
    run_state_machine_as_test(
        machine(lab_type, family),
        settings=settings(max_examples=examples, stateful_step_count=steps, deadline=None,
                          suppress_health_check=list(HealthCheck)),
    )  # fmt: skip


def test_any_order_of_joins(family: Family) -> None:
    """Where it costs little; in a kernel it takes its time."""
    run(SimulatorLab, family, 20, 15)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_any_long_order_of_joins(lab_type: type[Lab], family: Family) -> None:
    real = lab_type.survives_restart
    run(lab_type, family, 6 if real else 60, 14 if real else 30)
