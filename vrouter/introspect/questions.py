"""The parameters of a request, and its body."""

import math
from collections.abc import Sequence
from typing import Any

import orjson
from starlette.requests import Request

from vrouter.window import TooLarge, body_of


class BadQuestion(Exception):
    """Becomes an answer with this text. status: of HTTP."""

    def __init__(self, text: str, status: int = 400) -> None:
        super().__init__(text)
        self.status = status


def number(request: Request, name: str, default: float) -> float:
    text = request.query_params.get(name)
    if text is None:
        return default
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < math.inf:
        raise BadQuestion(f"{name} is not a number from 0 on: {text!r}")
    return value


async def document(request: Request, most: int) -> Any:
    """The JSON body, of so many bytes at most."""
    try:
        return orjson.loads(await body_of(request, most))
    except TooLarge as error:
        raise BadQuestion(f"the body is larger than {most} bytes", 413) from error
    except orjson.JSONDecodeError as error:
        raise BadQuestion(f"the body is not JSON: {error}") from error


def one_of(request: Request, name: str, words: Sequence[str]) -> str | None:
    """None where it is not given."""
    text = request.query_params.get(name)
    if text is not None and text not in words:
        raise BadQuestion(f"{name} is not one of {', '.join(words)}: {text!r}")
    return text
