"""What is looked for, in the order in which it is looked for: what a check relies on is looked at before it."""

from api_server.care.checks import concerned, links, log, meaning, numbers, objects, reports, rows, tree
from api_server.care.survey import Check

CHECKS: tuple[Check, ...] = (
    *rows.CHECKS, *log.CHECKS, *tree.CHECKS, *links.CHECKS, *objects.CHECKS, *numbers.CHECKS, *meaning.CHECKS,
    *concerned.CHECKS, *reports.CHECKS,
)  # fmt: skip
