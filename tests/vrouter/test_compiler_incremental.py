"""Following changes comes to the same as starting afresh, whatever the objects and the order."""

from collections import defaultdict
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from random_objects import WHAT, an_object, wired
from world import World

from vrouter.cache import health_of
from vrouter.state import Health, Plug

PLUGS = st.sampled_from([Plug("tap0", "m"), Plug("tap1", "m"), None])
VERDICTS = st.sampled_from([Health("up"), Health("waiting", "m"), Health("down", "m", "connection refused")])


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(an_object(), WHAT | VERDICTS | PLUGS), max_size=60), st.booleans(), st.booleans())
def test_following_changes_comes_to_the_same_as_starting_afresh(
    steps: list[Any], start_wired: bool, in_parts: bool
) -> None:
    verdicts: defaultdict[str, Health] = defaultdict(lambda: Health("up"))  # of members
    world = World(wired() if start_wired else None, lambda check: verdicts[check.member], external="eth9")
    before = dict(world.compiler.desired)
    for (of_type, uuid, fields), what in steps:
        if isinstance(what, Health):
            verdicts[uuid] = what
            world.compiler.touch([health_of(uuid)])
            continue
        if what is None or isinstance(what, Plug):
            world.plug(uuid, what)
            continue
        if what.startswith("delete"):
            if uuid in world.graph.objects:
                world.graph.delete(uuid)
        else:
            world.graph.put(of_type, uuid, **fields)
        if what.endswith("end of revision"):
            changed = world.follow_in_parts() if in_parts else world.follow()
            now = dict(world.compiler.desired)
            assert {key for key in before.keys() | now.keys() if before.get(key) != now.get(key)} <= changed
            before = now
    world.follow()
    fresh = World(world.graph, lambda check: verdicts[check.member], world.plugs, external="eth9")
    assert world.compiler.desired == fresh.compiler.desired
    assert world.compiler.checks == fresh.compiler.checks
    assert set(world.compiler.reasons()) == set(fresh.compiler.reasons())
    # nothing is left behind of what went away
    assert world.compiler.size == fresh.compiler.size
