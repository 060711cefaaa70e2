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
        st.tuples(st.just("many"), st.integers(0, 40)),
        st.tuples(st.just("divide"), st.tuples(spans, edge)),
        st.tuples(st.just("drop"), st.none()),
    ),
    max_size=40,
)


def numbers(ranges: list[tuple[int, int]]) -> set[int]:
    return {number for first, last in ranges for number in range(first, last + 1)}


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ranges=spans, steps=steps)
async def test_pools_are_sets(store: Store, ranges: list[tuple[int, int]], steps: list[tuple[str, object]]) -> None:
    """A pool is made anew, from the ranges given then, when nothing of it is left. What is taken goes with its number
    when the numbers are divided anew, here between the pool and another."""
    pool, other = (f"{name}{next(_NUMBERS)}" for name in ("pool", "other"))

    def call(tx: Transaction) -> None:
        current: dict[str, list[tuple[int, int]]] = {pool: list(ranges), other: []}
        taken: dict[int, str] = {}

        def home(number: int) -> str:
            return next((name for name, ranges in current.items() if number in numbers(ranges)), pool)

        for turn, (step, value) in enumerate(steps):
            holder = f"{pool} holder{turn % 2}"
            free = numbers(current[pool]) - taken.keys()
            match step, value:
                case "take", bool(highest):
                    expected = (max if highest else min)(free, default=None)
                    assert tx.take(pool, current[pool], holder, highest=highest) == expected
                    if expected is not None:
                        taken[expected] = holder
                case "many", int(amount):
                    expected_many = sorted(free, reverse=bool(amount % 2))[:amount]
                    assert tx.take_many(pool, current[pool], holder, amount, highest=bool(amount % 2)) == expected_many
                    taken |= dict.fromkeys(expected_many, holder)
                case "wanted", int(number):
                    found = tx.take(pool, current[pool], holder, wanted=number)
                    assert found == (number if number in free else None)
                    if found is not None:
                        taken[number] = holder
                case "release", int(number):
                    tx.release(home(number), number)
                    taken.pop(number, None)
                case "release all", int(who):
                    tx.release_all(f"{pool} holder{who}")
                    taken = {number: one for number, one in taken.items() if one != f"{pool} holder{who}"}
                case "divide", (list(new), int(border)):
                    halves = {
                        pool: [(first, min(last, border)) for first, last in new if first <= border],
                        other: [(max(first, border + 1), last) for first, last in new if last > border],
                    }
                    outside = taken.keys() - numbers(new)
                    refused = tx.divide([pool, other], halves)
                    assert refused == ((home(min(outside)), min(outside)) if outside else None)
                    if not outside:
                        current = halves
                case "drop", _:
                    tx.drop_pool(pool)
                    taken = {number: one for number, one in taken.items() if home(number) != pool}
            assert tx.taken(pool) + tx.taken(other) == len(taken)
            for number in list(taken)[:3]:
                assert tx.holder(home(number), number) == taken[number]
                assert (home(number), number) in tx.held(taken[number])

    await store.write(call)


async def test_a_pool_is_made_at_first_use_and_not_made_again(store: Store) -> None:
    def call(tx: Transaction) -> list[int | None]:
        first = [tx.take("p", [(1, 2)], "me") for _ in range(3)]
        return [*first, tx.take("p", [(1, 9)], "me"), tx.divide(["p"], {"p": [(1, 3)]}), tx.take("p", [], "me")]

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
