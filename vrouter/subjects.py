"""What a person means by a word: a service, a part of one, or a pod."""

from collections.abc import Iterator
from ipaddress import ip_address

from vrouter.cache import Cache
from vrouter.compiler.view import View
from vrouter.objects import Object

INTERFACE = "virtual-machine-interface"


class Subjects:
    def __init__(self, cache: Cache, view: View) -> None:
        self._cache = cache
        self._view = view

    def called(self, text: str) -> list[Object]:
        """All that may be meant: by uuid, fq_name, its last part, workload, address, or `address:port` of a VIP; each
        once."""
        found = list(self._meant(text))
        for machine in [one for one in found if one.type == "virtual-machine"]:
            found += self._interfaces_of(machine)
        return list({one.uuid: one for one in found}.values())

    def _meant(self, text: str) -> Iterator[Object]:
        """An address is looked up; a name is looked for among all objects."""
        host, port = split(text)
        if port is None and _is_address(host):
            yield from self._by_address(host)
            return
        if not _is_address(host):
            yield from self._cache.find(text)
            yield from self._by_display(text)
        if port is not None:
            yield from self._listeners(host, port)

    def pods(self, text: str) -> list[Object]:
        """The interfaces among them that are no VIP's."""
        return [
            one for one in self.called(text)
            if one.type == INTERFACE and not self._view.referrers(one.uuid, "loadbalancer")
        ]  # fmt: skip

    def services(self, text: str) -> list[Object]:
        """The loadbalancers among them."""
        return [one for one in self.called(text) if one.type == "loadbalancer"]

    def _by_display(self, text: str) -> Iterator[Object]:
        """`ns-service` and `service` for kube-manager's `service__<uuid>`."""
        for uuid in self._cache.of_type("loadbalancer"):
            found = self._cache.get(uuid)
            if found is not None and found.name.split("__")[0] == text:
                yield found

    def _by_address(self, text: str) -> Iterator[Object]:
        """The services and interfaces that an instance-ip with this address belongs to."""
        for holding in self._view.holders(canonical(text)):
            found = self._cache.get(holding)
            for uuid in found.targets(INTERFACE) if found else ():
                owners = self._view.referrers(uuid, "loadbalancer")
                yield from (one for one in map(self._cache.get, owners or [uuid]) if one is not None)

    def _listeners(self, host: str, port: int) -> Iterator[Object]:
        """Of `VIP:PORT` or `SERVICE:PORT`."""
        for service in (one for one in self.called(host) if one.type == "loadbalancer"):
            for uuid in self._view.referrers(service.uuid, "loadbalancer-listener"):
                found = self._cache.get(uuid)
                if found is not None and _port(found) == port:
                    yield found

    def _interfaces_of(self, machine: Object) -> Iterator[Object]:
        below = (one.uuid for one in self._view.children(machine.uuid, INTERFACE))
        uuids = {*self._view.referrers(machine.uuid, INTERFACE), *below}
        return (one for one in map(self._cache.get, sorted(uuids)) if one is not None)


def split(text: str) -> tuple[str, int | None]:
    """`host:port` or `[address]:port` -> (host, port). port is None where there is none, as in an address of IPv6."""
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535 or _is_address(text):
        return text.strip("[]"), None
    return host.strip("[]"), int(port)


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def canonical(text: str) -> str:
    """An address as instance-ips have it; what is none, as it is."""
    return str(ip_address(text)) if _is_address(text) else text


def _port(listener: Object) -> int | None:
    value = (listener.get("loadbalancer_listener_properties") or {}).get("protocol_port")
    return int(str(value)) if str(value).isdecimal() else None
