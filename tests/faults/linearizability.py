"""Whether the history of one object could have been that of a single register that does one thing at a time.

An object is a register with a token, or absent. The search is that of Wing and Gong (Testing and Verifying Concurrent
Objects, 1993) with Lowe's memory of where it has been (Testing for Linearizability, 2017): take any operation that no
other one precedes as the next, if the register could have answered it so.
"""

from collections.abc import Container, Sequence

from history import Operation, Outcome, repeated

State = str | None
"""The token; None: absent."""


def answered(operation: Operation, state: State, again: Container[str]) -> tuple[bool, State]:
    """Whether a register in this state answers so (of an unknown write: can do it), and its state afterwards.

    again: tokens of which it may have several versions.
    """
    there = state is not None
    match operation.action, operation.outcome:
        case _, Outcome.ABSENT:
            return not there, state
        case "create", Outcome.EXISTS:
            return there, state
        case "create", _:
            return not there, operation.token
        case "read", _:
            return there and state == operation.token, state
        case "update", Outcome.CHANGED:
            return there and (state != operation.expected or operation.expected in again), state
        case "update", _:
            return there and operation.expected in (None, state), operation.token
        case _:
            return there, None


def linearizable(operations: Sequence[Operation], state: State = None) -> bool:
    """state: before them all."""
    ordered = sorted(filter(matters, operations), key=lambda one: one.called)
    needed = sum(1 << place for place, one in enumerate(ordered) if one.outcome is not Outcome.UNKNOWN)
    been: set[tuple[int, State]] = set()
    again = repeated(ordered)
    paths = [(0, state)]  # the operations done so far, as bits
    while paths:
        done, state = paths.pop()
        if done & needed == needed:
            return True
        if (done, state) in been:
            continue
        been.add((done, state))
        left = [(place, one) for place, one in enumerate(ordered) if not done >> place & 1]
        soonest = min(one.returned for _, one in left)
        for place, one in reversed(left):
            if one.called <= soonest:
                could, after = answered(one, state, again)
                if could:
                    paths.append((done | 1 << place, after))
    return False


def matters(operation: Operation) -> bool:
    """What surely did not happen, and a read without answer, say nothing."""
    return operation.outcome is not Outcome.NOTHING and (operation.outcome is not Outcome.UNKNOWN or operation.writes)
