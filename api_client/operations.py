"""Writes that are done together: `ApiClient.transaction` takes them, all or none."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class Operation:
    """A write request. body: its JSON document, with envelope; None for a DELETE. etag: as for `ApiClient.update`."""

    method: str
    path: str
    body: Mapping[str, Any] | None = None
    etag: str | None = None

    @classmethod
    def create(cls, type: str, object: Mapping[str, Any]) -> Self:
        return cls("POST", f"/{type}s", {type: object})

    @classmethod
    def update(cls, type: str, uuid: str, changes: Mapping[str, Any], *, etag: str | None = None) -> Self:
        return cls("PUT", f"/{type}/{uuid}", {type: changes}, etag)

    @classmethod
    def delete(cls, type: str, uuid: str) -> Self:
        return cls("DELETE", f"/{type}/{uuid}")

    def document(self) -> dict[str, Any]:
        """Its form inside a transaction."""
        given = {"body": self.body, "if_match": self.etag}
        return {"method": self.method, "path": self.path} | {
            name: value for name, value in given.items() if value is not None
        }


@dataclass(frozen=True, slots=True)
class DryRun:
    """What a transaction would do.

    answers: the bodies its operations would have. changes: everything that would be different afterwards, what hooks
    do included: `operation`, `type`, `uuid`, `fq_name`, `fields`, `object`.
    """

    answers: Sequence[Any]
    changes: Sequence[Mapping[str, Any]]
