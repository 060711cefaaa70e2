from hypothesis import given
from hypothesis import strategies as st

from vrouter.backends.netns.numbers import LIMIT, Numbers

numbers = st.integers(1, LIMIT - 1)


@given(st.sets(numbers, max_size=20), st.integers(0, LIMIT), st.integers(1, 50))
def test_what_is_taken_is_new_and_fits(used: set[int], last: int, times: int) -> None:
    source = Numbers(used, last)
    taken = [source.take() for _ in range(times)]
    assert len(set(taken)) == times
    assert not set(taken) & used
    assert all(0 < number < LIMIT for number in taken)


@given(st.integers(0, LIMIT), st.integers(1, 50))
def test_what_is_given_back_is_not_taken_again_soon(last: int, times: int) -> None:
    source = Numbers((), last)
    first = source.take()
    source.give_back([first])
    assert first not in {source.take() for _ in range(times)}


def test_around_the_end() -> None:
    source = Numbers({1}, LIMIT - 2)
    assert [source.take(), source.take()] == [LIMIT - 1, 2]
