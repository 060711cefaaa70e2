"""The search keys by which the native driver finds what belongs together, whatever came first.

address:<domain>:<project>:<address>   instance-ips: an interface of this project has the address
                                       members: that are to be found by it
interface:<uuid>                       members: that name this interface
port:<pool>:<port>                     members: that are up, with this target port
loadbalancer:<uuid>                    floating-ips: made for this loadbalancer
"""

from collections.abc import Iterable
from functools import lru_cache
from ipaddress import ip_address

from api_server.store.objects import Object


def canonical(address: object) -> str:
    """One spelling per address; what is no address stays as it is."""
    return _spelled(str(address))


@lru_cache(4096)
def _spelled(text: str) -> str:
    try:
        return str(ip_address(text))
    except ValueError:
        return text


def annotation(object: Object, key: str) -> str | None:
    """The value of an annotation, None if it isn't there or empty."""
    for pair in (object.properties.get("annotations") or {}).get("key_value_pair") or ():
        if pair.get("key") == key:
            return pair.get("value") or None
    return None


def address(project: Iterable[str], text: object) -> str:
    """project: fq_name."""
    return f"address:{':'.join(project)}:{canonical(text)}"


def interface(uuid: str) -> str:
    return f"interface:{uuid}"


def port(pool: str, number: int) -> str:
    return f"port:{pool}:{number}"


def loadbalancer(uuid: str) -> str:
    return f"loadbalancer:{uuid}"
