"""How the members of a pool are probed, from its health monitors.

A monitor that makes no sense has a reason and is not used: its pool's members stay in, unprobed, for a slip in a
monitor must not take a service away.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, get_args

from vrouter.compiler.numerals import integer
from vrouter.compiler.view import Unusable, View
from vrouter.objects import Object
from vrouter.state import Monitor, MonitorKind, Reason

DELAYS = range(1, 86_401)  # seconds
RETRIES = range(1, 101)

_KINDS: Mapping[str, MonitorKind] = {kind.upper(): kind for kind in get_args(MonitorKind)}
_METHOD = re.compile(r"[A-Z]{1,16}")
_PATH = re.compile(r"/[!-~]{0,1023}")  # printable, without spaces (RFC 9112, section 3.2)
_CODES = re.compile(r"([1-5]\d\d)(?:-([1-5]\d\d))?")


def monitors(view: View, pool: Object, reasons: list[Reason]) -> tuple[Monitor, ...]:
    """Those by which the pool's members are probed, in the order of their uuids."""
    return tuple(_monitors(view, pool, reasons))


def _monitors(view: View, pool: Object, reasons: list[Reason]) -> Iterator[Monitor]:
    for uuid in sorted(pool.targets("loadbalancer-healthmonitor")):
        found = view.get(uuid)
        properties = (found.get("loadbalancer_healthmonitor_properties") or {}) if found else {}
        if found is None or properties.get("admin_state") is False:
            continue
        try:
            yield _monitor(found, properties)
        except Unusable as unusable:
            text = f"health monitor {found.name} {unusable.text}: members are not probed by it"
            reasons.append(Reason((found.type, uuid), unusable.code, text))


def _monitor(found: Object, properties: Mapping[str, Any]) -> Monitor:
    named = properties.get("monitor_type")
    kind = _KINDS.get(str(named).upper())
    if kind is None:
        raise Unusable("monitor-wrong", f"has the monitor_type {named!r}, which is none of {', '.join(_KINDS)}")
    delay, timeout = _number(properties, "delay", DELAYS), _number(properties, "timeout", DELAYS)
    retries = _number(properties, "max_retries", RETRIES)
    if kind not in ("http", "https"):
        return Monitor(found.uuid, found.name, kind, delay, timeout, retries)
    method, path = properties.get("http_method") or "GET", properties.get("url_path") or "/"
    if not _METHOD.fullmatch(str(method)):
        raise Unusable("monitor-wrong", f"has the http_method {method!r}, which is none")
    if not _PATH.fullmatch(str(path)):
        raise Unusable("monitor-wrong", f"has the url_path {path!r}, which is not a path of printable characters")
    codes = _codes(str(properties.get("expected_codes") or "200"))
    return Monitor(found.uuid, found.name, kind, delay, timeout, retries, method, path, codes)


def _number(properties: Mapping[str, Any], name: str, allowed: range) -> int:
    number = integer(properties.get(name))
    if number is None or number not in allowed:
        raise Unusable("monitor-wrong", f"has the {name} {properties.get(name)!r}, which is not in "
                       f"{allowed[0]}..{allowed[-1]}")  # fmt: skip
    return number


def _codes(text: str) -> Sequence[tuple[int, int]]:
    """`200`, `200,202` or `200-204`, as Neutron has them."""
    found = [_CODES.fullmatch(part.strip()) for part in text.split(",")]
    codes = tuple((int(part[1]), int(part[2] or part[1])) for part in found if part)
    if not all(found) or any(low > high for low, high in codes):
        raise Unusable("monitor-wrong", f"has the expected_codes {text!r}, which are not like 200, 200,202 or 200-204")
    return codes
