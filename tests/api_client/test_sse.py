from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api_client import UnexpectedAnswer
from api_client.sse import Frame, Parser

STREAM = (
    b": hello\n\nevent: init\ndata: {}\nid: 3\n\n"
    b'event: create\r\ndata: {"a":1}\r\n\r\n:\n\n'
    b"event: bookmark\nid: 9\ndata:\n\ndata:one\ndata: two\nretry: 5\n\n"
)
FRAMES = [
    Frame("init", b"{}", "3"), Frame("create", b'{"a":1}'), Frame("bookmark", b"", "9"), Frame("message", b"one\ntwo"),
]  # fmt: skip


def feed(parser: Parser, chunk: bytes, times: int) -> list[Frame]:
    return [frame for _ in range(times) for frame in parser.feed(chunk)]


@given(st.lists(st.integers(0, len(STREAM)), max_size=12))
def test_frames_do_not_depend_on_how_the_bytes_arrive(cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(STREAM)]
    parser = Parser()
    frames = [frame for start, end in pairwise(edges) for frame in parser.feed(STREAM[start:end])]
    assert frames == FRAMES


def test_a_line_without_end_is_cut_off() -> None:
    parser = Parser(limit=1000)
    with pytest.raises(UnexpectedAnswer, match="1000 bytes"):
        feed(parser, b"data: xxxx", 200)


def test_a_frame_of_endless_lines_is_cut_off() -> None:
    parser = Parser(limit=1000)
    with pytest.raises(UnexpectedAnswer, match="1000 bytes"):
        feed(parser, b"data: xxxx\n", 200)


def test_keep_alives_never_add_up() -> None:
    parser = Parser(limit=1000)
    assert feed(parser, b": still here\n\n", 1000) == []
    assert list(parser.feed(b"data: x\n\n")) == [Frame("message", b"x")]
