"""Addresses of brokers, as an operator writes them."""

from importlib.util import find_spec
from urllib.parse import parse_qs, urlsplit

SCHEMES = ("amqp", "amqps")


def addresses(text: str) -> tuple[str, ...]:
    """`amqp[s]://USER:PASSWORD@HOST:PORT/VHOST`, several separated by commas, to be tried in turn.

    ValueError says what is wrong, without the password.
    """
    found = tuple(one.strip() for one in text.split(",") if one.strip())
    for number, one in enumerate(found, 1):
        which = f"broker {number}: " if len(found) > 1 else ""
        try:
            parts = urlsplit(one)
            usable = parts.scheme in SCHEMES and bool(parts.hostname) and parts.port != 0
        except ValueError:
            usable = False
        if not usable:
            raise ValueError(f"{which}no address of a broker, such as amqp://USER:PASSWORD@HOST:5672/VHOST")
    if found and find_spec("aiormq") is None:
        raise ValueError("needs the extra amqp: pip install 'vaportrail[amqp]'")
    return found


def shown(address: str) -> str:
    """For logs: without user, password and parameters."""
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def with_heartbeat(address: str, seconds: int) -> str:
    """So that a broker that is away without a word is noticed, unless the operator has said otherwise."""
    parts = urlsplit(address)
    if "heartbeat" in parse_qs(parts.query):
        return address
    query = "&".join(filter(None, (parts.query, f"heartbeat={seconds}")))
    return parts._replace(query=query).geturl()
