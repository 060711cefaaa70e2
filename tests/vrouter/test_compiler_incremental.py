"""Following changes comes to the same as starting afresh, whatever the objects and the order."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from random_objects import STEPS, wired
from world import World


@settings(max_examples=300, deadline=None)
@given(STEPS, st.booleans())
def test_following_changes_comes_to_the_same_as_starting_afresh(steps: list[Any], start_wired: bool) -> None:
    world = World(wired() if start_wired else None)
    before = dict(world.compiler.desired)
    for (of_type, uuid, fields), what in steps:
        if what.startswith("delete"):
            if uuid in world.graph.objects:
                world.graph.delete(uuid)
        else:
            world.graph.put(of_type, uuid, **fields)
        if what.endswith("end of revision"):
            changed = world.follow()
            now = dict(world.compiler.desired)
            assert {key for key in before.keys() | now.keys() if before.get(key) != now.get(key)} <= changed
            before = now
    world.follow()
    fresh = World(world.graph)
    assert world.compiler.desired == fresh.compiler.desired
    assert set(world.compiler.reasons()) == set(fresh.compiler.reasons())
    # nothing is left behind of what went away
    assert world.compiler.size == fresh.compiler.size
