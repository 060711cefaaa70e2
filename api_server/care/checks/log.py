"""The counter and the change log: revisions without gaps, up to the counter."""

from collections.abc import Iterator

import sqlalchemy as sa

from api_server.care.survey import Check, Finding, Survey
from api_server.store.session import Statement
from api_server.store.tables import change, counter, resource, status

_c, _arg = change.c, sa.bindparam

_COUNTER = Statement(sa.select(counter.c.revision, counter.c.compacted).where(counter.c.id == 1))
_NEWEST = Statement(
    sa.select(
        sa.select(sa.func.max(_c.revision)).scalar_subquery(),
        sa.select(sa.func.max(resource.c.revision)).scalar_subquery(),
    )
)
_REVISIONS = Statement(
    sa.select(_c.revision, sa.func.count(), sa.func.min(_c.sequence), sa.func.max(_c.sequence))
    .group_by(_c.revision)
    .order_by(_c.revision)
)
_STAMP = Statement(sa.select(sa.func.max(status.c.stamp)))
_MAKE = Statement(counter.insert(), counter.columns.keys())
_SET_REVISION = Statement(counter.update().where(counter.c.id == 1), ("revision",))
_SET_COMPACTED = Statement(counter.update().where(counter.c.id == 1), ("compacted",))
_FORGET = Statement(change.delete().where(_c.revision <= _arg("upto")))


def counted(survey: Survey) -> Iterator[Finding]:
    newest = max((number for number in survey.session.all(_NEWEST)[0] if number is not None), default=0)
    rows = survey.session.all(_COUNTER)
    if not rows:
        yield Finding(
            "counter", "the counter", "it is not there", f"makes it, at revision {newest}, and empties the change log",
            lambda survey: _make(survey, newest),
        )  # fmt: skip
        return
    revision = rows[0][0]
    if newest > revision:
        yield Finding(
            "counter", "the counter", f"it is at revision {revision}, what is stored is at {newest}",
            f"sets it to {newest}", lambda survey: _set(survey, newest),
        )  # fmt: skip


def whole(survey: Survey) -> Iterator[Finding]:
    """One finding for all holes: what the log knows before the last one is of no use to a watcher."""
    revision, compacted = survey.session.all(_COUNTER)[0]
    problems, upto, expected = [], compacted, compacted + 1
    for number, count, first, last in survey.session.stream(_REVISIONS):
        if number <= compacted:
            problems.append(f"it has revision {number}, though it is compacted up to {compacted}")
            continue
        if number > expected:
            problems.append(f"revisions {expected} to {number - 1} are missing")
            upto = number - 1
        if (first, last) != (0, count - 1):
            problems.append(f"revision {number} lacks changes")
            upto = number
        expected = number + 1
    if expected <= revision:
        problems.append(f"revisions {expected} to {revision} are missing")
        upto = revision
    if compacted > revision:
        problems, upto = [f"it is compacted up to {compacted}, beyond the counter's {revision}"], revision
    if problems:
        yield Finding(
            "change-log", "the change log", "; ".join(problems[:5]),
            f"forgets all up to revision {upto}: watchers that come back with an older id list again",
            lambda survey: _forget(survey, upto),
        )  # fmt: skip


def _make(survey: Survey, newest: int) -> None:
    stamp = survey.session.all(_STAMP)[0][0] or 0
    survey.session.execute(_MAKE, id=1, revision=newest, compacted=newest, statuses=stamp)
    survey.session.execute(_FORGET, upto=newest)


def _set(survey: Survey, newest: int) -> None:
    survey.session.execute(_SET_REVISION, revision=newest)


def _forget(survey: Survey, upto: int) -> None:
    survey.session.execute(_SET_COMPACTED, compacted=upto)
    survey.session.execute(_FORGET, upto=upto)


CHECKS = (
    Check({"counter": "The counter is at the newest revision; behind it, new changes would collide with old ones."},
          counted, blocking=True),
    Check({"change-log": "Each revision since the last compaction is in the log; a hole is a change a watcher misses."},
          whole),
)  # fmt: skip
