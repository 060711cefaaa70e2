"""Care for the store: look whether all is well and mend it, take it elsewhere, keep a copy.

    check(url, fix=)                 what is wrong, and what mends it (`checks`)
    export(url, write, path)         everything, or an object with all below it, as JSON Lines (`document`)
    load(url, file)                  the other way: everything into an empty database, or a part into any
    backup(url, target)              a copy of the SQLite database of a running server

Reading goes on beside a server. Writing takes its place on SQLite, and stands in line with it on PostgreSQL. Failures
are UnusableDatabase, BadDocument (of what is imported), Refused (it does not fit), NotThere (no such object).
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import IO, Any

import schema
from api_server.care.backup import Backup, backup
from api_server.care.check import Report, check, explanations
from api_server.care.document import BadDocument
from api_server.care.export import Exported, export_part
from api_server.care.export import export as _export
from api_server.care.graft import Graft
from api_server.care.opening import newest, reading, writing
from api_server.care.reading import Reading
from api_server.care.restore import Refused, restore
from api_server.care.survey import Finding
from api_server.resources.registry import registry
from api_server.store import UnusableDatabase, loading
from api_server.store.session import Session

__all__ = [
    "Backup",
    "BadDocument",
    "Exported",
    "Finding",
    "Imported",
    "NotThere",
    "Refused",
    "Report",
    "UnusableDatabase",
    "backup",
    "check",
    "explanations",
    "export",
    "load",
]


class NotThere(Exception):
    """No object has this type and name or uuid."""


@dataclass(slots=True)
class Imported:
    """revision: of the database now. renumbered: numbers that were chosen anew, in words."""

    objects: int
    revision: int
    renumbered: list[str] = field(default_factory=list)


def export(url: str, write: Callable[[bytes], Any], path: str | None = None) -> Exported:
    """path: `<type>/<fq:name>` or `<type>/<uuid>` of the object with which a part begins."""
    with reading(url) as session:
        if path is None:
            return _export(session, write)
        return export_part(session, registry(), write, find(session, path))


def load(url: str, file: IO[bytes], *, native_driver: bool = True) -> Imported:
    """file: one that can be read twice. native_driver: as the server is run."""
    document = Reading(schema.load(), registry(native_driver=native_driver), file)
    part = "of" in document.head().value
    with writing(url, make=not part) as session:
        if part:
            grafted = Graft(session, document).run()
            return Imported(grafted.objects, newest(session), grafted.renumbered)
        return Imported(restore(session, document), newest(session))


def find(session: Session, path: str) -> str:
    """uuid of an object by its path."""
    kind = schema.load().find(path.partition("/")[0])
    name = path.partition("/")[2]
    if kind is None or not name:
        raise NotThere(f"'{path}' names no object, as <type>/<fq:name> or <type>/<uuid> do: project/default-domain:p")
    named = loading.identify(session, name)
    uuid = name if named is not None and named[0] == kind.name else loading.find(session, kind.name, name)
    if uuid is None:
        raise NotThere(f"There is no {kind.name} {name}")
    return uuid
