"""CHECK: whether all is still as ADD has made it, in the container and at the agent."""

from collections.abc import Collection, Mapping
from ipaddress import ip_address
from typing import Any

from vrouter.cni.add import addresses
from vrouter.cni.answer import BAD_CONFIGURATION, DIFFERENT, CniError
from vrouter.cni.client import Client
from vrouter.cni.container import Container
from vrouter.cni.request import Attachment
from vrouter.state import Address


def check(attachment: Attachment) -> None:
    """CniError says what is not."""
    previous = attachment.configuration.previous
    if previous is None:
        raise CniError(BAD_CONFIGURATION, "prevResult is missing; CHECK compares with it")
    client = Client(attachment)
    with Container(attachment.network) as container:
        for wanted in client.wanted(wait=False):
            told = _told(previous, wanted.name)
            container.check(wanted.name, wanted.mac, told)
            known = {one.address for one in addresses(client.standing(wanted, wait=False))}
            if told != known:
                text = f"{wanted.name} has been given {_listed(told)}, and should have {_listed(known)}"
                raise CniError(DIFFERENT, text)


def _told(previous: Mapping[str, Any], name: str) -> set[Address]:
    """The addresses that the runtime was told of an interface."""
    try:
        names = [row["name"] for row in previous["interfaces"]]
        ips = [row for row in previous.get("ips", ()) if names[row["interface"]] == name]
        return {ip_address(row["address"].partition("/")[0]) for row in ips}
    except (KeyError, TypeError, IndexError, AttributeError, ValueError) as error:
        raise CniError(BAD_CONFIGURATION, f"prevResult is no result of an ADD ({type(error).__name__})") from error


def _listed(addresses: Collection[Address]) -> str:
    return " and ".join(sorted(map(str, addresses))) or "no address"
