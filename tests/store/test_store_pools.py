"""Pools of numbers against a plain set."""

from itertools import count

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from api_server.store import Store, Transaction

_NUMBERS = count()

edge = st.one_of(st.integers(0, 24), st.integers(2**128 - 4, 2**128 - 1))
spans = st.lists(st.tuples(edge, edge).map(sorted).map(tuple).filter(lambda one: one[1] - one[0] < 30), max_size=4)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("take"), st.booleans()),
        st.tuples(st.just("wanted"), edge),
        st.tuples(st.just("release"), edge),
        st.tuples(st.just("release all"), st.integers(0, 1)),
        st.tuples(st.just("resize"), spans),
        st.tuples(st.just("drop"), st.none()),
    ),
    max_size=40,
)


def numbers(ranges: list[tuple[int, int]]) -> set[int]:
    return {number for first, last in ranges for number in range(first, last + 1)}


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ranges=spans, steps=steps)
async def test_pool_is_a_set(store: Store, ranges: list[tuple[int, int]], steps: list[tuple[str, object]]) -> None:
    """A pool is made anew, from the ranges given then, when nothing of it is left."""
    pool = f"pool{next(_NUMBERS)}"

    def call(tx: Transaction) -> None:
        current = list(ranges)
        taken: dict[int, str] = {}
        for turn, (step, value) in enumerate(steps):
            holder = f"{pool} holder{turn % 2}"
            free = numbers(current) - taken.keys()
            match step, value:
                case "take", bool(highest):
                    expected = (max if highest else min)(free, default=None)
                    assert tx.take(pool, current, holder, highest=highest) == expected
                    if expected is not None:
                        taken[expected] = holder
                case "wanted", int(number):
                    found = tx.take(pool, current, holder, wanted=number)
                    assert found == (number if number in free else None)
                    if found is not None:
                        taken[number] = holder
                case "release", int(number):
                    tx.release(pool, number)
                    taken.pop(number, None)
                case "release all", int(who):
                    tx.release_all(f"{pool} holder{who}")
                    taken = {number: one for number, one in taken.items() if one != f"{pool} holder{who}"}
                case "resize", list(new):
                    outside = taken.keys() - numbers(new)
                    assert tx.resize(pool, new) == min(outside, default=None)
                    if not outside:
                        current = new
                case "drop", _:
                    tx.drop_pool(pool)
                    taken = {}
            assert tx.taken(pool) == len(taken)
            for number in list(taken)[:3]:
                assert tx.holder(pool, number) == taken[number]

    await store.write(call)


async def test_a_pool_is_made_at_first_use_and_not_made_again(store: Store) -> None:
    def call(tx: Transaction) -> list[int | None]:
        first = [tx.take("p", [(1, 2)], "me") for _ in range(3)]
        return [*first, tx.take("p", [(1, 9)], "me"), tx.resize("p", [(1, 3)]), tx.take("p", [], "me")]

    assert (await store.write(call))[0] == [1, 2, None, None, None, 3]


async def test_the_size_of_a_pool_costs_nothing(store: Store) -> None:
    """The middle of an IPv6 subnet, and both of its ends."""
    ranges = [(2**64, 2**127)]

    def call(tx: Transaction) -> list[int | None]:
        return [
            tx.take("p", ranges, "me", wanted=2**100),
            tx.take("p", ranges, "me", wanted=2**100),
            tx.take("p", ranges, "me", highest=True),
            tx.take("p", ranges, "me"),
        ]

    assert (await store.write(call))[0] == [2**100, None, 2**127, 2**64]
