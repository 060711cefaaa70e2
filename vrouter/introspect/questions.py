"""The parameters of a request."""

import math

from starlette.requests import Request


class BadQuestion(Exception):
    """Becomes a 400 with this text."""


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
