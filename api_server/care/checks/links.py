"""References: between objects that are there, of kinds the model has, on both sides where the types are the same."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import sqlalchemy as sa

from api_server.care.conformity import attr_fault, reference_field
from api_server.care.survey import Check, Finding, Mend, Survey, named
from api_server.store import names
from api_server.store.objects import Update
from api_server.store.session import Statement
from api_server.store.tables import reference, resource

_f, _arg = reference.c, sa.bindparam
_source, _target, _mirror = resource.alias("source"), resource.alias("target"), reference.alias("mirror")
_s, _t, _m = _source.c, _target.c, _mirror.c

_ENDS = Statement(
    sa.select(_f.from_uuid, _f.from_type, _s.type, _s.fq_name, _f.to_uuid, _f.to_type, _t.type, _t.fq_name)
    .select_from(reference.outerjoin(_source, _s.uuid == _f.from_uuid).outerjoin(_target, _t.uuid == _f.to_uuid))
    .where(sa.or_(_s.uuid.is_(None), _t.uuid.is_(None), _s.type != _f.from_type, _t.type != _f.to_type))
    .order_by(_f.from_uuid, _f.to_uuid)
)
_SIDES = Statement(
    sa.select(_f.from_uuid, _f.to_uuid, _f.from_type, _f.attr, _f.origin, _m.from_uuid, _s.modified, _t.modified)
    .select_from(
        reference.join(_source, _s.uuid == _f.from_uuid)
        .join(_target, _t.uuid == _f.to_uuid)
        .outerjoin(_mirror, sa.and_(_m.from_uuid == _f.to_uuid, _m.to_uuid == _f.from_uuid))
    )
    .where(
        _f.from_type == _f.to_type,
        _f.from_uuid != _f.to_uuid,
        sa.or_(
            _m.from_uuid.is_(None),
            _m.origin != _f.origin,
            sa.func.coalesce(_m.attr, "") != sa.func.coalesce(_f.attr, ""),
        ),
    )
    .order_by(_f.from_uuid, _f.to_uuid)
)
_SET_TYPES = Statement(
    reference.update().where(_f.from_uuid == _arg("source"), _f.to_uuid == _arg("target")), ("from_type", "to_type")
)
_SET_SIDE = Statement(
    reference.update().where(_f.from_uuid == _arg("source"), _f.to_uuid == _arg("target")), ("attr", "origin")
)
_INSERT = Statement(reference.insert(), reference.columns.keys())
_DELETE = Statement(reference.delete().where(_f.from_uuid == _arg("source"), _f.to_uuid == _arg("target")))


def ends(survey: Survey) -> Iterator[Finding]:
    for source, from_type, source_type, source_name, target, to_type, target_type, target_name in survey.session.stream(
        _ENDS
    ):
        of = f"{from_type} {source_name or ''}".rstrip() + f" ({source})"
        where = f"{to_type} {target_name or target}"
        if source_type is None or target_type is None:
            absent = f"it refers to {where}, which is not there"
            text = absent if source_type is not None else f"it is not there, but its reference to {where} is"
            yield Finding("dangling", of, text, "removes the reference", _removing(source, target))
        else:
            yield Finding(
                "reference-type", of,
                f"its reference to {where} says {from_type} to {to_type}; it is {source_type} to {target_type}",
                "sets the types", _typing(source, target, source_type, target_type),
            )  # fmt: skip


def sides(survey: Survey) -> Iterator[Finding]:
    for source, target, kind, attr, origin, other, source_time, target_time in survey.session.stream(_SIDES):
        of = f"{kind} {source}"
        if other is None:
            yield Finding(
                "one-sided", of, f"it refers to {kind} {target}, which does not refer to it", "adds the other side",
                _adding(target, source, kind, attr, origin),
            )  # fmt: skip
        elif (source_time, source) > (target_time, target):  # once of the two rows
            yield Finding(
                "one-sided", of, f"its reference to {kind} {target} is not the same on the other side",
                "makes the other side like it: it was changed later", _alike(target, source, attr, origin),
            )  # fmt: skip


def kinds(survey: Survey) -> Iterator[Finding]:
    for kind, found in survey.objects():
        for link in (one for links in found.references.values() for one in links):
            if wrong := attr_fault(kind, link):
                of, text = named(found), f"{wrong.text} (to {link.type} {names.join(link.fq_name)})"
                if reference_field(kind, link) is None:
                    yield Finding("reference-kind", of, text, "removes it", _removing(found.uuid, link.uuid))
                elif wrong.better is None:
                    yield Finding("reference-attribute", of, text, "set it by ref-update")
                else:
                    mend = _replacing(found.uuid, link.uuid, wrong.better)
                    yield Finding("reference-attribute", of, text, "stores it as the server does", mend)


def _removing(source: str, target: str) -> Mend:
    def mend(survey: Survey) -> None:
        survey.session.execute(_DELETE, source=source, target=target)
        survey.touch(source)

    return mend


def _typing(source: str, target: str, from_type: str, to_type: str) -> Mend:
    def mend(survey: Survey) -> None:
        survey.session.execute(_SET_TYPES, source=source, target=target, from_type=from_type, to_type=to_type)

    return mend


def _adding(source: str, target: str, kind: str, attr: str | None, origin: int) -> Mend:
    def mend(survey: Survey) -> None:
        row = {"from_type": kind, "to_type": kind, "attr": attr, "origin": origin}
        survey.session.execute(_INSERT, from_uuid=source, to_uuid=target, **row)
        survey.touch(source)

    return mend


def _alike(source: str, target: str, attr: str | None, origin: int) -> Mend:
    def mend(survey: Survey) -> None:
        survey.session.execute(_SET_SIDE, source=source, target=target, attr=attr, origin=origin)
        survey.touch(source)

    return mend


def _replacing(source: str, target: str, attr: Any) -> Mend:
    def mend(survey: Survey) -> None:
        before = survey.tx.get(source)
        assert before is not None
        after = before.copy()
        for field, links in before.references.items():
            after.references[field] = [replace(one, attr=attr) if one.uuid == target else one for one in links]
        survey.tx.apply(Update(before, after))

    return mend


CHECKS = (
    Check({
        "dangling": "Both ends of a reference are there; foreign keys see to it, unless the file was damaged.",
        "reference-type": "A reference says of what types its ends are.",
    }, ends),
    Check({"one-sided": "A reference between objects of one type stands on both of them."}, sides),
    Check({
        "reference-kind": "References are of kinds that the model has.",
        "reference-attribute": "Attributes of references are as the model has them.",
    }, kinds),
)  # fmt: skip
