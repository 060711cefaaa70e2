"""Objects with some of their fields, as JSON that the database puts together itself.

A watcher begins with all that it has in sight, a hundred thousand objects at times: rows that were made values of
Python, to be written as JSON, would be three quarters of what that costs. What is stored is JSON already, and both
databases take a property out of it as the text that it is.
"""

from collections.abc import Sequence
from functools import lru_cache, reduce
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.expression import ColumnElement

from api_server.store.names import field, flat
from api_server.store.session import Statement, any_of
from api_server.store.tables import reference, resource

_r, _f = resource.c, reference.c
_other = resource.alias("other")
Text = ColumnElement[str]


class _spelt(ColumnElement[str]):  # noqa: N801 - reads as the SQL it makes
    """What each database has a spelling of its own for; `{}` stands for the text that it is made of."""

    inherit_cache = False
    type = sa.Text()

    def __init__(self, text: Text, *, sqlite: str, postgresql: str) -> None:
        self.text = text
        self.spellings = {"sqlite": sqlite, "postgresql": postgresql}


@compiles(_spelt)
def _spell(element: _spelt, compiler: SQLCompiler, **options: Any) -> str:
    return element.spellings[compiler.dialect.name].format(compiler.process(element.text))


class _ordered(ColumnElement[Any]):  # noqa: N801 - the same
    """A condition on `resource`. SQLite reads its rows in the order in which they are stored, not in that in which it
    finds them: what was made together lies together, in its pages and then in the memory of who gets it."""

    inherit_cache = False
    type = sa.types.NULLTYPE  # a Boolean would be compared with 1 on SQLite

    def __init__(self, condition: ColumnElement[Any]) -> None:
        self.condition = condition


@compiles(_ordered)
def _as_found(element: _ordered, compiler: SQLCompiler, **options: Any) -> str:
    return compiler.process(element.condition)


@compiles(_ordered, "sqlite")
def _as_stored(element: _ordered, compiler: SQLCompiler, **options: Any) -> str:
    rows = f"SELECT rowid FROM resource WHERE {compiler.process(element.condition)}"  # noqa: S608 - compiled SQL
    return f"resource.rowid IN ({rows})"


def _json(text: Text) -> Text:
    """As a string of JSON."""
    return _spelt(text, sqlite="json_quote({})", postgresql="CAST(to_json({}) AS text)")


def _property(document: Text, name: str) -> Text:
    """As JSON; NULL without one. name: of the object model."""
    sqlite, postgresql = f"({{}} -> '$.\"{name}\"')", f"CAST(CAST({{}} AS json) -> '{name}' AS text)"
    return _spelt(document, sqlite=sqlite, postgresql=postgresql)


def _joined(text: Text) -> Text:
    """Of all rows, with commas."""
    return _spelt(text, sqlite="group_concat({}, ',')", postgresql="string_agg({}, ',')")


@lru_cache(256)
def excerpts(
    type: str, properties: frozenset[str], references: frozenset[str], *, names: bool, chosen: bool
) -> Statement:
    """`{type: object}` of each object of a type, in no order. properties: names of the object model. references: types.
    names: with those of what is referred to, which is a look-up for each. chosen: those of `uuids` alone."""
    found = sa.select(
        _text(
            f'{{"{type}":{{"uuid":"', _r.uuid, '","fq_name":', _fq_name(type, _r.fq_name),
            _if(_text(',"parent_type":"', _r.parent_type, '","parent_uuid":"', _r.parent_uuid, '"')),
            *(_references(kind, names=names) for kind in sorted(references)),
            *(_if(_text(f',"{name}":', _property(_r.properties, name))) for name in sorted(properties)), "}}",
        )
    )  # fmt: skip
    if not chosen:
        return Statement(found.where(_r.type == sa.bindparam("type")))
    # Look the uuids up, don't walk the whole type (SQLite would).
    return Statement(found.where(_r.type + "" == sa.bindparam("type"), _ordered(any_of(_r.uuid, "uuids"))))


def _references(kind: str, *, names: bool) -> Text:
    """Nothing if there is none."""
    to: list[Text | str] = ['"to":', _fq_name(kind, _other.c.fq_name), ","] if names else []
    one = _text("{", *to, '"uuid":"', _f.to_uuid, '","attr":', sa.func.coalesce(_f.attr, "null"), "}").label("one")
    those = sa.select(one).where(_f.from_uuid == _r.uuid, _f.to_type == kind).order_by(_f.to_uuid)
    if names:
        those = those.join_from(reference, _other, _other.c.uuid == _f.to_uuid)
    rows = those.correlate(resource).subquery()
    together = sa.select(_joined(rows.c.one)).select_from(rows).scalar_subquery()
    return _if(_text(f',"{field(kind)}":[', together, "]"))


def _fq_name(type: str, name: Text) -> Text:
    text: Text = _json(name)
    return _text("[", text if flat(type) else sa.func.replace(text, ":", '","'), "]")


def _if(text: Text) -> Text:
    """Nothing if a part of it is NULL."""
    return sa.func.coalesce(text, "")


def _text(*parts: Text | str) -> Text:
    texts: Sequence[Text] = [sa.literal(one, sa.Text()) if isinstance(one, str) else one for one in parts]
    return reduce(lambda one, other: one.concat(other), texts)
