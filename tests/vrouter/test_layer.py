from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from vrouter.layer import Layer

KEYS = st.sampled_from("abcd")
BASES = st.dictionaries(KEYS, st.integers(0, 3))
OPERATIONS = st.lists(st.tuples(st.sampled_from(["set", "delete", "pop", "default"]), KEYS, st.integers(4, 6)))


def perform(mapping: Any, operations: list[tuple[str, str, int]]) -> list[Any]:
    """What each operation answers."""
    answers: list[Any] = []
    for operation, key, value in operations:
        if operation == "set":
            mapping[key] = value
        elif operation == "delete":
            try:
                del mapping[key]
            except KeyError:
                answers.append("absent")
        elif operation == "pop":
            answers.append(mapping.pop(key, None))
        else:
            answers.append(mapping.setdefault(key, value))
        answers.append((len(mapping), key in mapping, mapping.get(key)))
    return answers


@given(BASES, OPERATIONS, OPERATIONS)
def test_it_is_a_dictionary_and_what_it_lies_over_stays(base: dict[str, int], one: Any, other: Any) -> None:
    before, plain = dict(base), dict(base)
    layer = Layer(base)
    assert perform(layer, one) == perform(plain, one)
    middle = dict(plain)
    upper = Layer(layer)
    assert perform(upper, other) == perform(plain, other)
    assert dict(upper) == plain
    assert sorted(upper) == sorted(plain)
    assert (dict(layer), base) == (middle, before)


def test_a_set_that_is_read_may_be_changed() -> None:
    base = {"a": {1}, "b": {2}}
    layer = Layer(base)
    layer["a"].add(3)
    layer.setdefault("b", set()).discard(2)
    for each in layer.values():
        each.add(4)
    assert dict(layer) == {"a": {1, 3, 4}, "b": {4}}
    assert base == {"a": {1}, "b": {2}}


def test_it_knows_what_was_written() -> None:
    layer = Layer({"a": 1, "b": 2, "c": 3})
    layer["d"] = layer["a"]
    del layer["b"]
    layer["b"] = 4
    del layer["c"]
    assert layer.written == {"b", "c", "d"}
