"""How a listener's connections are spread, as its pools and its own properties ask.

Connections are what is spread: in proportion to weights, or by affinity of their client's address; and those of a
listener have a limit. What would need to look into connections, or to count those of each member, is stored and has a
reason.
"""

from collections.abc import Sequence

from vrouter.compiler.numerals import integer
from vrouter.objects import Object
from vrouter.state import AFFINITY, Reason

_AS_ROUND_ROBIN = {
    "LEAST_CONNECTIONS": "a router does not count the connections of each member",
    "HTTP_COOKIE": "a router does not look into connections",
    "APP_COOKIE": "a router does not look into connections",
}


def affinity(pools: Sequence[Object], reasons: list[Reason]) -> int:
    """Seconds, as in `Listener`: of `session_persistence` or `loadbalancer_method` SOURCE_IP."""
    found = 0
    for pool in pools:
        properties = pool.get("loadbalancer_pool_properties") or {}
        for name in ("loadbalancer_method", "session_persistence"):
            value = properties.get(name)
            if value == "SOURCE_IP":
                found = AFFINITY
            elif value in _AS_ROUND_ROBIN:
                text = f"pool {pool.name}: {name} {value} is balanced as ROUND_ROBIN: {_AS_ROUND_ROBIN[value]}"
                reasons.append(Reason((pool.type, pool.uuid), "balanced-as-round-robin", text))
    return found


def limit(listener: Object) -> int:
    """As in `Listener`, of `connection_limit`: absent, 0 and -1 are none, as for Neutron."""
    return max(0, integer((listener.get("loadbalancer_listener_properties") or {}).get("connection_limit")) or 0)
