"""The file and its rows: whether they can be read at all."""

import re
from collections.abc import Iterator
from typing import Any

import orjson
import sqlalchemy as sa

from api_server.care.survey import Check, Finding, Mend, Survey, subject
from api_server.store import names
from api_server.store.session import Statement
from api_server.store.tables import reference, resource

_r, _f, _arg = resource.c, reference.c, sa.bindparam

_INTEGRITY = Statement(sa.text("pragma integrity_check(100)"))
_REINDEX = Statement(sa.text("reindex"))
_ROWS = Statement(
    sa.select(
        _r.uuid, _r.type, _r.fq_name, _r.properties, _r.positions, _r.owner, _r.created, _r.modified
    ).order_by(_r.uuid)
)  # fmt: skip
_ATTRS = Statement(
    sa.select(_f.from_uuid, _f.from_type, _f.to_uuid, _f.to_type, _f.attr)
    .where(_f.attr.is_not(None))
    .order_by(_f.from_uuid, _f.to_uuid)
)
_SET_PROPERTIES = Statement(resource.update().where(_r.uuid == _arg("of")), ("properties",))
_SET_POSITIONS = Statement(resource.update().where(_r.uuid == _arg("of")), ("positions",))
_SET_TIMES = Statement(resource.update().where(_r.uuid == _arg("of")), ("created", "modified"))
_SET_OWNER = Statement(resource.update().where(_r.uuid == _arg("of")), ("owner",))
_SET_ATTR = Statement(reference.update().where(_f.from_uuid == _arg("source"), _f.to_uuid == _arg("target")), ("attr",))

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}")
"""Naive UTC."""

INDEX_WORDS = ("missing from index", "wrong # of entries in index", "non-unique entry in index")


def integrity(survey: Survey) -> Iterator[Finding]:
    if not survey.session.sqlite:
        return
    texts = [row[0] for row in survey.session.all(_INTEGRITY) if row[0] != "ok"]
    indexes = [text for text in texts if any(words in text for words in INDEX_WORDS)]
    if indexes:
        yield Finding(
            "integrity", "the file", f"indexes do not agree with their tables: {'; '.join(indexes)}",
            "makes all indexes anew", lambda survey: _ignore(survey.session.execute(_REINDEX)),
        )  # fmt: skip
    for text in texts:
        if text not in indexes:
            yield Finding("integrity", "the file", text, "restore a backup")


def readable(survey: Survey) -> Iterator[Finding]:
    for uuid, kind, fq_name, properties, positions, _, created, modified in survey.session.stream(_ROWS):
        of = subject(kind, fq_name, uuid)
        found = _mapping(properties)
        if found is None:
            yield _unreadable_properties(survey, of, uuid, kind)
        if not TIME.fullmatch(created) or not TIME.fullmatch(modified):
            text = f"its times are {created!r:.40} and {modified!r:.40}"
            yield Finding("readable", of, text, "takes those of id_perms", _timing(uuid, found or {}))
        if positions is not None and _mapping(positions) is None:
            yield Finding(
                "readable", of, "its positions are not a JSON object", "forgets them: elements stay in order",
                _setting(_SET_POSITIONS, of=uuid, positions=None),
            )  # fmt: skip
    for source, source_type, target, target_type, attr in survey.session.stream(_ATTRS):
        try:
            orjson.loads(attr)
        except orjson.JSONDecodeError:
            yield _unreadable_attr(survey, source, source_type, target, target_type)


def owners(survey: Survey) -> Iterator[Finding]:
    for uuid, kind, fq_name, properties, _, owner, *_ in survey.session.stream(_ROWS):
        perms2 = orjson.loads(properties).get("perms2")
        expected = perms2.get("owner") if isinstance(perms2, dict) else None
        if owner != expected:
            yield Finding(
                "owner", subject(kind, fq_name, uuid), f"its row is owned by {owner}, perms2 says {expected}",
                "sets the row's owner", _setting(_SET_OWNER, of=uuid, owner=expected),
            )  # fmt: skip


def _unreadable_properties(survey: Survey, of: str, uuid: str, kind: str) -> Finding:
    declared = survey.model.types[kind].properties if kind in survey.model.types else {}
    logged = {name: value for name, value in survey.logged(uuid).items() if name in declared}
    text = "its properties are not a JSON object"
    if not logged:
        return Finding("readable", of, text, "the change log has no version of it: restore a backup")
    stored = orjson.dumps(logged).decode()
    return Finding(
        "readable", of, text, "puts back its last version in the change log",
        _setting(_SET_PROPERTIES, of=uuid, properties=stored),
    )  # fmt: skip


def _unreadable_attr(survey: Survey, source: str, source_type: str, target: str, target_type: str) -> Finding:
    of, text = f"{source_type} {source}", f"the attribute of its reference to {target_type} {target} is not JSON"
    for entry in survey.logged(source).get(names.field(target_type)) or ():
        if entry.get("uuid") == target:
            attr = entry.get("attr")
            stored = None if attr is None else orjson.dumps(attr).decode()
            return Finding(
                "readable", of, text, "puts back its last version in the change log",
                _setting(_SET_ATTR, source=source, target=target, attr=stored),
            )  # fmt: skip
    return Finding("readable", of, text, "the change log has no version of it: restore a backup")


def _mapping(text: Any) -> dict[str, Any] | None:
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    return found if isinstance(found, dict) else None


def _timing(uuid: str, properties: dict[str, Any]) -> Mend:
    """The present where id_perms has no time."""
    id_perms = properties.get("id_perms")
    logged = [str(id_perms.get(name)) if isinstance(id_perms, dict) else "" for name in ("created", "last_modified")]

    def mend(survey: Survey) -> None:
        created, modified = (at if TIME.fullmatch(at) else survey.tx.now for at in logged)
        survey.session.execute(_SET_TIMES, of=uuid, created=created, modified=modified)

    return mend


def _setting(statement: Statement, **values: Any) -> Mend:
    return lambda survey: _ignore(survey.session.execute(statement, **values))


def _ignore(count: int) -> None:
    """How many rows it were."""


CHECKS = (
    Check({"integrity": "The file is whole: pages, indexes, constraints (SQLite's own integrity_check)."}, integrity,
          blocking=True),
    Check({"readable": "Properties, positions and attributes are JSON, times are times; else lists fail."},
          readable, blocking=True),
    Check({"owner": "Each row has the owner that perms2 has."}, owners),
)  # fmt: skip
