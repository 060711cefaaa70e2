"""What is told of an interface: the documents of Contrail's agent, from what the compiler has made of it."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from vrouter.cache import Cache, children_of, referrers_of, router_of
from vrouter.compiler import Compiler
from vrouter.compiler.interfaces import machines_of
from vrouter.compiler.view import Located, Network, Subnet
from vrouter.ports.port import Port
from vrouter.state import Address, Interface

_NO_VLAN = -1
_NOBODY = "00000000-0000-0000-0000-000000000000"
_UNSPECIFIED: Mapping[int, str] = {4: "0.0.0.0", 6: "::"}  # noqa: S104  # an address in an answer, not to listen on


def local(compiler: Compiler, interface: str) -> Interface | None:
    """The interface, if it is this node's and can stand."""
    result = compiler.result(("interface", interface))
    located = result.value if result else None
    return located.interface if isinstance(located, Located) and isinstance(located.interface, Interface) else None


def network_of(compiler: Compiler, interface: str) -> Network | None:
    """In which a located interface is."""
    result = compiler.result(("interface", interface))
    located = result.value if result else None
    network = compiler.result(("network", located.network)) if isinstance(located, Located) else None
    return network.value if network and isinstance(network.value, Network) else None


def interfaces_of(cache: Cache, machine: str) -> list[str]:
    """uuids of a virtual-machine's interfaces."""
    kind = "virtual-machine-interface"
    return sorted({*cache.linked(referrers_of(machine, kind)), *cache.linked(children_of(machine, kind))})


def machine_named(cache: Cache, node: str, name: str) -> str | None:
    """uuid of the virtual-machine of that name among those that the node's virtual-router references."""
    for router in cache.linked(router_of(node)):
        found = cache.get(router)
        for machine in found.targets("virtual-machine") if found else ():
            of_it = cache.get(machine)
            if of_it is not None and of_it.name == name:
                return machine
    return None


def interface(cache: Cache, compiler: Compiler, port: Port | None, unit: Interface) -> dict[str, Any]:
    """As it stands: what a port client needs to set the other end up."""
    known, network = cache.get(unit.uuid), network_of(compiler, unit.uuid)
    machines, said = machines_of(known) if known else [], port.document if port else {}
    answer = {
        "id": unit.uuid,
        "instance-id": next(iter(machines), port.machine if port else _NOBODY),
        "vn-id": network.uuid if network else _NOBODY,
        "vm-project-id": said.get("vm-project-id") or (known.parent if known else None) or _NOBODY,
        "mac-address": unit.mac,
        "system-name": unit.device,
        "rx-vlan-id": _NO_VLAN,
        "tx-vlan-id": _NO_VLAN,
        "vhostuser-mode": 0,
    }
    for one in unit.addresses:
        version = one.address.version
        subnet, family = _subnet(network, one.address), "" if version == 4 else "v6-"
        answer[f"{family}ip-address"] = str(one.address)
        if version == 4:
            answer["plen"] = subnet.network.prefixlen if subnet else one.address.max_prefixlen
        answer[f"{family}dns-server"] = str(subnet.dns) if subnet and subnet.dns else _UNSPECIFIED[version]
        answer[f"{family}gateway"] = str(one.gateway)
    return answer | {"author": "vaportrail", "time": datetime.now(UTC).isoformat(" ")}


def configuration(compiler: Compiler, unit: Interface, machine: str, annotations: Mapping[str, str]) -> dict[str, Any]:
    """As the objects say, before anything stands: what a CNI plug-in needs to make the link. Annotations are written as
    Contrail's plug-in takes them apart."""
    network = network_of(compiler, unit.uuid)
    return {
        "id": unit.uuid,
        "vm-uuid": machine,
        "vn-id": network.uuid if network else _NOBODY,
        "vn-name": network.name if network else "",
        "mac-address": unit.mac,
        "sub-interface": False,
        "vlan-id": _NO_VLAN,
        "annotations": [f"{{{key}:{value}}}" for key, value in annotations.items()],
    }


def _subnet(network: Network | None, address: Address) -> Subnet | None:
    subnets = network.subnets if network else ()
    return next((subnet for subnet in subnets if address in subnet.network), None)
