"""The judge of histories: by known examples, and against one that tries every order."""

import math
from collections.abc import Container, Sequence
from itertools import combinations, permutations

import pytest
from history import Operation, Outcome, repeated
from hypothesis import given, settings
from hypothesis import strategies as st
from linearizability import State, answered, linearizable, matters

DONE, ABSENT, EXISTS, CHANGED, NOTHING, UNKNOWN = Outcome


def operation(action: str, called: float, returned: float, outcome: Outcome, token: State = None,
              expected: State = None) -> Operation:  # fmt: skip
    returned = math.inf if outcome is UNKNOWN else returned
    return Operation(0, action, "t", "u", called, token, expected, "", outcome, returned)  # type: ignore[arg-type]


CREATED = operation("create", 0, 1, DONE, "a")

GOOD = {
    "nothing": [],
    "a write is read": [CREATED, operation("read", 2, 3, DONE, "a")],
    "a read meets a write": [CREATED, operation("update", 2, 5, DONE, "b"), operation("read", 3, 4, DONE, "a")],
    "the same, seen": [CREATED, operation("update", 2, 5, DONE, "b"), operation("read", 3, 4, DONE, "b")],
    "an unknown write happened": [CREATED, operation("update", 2, 3, UNKNOWN, "b"), operation("read", 4, 5, DONE, "b")],
    "or not": [CREATED, operation("update", 2, 3, UNKNOWN, "b"), operation("read", 4, 5, DONE, "a")],
    "or late": [
        CREATED, operation("update", 2, 3, UNKNOWN, "b"), operation("read", 4, 5, DONE, "a"),
        operation("read", 6, 7, DONE, "b"),
    ],
    "If-Match": [CREATED, operation("update", 2, 3, DONE, "b", "a"), operation("update", 4, 5, CHANGED, "c", "a")],
    "If-Match, and the same written again": [
        CREATED, operation("update", 2, 3, UNKNOWN, "b"), operation("read", 4, 5, DONE, "b"),
        operation("update", 6, 7, DONE, "b"), operation("update", 8, 9, CHANGED, "c", "b"),
    ],
    "deleted and made again": [
        CREATED, operation("delete", 2, 3, DONE), operation("read", 4, 5, ABSENT), operation("create", 6, 7, DONE, "b"),
        operation("create", 8, 9, EXISTS, "c"),
    ],
    "refused for want of a server": [operation("create", 0, 1, NOTHING, "a"), operation("read", 2, 3, ABSENT)],
}  # fmt: skip

BAD = {
    "a lost write": [CREATED, operation("update", 2, 3, DONE, "b"), operation("read", 4, 5, DONE, "a")],
    "a lost create": [CREATED, operation("read", 2, 3, ABSENT)],
    "a write out of nothing": [CREATED, operation("read", 2, 3, DONE, "b")],
    "an unknown write twice": [
        CREATED, operation("update", 2, 3, UNKNOWN, "b"), operation("read", 4, 5, DONE, "b"),
        operation("update", 6, 7, DONE, "c"), operation("read", 8, 9, DONE, "b"),
    ],
    "an unknown write undone": [
        CREATED, operation("update", 2, 3, UNKNOWN, "b"), operation("read", 4, 5, DONE, "b"),
        operation("read", 6, 7, DONE, "a"),
    ],
    "a stale read": [
        CREATED, operation("update", 2, 9, DONE, "b"), operation("read", 3, 4, DONE, "b"),
        operation("read", 5, 6, DONE, "a"),
    ],
    "a version that is still there": [CREATED, operation("update", 2, 3, CHANGED, "b", "a")],
    "two of one version": [
        CREATED, operation("update", 2, 5, DONE, "b", "a"), operation("update", 3, 4, DONE, "c", "a"),
    ],
    "two creates": [CREATED, operation("create", 2, 3, DONE, "b")],
    "done, but refused": [operation("create", 0, 1, NOTHING, "a"), operation("read", 2, 3, DONE, "a")],
}  # fmt: skip


@pytest.mark.parametrize("history", GOOD.values(), ids=GOOD)
def test_a_register_could_have_done_it(history: list[Operation]) -> None:
    assert linearizable(history)


@pytest.mark.parametrize("history", BAD.values(), ids=BAD)
def test_no_register_could_have_done_it(history: list[Operation]) -> None:
    assert not linearizable(history)


def by_trying(history: Sequence[Operation]) -> bool:
    """Every order of every choice of what unknown writes happened."""
    known = [one for one in history if matters(one) and one.outcome is not UNKNOWN]
    unknown = [one for one in history if matters(one) and one.outcome is UNKNOWN]
    chosen = [some for count in range(len(unknown) + 1) for some in combinations(unknown, count)]
    again = repeated(filter(matters, history))
    return any(_holds(order, again) for some in chosen for order in permutations([*known, *some]))


def _holds(order: Sequence[Operation], again: Container[str]) -> bool:
    state: State = None
    for place, one in enumerate(order):
        if any(later.returned < one.called for later in order[place:]):
            return False
        could, state = answered(one, state, again)
        if not could:
            return False
    return True


@st.composite
def histories(draw: st.DrawFn) -> list[Operation]:
    """Of a few operations, with few values, so that many are right by chance and many are nearly right."""
    found = []
    for token in draw(st.lists(st.sampled_from("abc"), min_size=1, max_size=4)):
        called = draw(st.integers(0, 8))
        outcomes = {"create": [DONE, EXISTS, NOTHING, UNKNOWN], "read": [DONE, ABSENT],
                    "update": [DONE, ABSENT, CHANGED, UNKNOWN], "delete": [DONE, ABSENT, UNKNOWN]}  # fmt: skip
        action = draw(st.sampled_from(list(outcomes)))
        outcome = draw(st.sampled_from(outcomes[action]))
        conditional = outcome is CHANGED or (action == "update" and draw(st.booleans()))
        expected = draw(st.sampled_from("abc")) if conditional else None
        found.append(operation(action, called, called + draw(st.integers(1, 5)), outcome, token, expected))
    return found


@settings(max_examples=150, deadline=None)
@given(histories())
def test_it_finds_what_trying_every_order_finds(history: list[Operation]) -> None:
    assert linearizable(history) == by_trying(history)
