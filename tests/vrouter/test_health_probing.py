"""Answers become a state."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from vrouter.health.probing import HISTORY, Probing, State
from vrouter.state import Monitor

states: st.SearchStrategy[State] = st.sampled_from(["waiting", "up", "down"])


def probing(retries: int, state: State = "waiting") -> Probing:
    return Probing(Monitor("hm", "hm", "tcp", 5, 2, retries), state, 0.0)


def expected(state: State, answers: list[bool], retries: int) -> State:
    """The rule, said in another way: what the last `retries` answers were."""
    for end in range(1, len(answers) + 1):
        last = answers[max(0, end - retries) : end]
        if state == "waiting":
            state = "up" if answers[end - 1] else "waiting"
        elif len(last) == retries and all(last):
            state = "up"
        elif len(last) == retries and not any(last):
            state = "down"
    return state


@given(states, st.lists(st.booleans(), max_size=40), st.integers(1, 5))
def test_it_takes_as_many_equal_answers_in_a_row_both_ways(state: State, answers: list[bool], retries: int) -> None:
    known = probing(retries, state)
    seen = [known.state]
    for at, good in enumerate(answers, 1):
        before = known.state, known.text
        assert known.take(None if good else "refused", at, 0.1) == (before != (known.state, known.text))
        seen.append(known.state)
    assert known.state == expected(state, answers, retries)
    assert len(known.history) == min(1 + sum(one != other for one, other in pairwise(seen)), HISTORY)
    assert known.history[-1].state == known.state
    assert sum(known.answers.values()) == len(answers)


def test_one_good_answer_opens_a_member_that_nobody_knows() -> None:
    known = probing(3)
    assert known.take("connection refused", 1.0, 0.1)
    assert (known.state, known.since, known.text) == ("waiting", 0.0, "connection refused")
    assert not known.take("connection refused", 2.0, 0.1)
    assert known.take(None, 3.0, 0.1)
    assert (known.state, known.since, known.text) == ("up", 3.0, "")


def test_a_member_that_fails_says_why_and_since_when() -> None:
    known = probing(2, "up")
    assert not known.take("HTTP status 503, expected 200", 7.0, 0.1)
    assert known.take("connection refused", 12.0, 0.1)
    assert (known.state, known.since, known.text) == ("down", 12.0, "connection refused")
    assert [(one.at, one.state, one.text) for one in known.history] == [
        (0.0, "up", ""), (12.0, "down", "connection refused"),
    ]  # fmt: skip
    assert not known.take("no answer within 2 s", 17.0, 2.0)
    assert known.text == "connection refused"
    assert known.error == "no answer within 2 s"
