"""Whatever changes of objects an agent has followed, it forwards as one that starts with what there is now; and the
kernel as the simulator. Packets are sent to prove it. FUZZ_EXAMPLES says for how many histories."""

import os
from ipaddress import ip_address
from typing import Any
from uuid import uuid4

import pytest
from behaviour import Asked, Behaviour, behaviour
from driven import Driven
from hypothesis import HealthCheck, given, settings
from lab import Lab
from object_changes import CLIENTS, NODE, PORTS, STEPS, TARGETS, VIPS, Change, Scene
from simulator_lab import SimulatorLab

ASKED = Asked(
    clients=("if-a", *(f"if-{name}" for name in CLIENTS)),
    addresses=tuple(ip_address(vip) for vips in VIPS.values() for vip in vips),
    ports=tuple((protocol.lower(), port) for protocol, port in PORTS),  # type: ignore[misc]  # tcp or udp
)

Steps = list[tuple[Change, str]]


def followed(lab: Lab, steps: Steps, prefix: str) -> tuple[Behaviour, Scene]:
    """What a data plane does in the end that has seen everything as it came."""
    scene, driven = Scene(prefix), Driven(lab, NODE, TARGETS)
    try:
        driven.begin(scene.graph.snapshot())
        for change, then in steps:
            scene.apply(change)
            if then:
                driven.follow(scene.graph.events(), frozenset(scene.sick))
            if then == "restart" and lab.survives_restart:
                driven.restart()
        driven.follow(scene.graph.events(), frozenset(scene.sick))
        return behaviour(driven, ASKED), scene
    finally:
        driven.close()


def fresh(lab: Lab, scene: Scene) -> Behaviour:
    """What one does that starts with what there is now."""
    driven = Driven(lab, NODE, TARGETS)
    try:
        driven.begin(scene.graph.snapshot(), frozenset(scene.sick))
        return behaviour(driven, ASKED)
    finally:
        driven.close()


def check(steps: Steps, labs: list[type[Lab]]) -> None:
    prefix = f"q{uuid4().hex[:8]}"  # of one after the other: what one lab made is gone before the next begins
    found: dict[str, Behaviour] = {}
    for lab in labs:
        found[f"{lab.name}, followed"], scene = followed(lab(), steps, prefix)
        found[f"{lab.name}, fresh"] = fresh(lab(), scene)
    (_, first), *others = found.items()
    for name, other in others:
        differing = {question: (first.get(question), other.get(question)) for question in first.keys() | other.keys()
                     if first.get(question) != other.get(question)}  # fmt: skip
        assert not differing, name


def examples(default: int) -> Any:
    number = int(os.environ.get("FUZZ_EXAMPLES", default))
    return settings(max_examples=number, deadline=None, suppress_health_check=list(HealthCheck), print_blob=True)


@examples(30)
@given(STEPS)
def test_the_simulator_follows_as_if_it_began_afresh(steps: Steps) -> None:
    check(steps, [SimulatorLab])


@examples(3)
@given(steps=STEPS)
def test_another_data_plane_follows_as_the_simulator_does(other_lab: type[Lab], steps: Steps) -> None:
    check(steps, [SimulatorLab, other_lab])


@pytest.mark.slow
@pytest.mark.timeout(7200)
@examples(60)
@given(steps=STEPS)
def test_another_data_plane_follows_through_many_histories(other_lab: type[Lab], steps: Steps) -> None:
    check(steps, [SimulatorLab, other_lab])
