"""ADD: the pod gets its interfaces, and they work when the runtime is answered."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from ipaddress import ip_address
from typing import Any

from vrouter.cni.answer import CniError, Plugged, result
from vrouter.cni.client import Client
from vrouter.cni.container import Container, device_of
from vrouter.cni.request import Attachment
from vrouter.state import HostAddress

_NONE = ("0.0.0.0", "::")  # noqa: S104  # addresses in an answer


def add(attachment: Attachment) -> Mapping[str, Any]:
    """The result. CniError: nothing is left of what was begun."""
    client, configuration = Client(attachment), attachment.configuration
    with Container(attachment.network) as container:
        wanted = client.wanted()
        made: list[str] = []
        try:
            for one in wanted:
                device = device_of(attachment.container, one.interface)
                container.link(one.name, device, one.mac, configuration.mtu)
                made.append(one.name)
                client.add(one, device)
            plugged = []
            for one in wanted:
                said = client.standing(one)
                container.configure(one.name, addresses(said), one.number)
                plugged.append(_plugged(one.name, one.mac, said))
        except BaseException:
            with suppress(CniError):
                client.remove()
            for name in made:
                with suppress(CniError):
                    container.remove(name)
            raise
    return result(configuration.version, attachment.network, plugged)


def addresses(said: Mapping[str, Any]) -> Sequence[HostAddress]:
    """What the agent says of an interface's addresses, IPv4 first."""
    return [
        HostAddress(ip_address(said[f"{family}ip-address"]), ip_address(said[f"{family}gateway"]))
        for family in ("", "v6-")
        if f"{family}ip-address" in said
    ]


def _plugged(name: str, mac: str, said: Mapping[str, Any]) -> Plugged:
    servers = (said.get("dns-server"), said.get("v6-dns-server"))
    pairs = [(str(one.address), str(one.gateway)) for one in addresses(said)]
    return Plugged(name, mac, pairs, [server for server in servers if server and server not in _NONE])
