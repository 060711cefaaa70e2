"""Whatever is put and deleted in whatever order: who is reached is who should be, and no open connection is lost.

The machine acts as the reconciler does: a pod leaves its services before its interface goes.
"""

from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from lab import Answer, Connection, Lab, Refused
from scenery import Network, ask, assert_reaches, connect, listener, member, who

from vrouter.backends.protocol import Delete, Put
from vrouter.state import Address, Family, Interface, Protocol, Vip

VIPS = range(2)
LISTENERS = [8888, 9999]
PODS = range(4)
TARGETS = [80, 81]

# What a service should be: listener port -> {pod number: (target port, weight)}
Service = dict[int, dict[int, tuple[int, int]]]

services = st.dictionaries(
    st.sampled_from(LISTENERS),
    st.dictionaries(st.sampled_from(PODS), st.tuples(st.sampled_from(TARGETS), st.integers(1, 3))),
)


@dataclass
class Open:
    connection: Connection
    vip: Address
    port: int
    pod: int
    target: int


@dataclass
class Model:
    pods: dict[int, Interface] = field(default_factory=dict)
    services: dict[Address, Service] = field(default_factory=dict)
    limits: dict[Address, int] = field(default_factory=dict)  # of all its listeners
    units: dict[Address, Vip] = field(default_factory=dict)
    open: list[Open] = field(default_factory=list)


def machine(lab_type: type[Lab], family: Family) -> type[RuleBasedStateMachine]:
    class Machine(RuleBasedStateMachine):
        def __init__(self) -> None:
            super().__init__()
            self.lab = lab_type(family)
            self.network = Network(self.lab)
            self.client = self.network.pod()
            self.model = Model()

        def teardown(self) -> None:
            for each in self.model.open:
                each.connection.close()
            self.lab.close()

        @rule(number=st.sampled_from(PODS))
        def put_pod(self, number: int) -> None:
            if number in self.model.pods:
                self.lab.apply(Put(self.model.pods[number]))
                return
            self.model.pods[number] = self.network.pod(*TARGETS)

        @rule(number=st.sampled_from(PODS))
        def delete_pod(self, number: int) -> None:
            for vip, service in list(self.model.services.items()):
                if any(number in members for members in service.values()):
                    self.put(vip, {port: _without(members, number) for port, members in service.items()})
            if number in self.model.pods:
                self.lab.apply(Delete(self.model.pods.pop(number)))

        @rule(number=st.sampled_from(VIPS), service=services, limit=st.sampled_from([0, 1000, 2000]))
        def put_service(self, number: int, service: Service, limit: int) -> None:
            """The limit is beyond what this test opens: its coming, changing and going is what nobody must notice."""
            self.model.limits[self.lab.vip + number] = limit
            standing = {
                port: {pod: how for pod, how in members.items() if pod in self.model.pods}
                for port, members in service.items()
            }
            self.put(self.lab.vip + number, standing)

        @rule(number=st.sampled_from(VIPS))
        def delete_service(self, number: int) -> None:
            vip = self.lab.vip + number
            if vip in self.model.units:
                self.lab.apply(Delete(self.model.units.pop(vip)))
                del self.model.services[vip]
                self.close_withdrawn()

        @precondition(lambda self: self.lab.survives_restart)
        @rule()
        def restart(self) -> None:
            self.lab.restart()

        @precondition(lambda self: any(any(service.values()) for service in self.model.services.values()))
        @rule(data=st.data())
        def open_connection(self, data: st.DataObject) -> None:
            choices = [(v, p) for v, s in self.model.services.items() for p, members in s.items() if members]
            vip, port = data.draw(st.sampled_from(choices))
            connection = connect(self.lab, self.client, vip, port)
            uuid = who(connection)
            number = next(number for number, pod in self.model.pods.items() if pod.uuid == uuid)
            self.model.open.append(Open(connection, vip, port, number, self.model.services[vip][port][number][0]))

        @invariant()
        def new_connections_reach_the_members(self) -> None:
            for vip in (self.lab.vip + number for number in VIPS):
                service = self.model.services.get(vip)
                if service is None:
                    # an ICMPv6 error about a first SYN is heard a second later, with the next one
                    protocol: Protocol = "tcp" if family == 4 else "udp"
                    assert not isinstance(ask(self.lab, self.client, vip, LISTENERS[0], protocol), Answer)
                    continue
                for port in LISTENERS:
                    if members := service.get(port):
                        pods = [self.model.pods[number] for number in members]
                        assert_reaches(self.lab, self.client, vip, port, pods)
                    else:
                        assert ask(self.lab, self.client, vip, port) == Refused("reset")

        @invariant()
        def open_connections_stay(self) -> None:
            for each in self.model.open:
                assert who(each.connection) == self.model.pods[each.pod].uuid

        @invariant()
        def the_backend_knows_what_stands(self) -> None:
            expected = {self.network.vrf.key, self.client.key}
            expected |= {pod.key for pod in self.model.pods.values()}
            expected |= {vip.key for vip in self.model.units.values()}
            assert {unit.key for unit in self.lab.backend.observe()} == expected

        def put(self, vip: Address, service: Service) -> None:
            pods = self.model.pods
            listeners = tuple(
                listener(port, *(member(pods[number], *how) for number, how in sorted(members.items())))._replace(
                    limit=self.model.limits[vip]
                )
                for port, members in sorted(service.items())
            )
            unit = Vip(self.network.index, vip, f"default-domain:lab:{vip}", listeners)
            self.lab.apply(Put(unit))
            self.model.units[vip] = unit
            self.model.services[vip] = service
            self.close_withdrawn()

        def close_withdrawn(self) -> None:
            """A connection may break when its pod serves that listener on that port no more."""
            staying = []
            for each in self.model.open:
                how = self.model.services.get(each.vip, {}).get(each.port, {}).get(each.pod)
                if how is not None and how[0] == each.target:
                    staying.append(each)
                else:
                    each.connection.close()
            self.model.open = staying

    return Machine


def _without(members: dict[int, tuple[int, int]], number: int) -> dict[int, tuple[int, int]]:
    return {pod: how for pod, how in members.items() if pod != number}


def test_any_order_of_changes(lab_type: type[Lab], family: Family) -> None:
    real = lab_type.survives_restart  # in a kernel, say, where a step takes its time
    run_state_machine_as_test(
        machine(lab_type, family),
        settings=settings(
            max_examples=3 if real else 60,
            stateful_step_count=10 if real else 25,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_any_long_order_of_changes(lab_type: type[Lab], family: Family) -> None:
    real = lab_type.survives_restart  # in a kernel, say, where a step takes its time
    run_state_machine_as_test(
        machine(lab_type, family),
        settings=settings(
            max_examples=10 if real else 400,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
