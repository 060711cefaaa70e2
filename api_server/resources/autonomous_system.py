"""Autonomous system numbers, the system's own, and the route targets made automatically below it (contract 5.2,
5.11)."""

from api_server.errors import BadRequest
from api_server.resources.tenancy import SYSTEM_CONFIG
from api_server.store.objects import Object
from api_server.store.transaction import Transaction

TWO_BYTES, FOUR_BYTES = 2**16 - 1, 2**32 - 1


def system_config(tx: Transaction) -> Object | None:
    """There is one, unless it is being made."""
    return tx.get(tx.find("global-system-config", (SYSTEM_CONFIG,)) or "")


def global_asn(tx: Transaction) -> int | None:
    config = system_config(tx)
    number = config.properties.get("autonomous_system") if config is not None else None
    return int(number) if number else None


def check_asn(config: Object | None, number: object) -> None:
    """BadRequest if a number, when one is given, is too large for what the system's configuration allows."""
    four_bytes = config is not None and bool(config.properties.get("enable_4byte_as"))
    most = FOUR_BYTES if four_bytes else TWO_BYTES
    if number and not 1 <= int(str(number)) <= most:
        raise BadRequest(f"ASN out of range, should be between 1-0x{'FFFFFFFF' if four_bytes else 'FFFF'}")


def automatic(asn: int) -> range:
    """The numbers of the route targets that Contrail makes itself below a global autonomous system."""
    return range(8_000, 2**15 + 1) if asn > TWO_BYTES else range(8_000_000, 2**24 + 1)
