"""Everything a request to the API server can end with, other than an answer.

    ClientError
    +-- Unreachable          no answer: nobody listens, the name is unknown, the connection broke, it took too long
    +-- UnexpectedAnswer     an answer that is not this API's: no JSON, a frame beyond all limits
    +-- ApiError             the server refused: `status` and its own words in `text`
        +-- BadRequest       400
        +-- Forbidden        401, 403
        +-- NotFound         404
        +-- Conflict         409   exists already, or is still in use
        +-- Gone             410   the change log does not reach back so far
        +-- PreconditionFailed   412   the object is no longer the version that `etag` names; or a quota is full
        +-- Unavailable      502, 503, 504

No exception of httpx or of a JSON parser leaves this package.
"""

import html
import re


class ClientError(Exception):
    pass


class Unreachable(ClientError):
    """The text names the URL, what happened, and how to start a server there."""

    def __init__(self, url: str, cause: str) -> None:
        super().__init__(f"no answer from {url}: {cause}; start a server with `vaportrail serve`, or name another URL")
        self.url = url
        self.cause = cause


class UnexpectedAnswer(ClientError):
    pass


class ApiError(ClientError):
    def __init__(self, status: int, text: str) -> None:
        super().__init__(f"{status}: {text}")
        self.status = status
        self.text = text


class BadRequest(ApiError):
    pass


class Forbidden(ApiError):
    pass


class NotFound(ApiError):
    pass


class Conflict(ApiError):
    pass


class Gone(ApiError):
    pass


class PreconditionFailed(ApiError):
    pass


class Unavailable(ApiError):
    pass


_BY_STATUS: dict[int, type[ApiError]] = {
    400: BadRequest, 401: Forbidden, 403: Forbidden, 404: NotFound, 409: Conflict, 410: Gone,
    412: PreconditionFailed, 502: Unavailable, 503: Unavailable, 504: Unavailable,
}  # fmt: skip


def refusal(status: int, text: str) -> ApiError:
    """The exception for an answer with an error status. Some refusals are pages of HTML (contract 0): their text is
    what stands inside `<pre>`."""
    if page := re.search(r"<pre>(.*?)</pre>", text, re.DOTALL):
        text = html.unescape(page[1])
    return _BY_STATUS.get(status, ApiError)(status, text.strip() or "no reason given")
