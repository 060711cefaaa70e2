"""The rules of IPv6 that `nft` cannot write.

nft 1.0.6 (Debian 12) aborts on a rule that changes a map whose key is longer than 16 bytes (`update @map { key : data
}`); the kernel takes it. So the text that is loaded has a look-up of that key in that map instead, which it can write,
and says in the rule's comment what is meant; when the text is loaded, these look-ups are exchanged for the change.
Newer versions could write it, but one way is tried with all.
"""

import re
import sys
from dataclasses import replace

from vrouter.backends.netns import expressions, nftables
from vrouter.backends.netns.expressions import ADD, DELETE, MARK, NETWORK, UPDATE, Expression, Rule
from vrouter.backends.netns.netlink import Socket
from vrouter.backends.netns.nftables import Elements

_CHANGE = re.compile(
    r"\b(?P<operation>add|update|delete) @(?P<map>\w+) "
    r"\{ (?P<key>[^{}:]*?)(?P<timeout> timeout \d+s)?(?P<counter> counter)? : (?P<data>[^{}]*?) \}(?P<rest>.*)"
)
_MEANT = re.compile(
    r"(?P<operation>add|update|delete) @(?P<map>\w+)"
    r"(?: timeout (?P<seconds>\d+)s)?(?P<counter> counter)? : (?P<data>.+?)(?: & (?P<mask>\d+))?"
)
_LOOKUP_SET, _LOOKUP_SREG, _LOOKUP_DREG = 1, 2, 3  # NFTA_LOOKUP_*
_OPERATIONS = {"add": ADD, "update": UPDATE, "delete": DELETE}

# The last 16 bytes of the registers: a key has at most 48.
_DATA = expressions.word(12)
_LOADS = {
    "meta mark": expressions.meta(MARK, _DATA),
    "ip6 saddr": expressions.payload(NETWORK, 8, 16, _DATA),
    "ip6 daddr": expressions.payload(NETWORK, 24, 16, _DATA),
    "rt ip6 nexthop": expressions.nexthop(6, _DATA),
}


def narrowed(text: str) -> str:
    """The text of a table with a look-up for each change of a map."""
    return "\n".join(_CHANGE.sub(_look_up, line) for line in text.splitlines()) + "\n"


def complete(socket: Socket, mark: Elements) -> None:
    """Make the rules of the loaded table of IPv6 what they are meant to be, and add `mark` at the same time: without it
    the table is not whole. Raises NetlinkError."""
    changed = [
        expressions.put(6, _meant(rule, meant))
        for rule in expressions.read(socket, 6)
        if (meant := _MEANT.fullmatch(rule.comment))
    ]
    nftables.transact(socket, changed + nftables.changes((), mark))


def _look_up(found: re.Match[str]) -> str:
    meant = f"{found['operation']} @{found['map']}{found['timeout'] or ''}{found['counter'] or ''} : {found['data']}"
    return f'{found["key"]} @{found["map"]}{found["rest"]} comment "{meant}"'


def _meant(rule: Rule, meant: re.Match[str]) -> Rule:
    place = next(index for index, one in enumerate(rule.expressions) if _is_look_up(one, meant["map"]))
    key = int.from_bytes(rule.expressions[place].attributes[_LOOKUP_SREG], "big")
    timeout = 1000 * int(meant["seconds"] or 0)
    own = expressions.counter() if meant["counter"] else None
    change = expressions.dynset(_OPERATIONS[meant["operation"]], meant["map"], key, _DATA, timeout, own)
    data = [_LOADS[meant["data"]]]
    if meant["mask"]:  # of the mark
        data.append(expressions.bitwise(_DATA, _DATA, int(meant["mask"]).to_bytes(4, sys.byteorder), bytes(4)))
    changed = (*rule.expressions[:place], *data, change, *rule.expressions[place + 1 :])
    return replace(rule, expressions=changed, comment="")


def _is_look_up(expression: Expression, name: str) -> bool:
    """Whether it asks for a key of that map, and loads nothing."""
    values = expression.attributes
    loads = int.from_bytes(values.get(_LOOKUP_DREG, b""), "big") != 0 if expression.name == "lookup" else True
    return not loads and values[_LOOKUP_SET].rstrip(b"\0").decode() == name
