"""How the text of the rules (`rules.py`) is spelt out: for each family, each protocol and a size of the flow table.

Words in capitals stand for expressions, numbers are named between @. `IF_TCP` begins a rule that UDP has no use for,
`TOUCH` is the refreshing of a flow's entry.
"""

import re
from typing import Literal

from vrouter.backends.netns.rules import (
    AGAIN,
    CLOSED,
    CLOSED_FOR,
    CLOSING,
    DONE,
    FOUND,
    HAIRPIN,
    HALF,
    ID_MASK,
    IDLE,
    LIMITED,
    MARGIN,
    NEW,
    PATH_LIMIT,
    PROTOCOL,
    QUIET,
    SHARED,
    STICKY,
    TABLE,
    TCP,
    UNANSWERED,
)
from vrouter.state import FLOW_LIMIT, Family

_NUMBERS = {
    "IDLE": IDLE,
    "UNANSWERED": UNANSWERED,
    "UNANSWERED_MARGIN": UNANSWERED + MARGIN,
    "CLOSED_FOR": CLOSED_FOR,
    "CLOSING": CLOSING,
    "PATHS": PATH_LIMIT,
    "ID": ID_MASK,
    "LIMITED": LIMITED,
    "PLACED": LIMITED | CLOSED,
    "STICKY": STICKY,
    "DONE": DONE,
    "FOUND": FOUND,
    "HALF": HALF,
    "AGAIN": AGAIN,
    "NEW": NEW,
    "CLOSED": CLOSED,
    "HAIRPIN": HAIRPIN,
}

# The text is that of IPv4; this makes it that of IPv6. ICMPv6 has no code for a protocol that nobody serves.
_IPV6 = (
    (re.compile(r"\bip (?=saddr|daddr|nexthop)"), "ip6 "),
    (re.compile(r"\bicmp\b"), "icmpv6"),
    (re.compile(r"\btime-exceeded\b"), "packet-too-big, time-exceeded"),
    (re.compile(r"\bhost-unreachable\b"), "addr-unreachable"),
    (re.compile(r"\bprot-unreachable\b"), "admin-prohibited"),
)


def text(family: Family = 4, flow_limit: int = FLOW_LIMIT) -> str:
    """A whole table; fails if there is one of that name. That of IPv6 is one for `wide.narrowed`, not for `nft -f`.
    flow_limit: as in `BackendSettings`."""
    chains = SHARED + _for("tcp", TCP) + _for("tcp", PROTOCOL) + _for("udp", PROTOCOL)
    chains = chains.replace("@LIMIT@", str(flow_limit))
    if family == 6:
        for word, meaning in _IPV6:
            chains = word.sub(meaning, chains)
        chains += QUIET
    name = f"{'ip' if family == 4 else 'ip6'} {TABLE}"
    return f"create table {name}\ntable {name} {{{chains}\n}}\n"


def _for(protocol: Literal["tcp", "udp"], template: str) -> str:
    tcp = protocol == "tcp"
    words = {
        "OWN": f"ip saddr . {protocol} sport . ip daddr . {protocol} dport",
        "PEER": f"ip daddr . {protocol} dport . ip saddr . {protocol} sport",
        "ENDPOINT": "meta mark & @ID@",
        "LASTING": f"meta mark & {~AGAIN & 0xFFFF_FFFF}",  # of what the first packet of a flow has in its mark
        "SERVICE": "PROTO sport set ip saddr map @service_port ip saddr set ip saddr map @service_vip",
        "NOTE": "meta mark set meta mark | @DONE@ comment",
        "COUNTS": "meta mark set meta mark | @LIMITED@",
        "LEAVE": "meta mark & @LIMITED@ != 0 meta mark set meta mark | @CLOSED@ OF_LIMITED",
        "OF_LIMITED": "ip daddr . PROTO dport vmap @limited_PROTO",
        "MEASURED": "typeof ip daddr . PROTO dport . ip daddr . PROTO dport",
        "UNLESS_CLOSING": "CHOSEN != @closing" if tcp else "",
        "CHOSEN": f"rt ip nexthop . {protocol} dport . ip saddr . {protocol} sport",
        "CLOSED_PORT": "tcp reset" if tcp else "icmp port-unreachable",
        "NO_MEMBER": "tcp reset" if tcp else "icmp host-unreachable",
        "PROTO": protocol,
    }
    lines: list[str] = []
    for line in template.splitlines():
        rule = line.strip()
        if rule.startswith("IF_TCP "):
            if tcp:
                lines.append(rule.removeprefix("IF_TCP "))
        elif rule.startswith("TOUCH "):
            lines += _touch(tcp, *rule.split(" ", 3)[1:])
        else:
            lines.append(rule)
    result = "\n".join(lines)
    for word, meaning in words.items():
        result = result.replace(word, meaning)
    for name, number in _NUMBERS.items():
        result = result.replace(f"@{name}@", str(number))
    return result


def _touch(tcp: bool, direction: str, key: str, data: str) -> list[str]:
    """Refresh an entry of `direction`. `data` matters only if it has just vanished: then it is no endpoint's id and no
    surrogate, and the next packet begins anew."""
    margin = MARGIN if direction == "reverse" else 0
    if not tcp:
        return [f"update @{direction}_PROTO {{ {key} timeout {IDLE + margin}s : {data} }}"]
    return [
        f"meta mark & {CLOSED} == 0 update @{direction}_PROTO {{ {key} timeout {IDLE + margin}s : {data} }}",
        f"meta mark & {CLOSED} != 0 update @{direction}_PROTO {{ {key} timeout {CLOSING + margin}s : {data} }}",
    ]
