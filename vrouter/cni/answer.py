"""What the runtime is told: results in the shape of the version it speaks, and errors."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

VERSIONS = ("0.3.1", "0.4.0", "1.0.0")
NEWEST = VERSIONS[-1]

# Codes of the specification; from 100 on they are a plug-in's own.
INCOMPATIBLE, NO_CONTAINER, BAD_ENVIRONMENT, IO_FAILURE, BAD_JSON, BAD_CONFIGURATION, TRY_AGAIN = 1, 3, 4, 5, 6, 7, 11
IN_THE_WAY, DIFFERENT = 100, 101

_EVERYTHING = {4: "0.0.0.0/0", 6: "::/0"}


class CniError(Exception):
    """code: see above. text: a sentence for people."""

    def __init__(self, code: int, text: str, details: str = "") -> None:
        super().__init__(text)
        self.code = code
        self.details = details


@dataclass(frozen=True, slots=True)
class Plugged:
    """One interface in the container. addresses: (address, gateway) of each family. dns: name servers."""

    name: str
    mac: str
    addresses: Sequence[tuple[str, str]]
    dns: Sequence[str]


def result(version: str, sandbox: str, plugged: Sequence[Plugged]) -> dict[str, Any]:
    """The first one has the default routes. Addresses are host addresses, as they are configured."""
    ips = [
        {**({} if version >= "1.0.0" else {"version": "6" if ":" in address else "4"}),
         "address": f"{address}/{128 if ':' in address else 32}", "gateway": gateway, "interface": number}
        for number, one in enumerate(plugged) for address, gateway in one.addresses
    ]  # fmt: skip
    return {
        "cniVersion": version,
        "interfaces": [{"name": one.name, "mac": one.mac, "sandbox": sandbox} for one in plugged],
        "ips": ips,
        "routes": [
            {"dst": _EVERYTHING[6 if ":" in gateway else 4], "gw": gateway} for _, gateway in plugged[0].addresses
        ],
        "dns": {"nameservers": list(plugged[0].dns)},
    }


def versions(spoken: str) -> dict[str, Any]:
    return {"cniVersion": spoken if spoken in VERSIONS else NEWEST, "supportedVersions": list(VERSIONS)}


def failure(version: str, error: CniError) -> Mapping[str, Any]:
    told: dict[str, Any] = {"cniVersion": version, "code": error.code, "msg": str(error)}
    return told | ({"details": error.details} if error.details else {})
