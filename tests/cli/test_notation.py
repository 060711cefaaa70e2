"""YAML as people write it, read by the rules of YAML 1.2."""

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli import notation
from cli.output import Failure

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT
    | st.sampled_from(
        ["yes", "no", "on", "true", "null", "~", "1", "1e3", ".5", "0x1", "010", "10:20", "2026-01-01", "=", ""]
    )
)
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4))


@given(VALUES.filter(lambda value: value is not None))
def test_what_is_written_is_read_again(value: Any) -> None:
    assert notation.load(notation.dump(value), "f") == [value]


@given(st.lists(VALUES.filter(lambda value: value is not None), min_size=1, max_size=4))
def test_documents_stay_apart(values: list[Any]) -> None:
    assert notation.load(notation.dump_all(values), "f") == values


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("on", "on"),
        ("no", "no"),
        ("True", True),
        ("10:20:30:40:50:12", "10:20:30:40:50:12"),
        ("2026-01-01", "2026-01-01"),
        ("0x1f", "0x1f"),
        ("-5", -5),
        ("1.5", 1.5),
        ('{"a": [1, null]}', {"a": [1, None]}),
    ],
)
def test_a_text_is_no_number_by_surprise(text: str, value: Any) -> None:
    assert notation.load(text, "f") == [value]


def test_empty_documents_are_none() -> None:
    assert notation.load("---\n---\na: 1\n---\n", "f") == [{"a": 1}]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a: 1\na: 2", "f, line 1: 'a' is there twice"),
        ("a: [", "f, line 1: "),
        ("x: 1\n y: 2", "f, line 2: "),
        ("&a [*a]", "f: nested too deep"),
        ("1: x", "f: a key must be text, not 1"),
        ("a: !!python/object:os.system x", "f, line 1: could not determine a constructor"),
        ("a: !!binary aGk=", "f: bytes is no JSON"),
        ("\x00", "f: unacceptable character"),
        ("[" * 1000, "f: "),
    ],
)
def test_what_is_no_yaml_is_said_in_a_sentence(text: str, says: str) -> None:
    with pytest.raises(Failure) as caught:
        notation.load(text, "f")
    assert str(caught.value).startswith(says)
    assert "\n" not in str(caught.value)


def test_a_name_stands_on_one_line() -> None:
    assert notation.dump({"fq_name": ["a", "b"], "x": [{"y": "1"}]}) == "fq_name: [a, b]\nx:\n  - y: '1'\n"


@given(st.text() | st.text("[]{}:,-&*!|>'\"#%@?\n ab1.", max_size=40))
def test_any_text_is_read_or_refused_in_a_sentence(text: str) -> None:
    with contextlib.suppress(Failure):
        assert isinstance(notation.load(text, "f"), list)
