"""Everything a request can be refused with.

    ApiError                 any refusal: a status and one line of text (the body, contract section 0)
    +-- BadRequest           400
    +-- Forbidden            403
    +-- NotFound             404
    +-- MethodNotAllowed     405   `allow` names the methods that are
    +-- Conflict             409
    +-- Gone                 410   the change log does not reach back so far (`GET /watch`, `GET /changes`); `oldest`:
    |                              the revision after which it begins
    +-- OverQuota            412   a project holds as much as it may (contract 2.10)
    +-- PreconditionFailed   412   the object is no longer of the version that `If-Match` names
    +-- TimedOut             408   the request did not arrive in time
    +-- TooLarge             413
    +-- NotImplementedHere   501
    +-- Unavailable          503   nothing of it happened, and `Retry-After` says so; without, the outcome is unknown
        +-- Busy             503   more is asked than can be done

`text` is what a client is told, `str` what the log is. Statuses and texts are Contrail's (contract section 2.11). No
exception of a driver or library crosses a layer: it becomes one of these, or a 500 with the request id in the log.
"""


def one_line(error: BaseException) -> str:
    """The words of a driver or library as a part of a refusal."""
    return " ".join(str(error).split())


class ApiError(Exception):
    status = 500

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

    def __str__(self) -> str:
        return self.text


class BadRequest(ApiError):
    status = 400


class Forbidden(ApiError):
    status = 403


class NotFound(ApiError):
    status = 404


class MethodNotAllowed(ApiError):
    status = 405

    def __init__(self, allow: tuple[str, ...]) -> None:
        super().__init__("Method not allowed.")
        self.allow = allow


class Conflict(ApiError):
    status = 409


class Gone(ApiError):
    status = 410

    def __init__(self, text: str, oldest: int) -> None:
        super().__init__(text)
        self.oldest = oldest


class OverQuota(ApiError):
    status = 412


class PreconditionFailed(ApiError):
    status = 412


class TimedOut(ApiError):
    status = 408


class TooLarge(ApiError):
    status = 413


class NotImplementedHere(ApiError):
    status = 501


class Unavailable(ApiError):
    """detail: what the operator is told beside the text (in the log, by `str`), and no client: where the database is,
    who uses it."""

    status = 503
    retry_after: int | None = 1
    """Seconds (RFC 9110, 10.2.3). None: it is not said that nothing happened."""

    def __init__(self, text: str, detail: str = "") -> None:
        super().__init__(text)
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.text}: {self.detail}" if self.detail else self.text


class Busy(Unavailable):
    pass
