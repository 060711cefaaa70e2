"""What `POST /status` takes: a node's report. Whatever is wrong with one is a BadRequest that names the field."""

from collections.abc import Mapping
from typing import Any, get_args

import orjson

from api_server.errors import BadRequest
from api_server.loadbalancer.status import Operating, Provisioning
from api_server.routes.times import moment
from api_server.store import NewStatus, Report
from schema.quoting import quote

MOST = 1000
"""Rows of one report: a few milliseconds of the writer's time."""
LONGEST_REASON = 1000
LONGEST_NODE = 255
LONGEST_WORD = 255
MOST_REASONS = 50
MOST_PROBLEMS = 50
MOST_SCOPES = 1000
LONGEST_SCOPE = 300

WORDS, PROGRAMMED = frozenset(get_args(Operating)), frozenset(get_args(Provisioning))

UNITS = ("done", "pending", "error")
REASON = {"type": LONGEST_WORD, "uuid": 36, "name": LONGEST_REASON, "code": LONGEST_WORD, "text": LONGEST_REASON}
"""What a reason has, and how long each of it may be."""


def read_report(body: Mapping[str, Any]) -> Report:
    """BadRequest names the field that is wrong."""
    known(body, {"node", "revision", "rows", "agent", "scopes"}, "")
    node = body.get("node")
    if not isinstance(node, str) or not 0 < len(node) <= LONGEST_NODE or not node.isprintable():
        raise BadRequest(f"Bad Request, node must be a name of 1 to {LONGEST_NODE} characters")
    revision, rows = number(body, "revision", "", None), body.get("rows", [])
    if not isinstance(rows, list) or len(rows) > MOST:
        raise BadRequest(f"Bad Request, rows must be a list of at most {MOST}")
    said = [read_row(row, f"rows[{index}]", revision) for index, row in enumerate(rows)]
    if len({row.uuid for row in said}) < len(said):
        raise BadRequest("Bad Request, rows must name each uuid once")
    agent = read_agent(body["agent"]) if "agent" in body else None
    scopes = read_scopes(body["scopes"]) if "scopes" in body else None
    return Report(node, revision, said, agent, scopes)


def read_scopes(found: Any) -> str:
    """As it is stored: JSON, null for everything."""
    if found is not None:
        if not isinstance(found, list) or len(found) > MOST_SCOPES:
            raise BadRequest(f"Bad Request, scopes must be null or a list of at most {MOST_SCOPES}")
        found = [text(one, f"scopes[{index}]", LONGEST_SCOPE) for index, one in enumerate(found)]
        if not all(one.isprintable() for one in found):
            raise BadRequest("Bad Request, scopes must be uuids, or names of nodes")
    return orjson.dumps(found).decode()


def read_row(row: Any, where: str, revision: int) -> NewStatus:
    if not isinstance(row, dict):
        raise BadRequest(f"Bad Request, {where} must be an object")
    known(row, {"uuid", "state", "provisioning", "reason", "since", "revision"}, f"{where}.")
    uuid, state = row.get("uuid"), row.get("state")
    if not isinstance(uuid, str) or not 0 < len(uuid) <= 36:
        raise BadRequest(f"Bad Request, {where}.uuid must be a uuid")
    if "state" not in row or (state is not None and not is_word(state, WORDS)):
        raise BadRequest(f"Bad Request, {where}.state must be null or one of {', '.join(sorted(WORDS))}")
    provisioning = row.get("provisioning", "ACTIVE")
    if not is_word(provisioning, PROGRAMMED):
        raise BadRequest(f"Bad Request, {where}.provisioning must be one of {', '.join(sorted(PROGRAMMED))}")
    reason = text(row.get("reason", ""), f"{where}.reason", LONGEST_REASON)
    since = 0 if state is None and "since" not in row else moment(row.get("since"), f"{where}.since")
    return NewStatus(uuid, state, provisioning, reason, since, number(row, "revision", f"{where}.", revision))


def is_word(value: Any, words: frozenset[str]) -> bool:
    return isinstance(value, str) and value in words


def known(found: Mapping[str, Any], fields: set[str], where: str) -> None:
    if unknown := sorted(found.keys() - fields):
        raise BadRequest(f"Bad Request, {where}{quote(unknown[0])} is no field of a report")


def number(found: Mapping[str, Any], name: str, where: str, default: int | None) -> int:
    value = found.get(name, default)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**63:
        raise BadRequest(f"Bad Request, {where}{name} must be a number from 0")
    return value


# --- what an agent says of itself


def read_agent(found: Any) -> str:
    """As it is stored and told: JSON with all fields, in one order."""
    where = "agent"
    if not isinstance(found, dict):
        raise BadRequest(f"Bad Request, {where} must be an object")
    known(found, {"version", "backend", "problems", "units", "reasons", "more_reasons"}, f"{where}.")
    units = found.get("units", {})
    if not isinstance(units, dict):
        raise BadRequest(f"Bad Request, {where}.units must be an object")
    known(units, set(UNITS), f"{where}.units.")
    return orjson.dumps({
        "version": text(found.get("version", ""), f"{where}.version", LONGEST_WORD),
        "backend": text(found.get("backend", ""), f"{where}.backend", LONGEST_WORD),
        "problems": [
            text(one, f"{where}.problems[{index}]", LONGEST_REASON)
            for index, one in enumerate(listed(found, "problems", where, MOST_PROBLEMS))
        ],
        "units": {name: number(units, name, f"{where}.units.", 0) for name in UNITS},
        "reasons": [
            read_reason(one, f"{where}.reasons[{index}]")
            for index, one in enumerate(listed(found, "reasons", where, MOST_REASONS))
        ],
        "more_reasons": number(found, "more_reasons", f"{where}.", 0),
    }).decode()  # fmt: skip


def read_reason(found: Any, where: str) -> dict[str, str]:
    """Why something was not programmed, or not as it was asked for. type, uuid, name: of the object it is about."""
    if not isinstance(found, dict):
        raise BadRequest(f"Bad Request, {where} must be an object")
    known(found, set(REASON), f"{where}.")
    return {name: text(found.get(name, ""), f"{where}.{name}", longest) for name, longest in REASON.items()}


def listed(found: Mapping[str, Any], name: str, where: str, most: int) -> list[Any]:
    value = found.get(name, [])
    if not isinstance(value, list) or len(value) > most:
        raise BadRequest(f"Bad Request, {where}.{name} must be a list of at most {most}")
    return value


def text(value: Any, where: str, longest: int) -> str:
    if not isinstance(value, str) or len(value) > longest:
        raise BadRequest(f"Bad Request, {where} must be a text of at most {longest} characters")
    return value
