"""Look whether all is well, and mend what can be mended.

All repairs are one transaction and, as far as they change objects, one request with one revision. A repair can be
refused (another object refers to what should go), and can show what else is wrong: it is looked again until nothing is
left that can be mended.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import schema
from api_server.care.checks import CHECKS
from api_server.care.opening import finish, reading, request, writing
from api_server.care.survey import Finding, Survey
from api_server.errors import ApiError, Unavailable, one_line
from api_server.resources.registry import registry
from api_server.store.attempts import interrupt

PASSES = 12
"""At most: each goes one step down the tree where a branch has to be mended from above."""


@dataclass(slots=True)
class Report:
    """left: what is still wrong. mended: what was. refused: a finding that is left -> why it could not be mended.
    skipped: kinds that could not be looked for."""

    left: list[Finding] = field(default_factory=list)
    mended: list[Finding] = field(default_factory=list)
    refused: dict[Finding, str] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)


def check(url: str, *, fix: bool = False, native_driver: bool = True) -> Report:
    """native_driver: as the server is run. UnusableDatabase: not to be read at all; or held by a server (fix)."""
    model, hooks = schema.load(), registry(native_driver=native_driver)
    report = Report()
    if not fix:
        with reading(url) as session:
            _look(Survey(session, model, hooks), report, lambda survey, found: None)
        return report
    with writing(url) as session:
        survey = Survey(session, model, hooks)
        for _ in range(PASSES):
            before = len(report.mended)
            _look(survey, report, lambda survey, found: _mend(survey, report, found))
            if len(report.mended) == before:
                break
        if report.mended:
            interrupt(session)  # not all that was mended has a revision for writers to tell by
    report.refused = {finding: reason for finding, reason in report.refused.items() if finding in report.left}
    return report


def _look(survey: Survey, report: Report, mend: Callable[[Survey, list[Finding]], None]) -> None:
    report.left, report.skipped = [], []
    for number, check in enumerate(CHECKS):
        found: list[Finding] = []
        try:
            for finding in check.find(survey):
                found.append(finding)  # noqa: PERF402 - it keeps what it has when it stumbles
        except survey.session.database.driver.Error:
            raise
        except Exception:
            if not report.left and not found:
                raise
            report.skipped += check.kinds  # a value that has been found malformed is one it cannot read
        mend(survey, found)
        if survey.tx.events:
            finish(survey.session, survey.tx)
        else:  # the counter may have been mended
            survey.tx = request(survey.session, survey.tx.request_id)
        report.left += found
        if found and check.blocking:
            report.skipped += [kind for other in CHECKS[number + 1 :] for kind in other.kinds]
            return


def _mend(survey: Survey, report: Report, found: list[Finding]) -> None:
    """Leaves in `found` what cannot be."""
    for finding in list(found):
        if finding.mend is None:
            continue
        events = len(survey.tx.events)
        try:
            with survey.session.savepoint():
                finding.mend(survey)
        except Unavailable:
            raise
        except Exception as error:  # noqa: BLE001 - what is in the way of one repair is not in that of others
            del survey.tx.events[events:]
            del survey.tx.fields[events:]
            del survey.tx.touched[events:]
            survey.tx.forget()
            known = isinstance(error, ApiError | survey.session.database.driver.Error)
            report.refused[finding] = one_line(error) if known else f"it cannot be: {error!r}"
        else:
            report.mended.append(finding)
            report.refused.pop(finding, None)
            found.remove(finding)
    survey.tx.forget()


def explanations() -> dict[str, str]:
    """kind of finding -> what should be, and why it matters."""
    return {kind: text for check in CHECKS for kind, text in check.kinds.items()}
