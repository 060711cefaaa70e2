"""The rules that count what goes through each member of each listener.

The key of a counter is VIP, port, pod and its port, of which a header has two at a time: a packet is counted between
two look-ups of its translation, which text cannot say. So the rules that translate are loaded as text, with a comment
that says what is meant, and are given the counting as their last step.
"""

import re
from dataclasses import replace

from vrouter.backends.netns import expressions, nftables
from vrouter.backends.netns.expressions import NETWORK, TRANSPORT, UPDATE, Expression, Rule
from vrouter.backends.netns.netlink import Socket
from vrouter.state import Family

_MEANT = re.compile(r"count (?P<set>(?P<what>opened|inward|outward)_\w+)")
# Where the source and the destination are in an IP header, and how long an address is.
_ADDRESSES: dict[Family, tuple[int, int, int]] = {4: (12, 16, 4), 6: (8, 24, 16)}
_SPORT, _DPORT = 0, 2


def complete(socket: Socket, family: Family) -> None:
    """Give the rules of the loaded table that count their last step. Raises NetlinkError."""
    changed = [
        expressions.put(family, _counting(rule, meant, family))
        for rule in expressions.read(socket, family)
        if (meant := _MEANT.fullmatch(rule.comment))
    ]
    nftables.transact(socket, changed)


def _counting(rule: Rule, meant: re.Match[str], family: Family) -> Rule:
    """The registers: `nft` uses the first 5 words for its look-ups, of IPv6 the first 10 for a flow's key, which is
    done with when the VIP is known."""
    source, destination, length = _ADDRESSES[family]
    words = length // 4
    vip = 5
    vport, pod, target = vip + words, vip + words + 1, vip + 2 * words + 1

    def address(offset: int, place: int) -> Expression:
        return expressions.payload(NETWORK, offset, length, expressions.word(place))

    def port(offset: int, place: int) -> Expression:
        return expressions.payload(TRANSPORT, offset, 2, expressions.word(place))

    match meant["what"]:
        case "opened":  # after routing: the destination is the service's surrogate, but its port the pod's
            before = [expressions.nexthop(family, expressions.word(pod)), port(_DPORT, target)]
            after = [address(destination, vip), port(_DPORT, vport)]
        case "inward":
            before = [address(destination, vip), port(_DPORT, vport)]
            after = [address(destination, pod), port(_DPORT, target)]
        case _:
            before = [address(source, pod), port(_SPORT, target)]
            after = [address(source, vip), port(_SPORT, vport)]
    count = expressions.dynset(UPDATE, meant["set"], expressions.word(vip))
    return replace(rule, expressions=(*before, *rule.expressions, *after, count), comment="")
