"""What objects concern, for those who watch a part of everything."""

from collections.abc import Iterator
from itertools import groupby

from api_server.care.survey import Check, Finding, Mend, Survey, listed, subject
from api_server.store import concerns, names


def scopes(survey: Survey) -> Iterator[Finding]:
    survey.session.flush()
    for (kind, uuid), rows in groupby(concerns.differing(survey.session), key=lambda row: row[:2]):
        stored = {row[2]: row[3] for row in rows}
        known = survey.tx.identify(uuid)
        name = subject(kind, names.join(known[1]), uuid) if known else f"{kind} {uuid}"
        if missing := sorted(scope for scope, standing in stored.items() if not standing):
            yield Finding("scope", name, f"watchers of {listed(missing)} do not see it", "shows it to them",
                          _mending(kind, uuid, stored))  # fmt: skip
        else:
            yield Finding("scope", name, f"watchers of {listed(sorted(stored))} see it, whom it does not concern",
                          "hides it from them", _mending(kind, uuid, stored))  # fmt: skip


def _mending(kind: str, uuid: str, stored: dict[str, bool]) -> Mend:
    def mend(survey: Survey) -> None:
        for scope, standing in stored.items():
            if standing:
                survey.session.execute(concerns.DELETE_CONCERN, of=uuid, was=scope)
            else:
                survey.session.execute(concerns.INSERT_CONCERN, uuid=uuid, scope=scope, type=kind)
        survey.touch(uuid)

    return mend


CHECKS = (
    Check({"scope": "An object is shown to those who watch what it concerns: its networks, its node."}, scopes),
)  # fmt: skip
