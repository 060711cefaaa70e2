"""A port, and the two documents that say it: `/port` takes one of Nova's making, `/vm` one of a CNI plug-in's.

Fields and words of refusal are those of Contrail's agent, which its clients were written against. Two things are
stricter here, as both end up in the kernel or on disk: the interface's uuid must be one, and the device's name must be
one that Linux takes.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from vrouter.state import Plug

_DEVICE = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9_.-]{1,15}")
_MAC = re.compile(r"(?!0+(:0+){5}$)[0-9A-Fa-f]{1,2}(:[0-9A-Fa-f]{1,2}){5}")

NOVA, NAMESPACE, REMOTE = range(3)  # `type` of `/port`

# In the order in which a missing one is named.
_PORT_FIELDS = (
    ("id", "uuid"), ("instance-id", "uuid"), ("vn-id", "uuid"), ("vm-project-id", "uuid"), ("display-name", "text"),
    ("ip-address", "text"), ("ip6-address", "text"), ("type", "number"), ("system-name", "text"),
    ("mac-address", "text"), ("rx-vlan-id", "number"), ("tx-vlan-id", "number"),
)  # fmt: skip
_VM_FIELDS = (
    ("vm-uuid", "uuid"), ("host-ifname", "text"), ("vm-name", "text"), ("vn-uuid", "uuid"), ("vmi-uuid", "uuid"),
)  # fmt: skip


class BadPort(Exception):
    """A document that says no port, in Contrail's words."""


@dataclass(frozen=True, slots=True)
class Port:
    """interface, machine: uuids. device: its name on this machine. renewed: its client says it again when it starts
    anew, so it is stale if it does not. document: as it was sent."""

    interface: str
    plug: Plug
    renewed: bool
    document: Mapping[str, Any]

    @property
    def machine(self) -> str:
        return self.plug.machine

    @property
    def network(self) -> str | None:
        """uuid of the virtual-network that it names."""
        return _parsed(self.document["vn-uuid" if self.is_vm else "vn-id"])

    @property
    def is_vm(self) -> bool:
        """Whether it came by `/vm`."""
        return "vm-uuid" in self.document

    @property
    def container(self) -> str:
        """Id of the container that was plugged; empty if it was not said."""
        return str(self.document.get("vm-id") or "") if self.is_vm else ""


def of_document(document: Any) -> Port:
    """Of either kind, as a file has it. BadPort."""
    return of_vm(document) if isinstance(document, Mapping) and "vm-uuid" in document else of_port(document)


def of_port(document: Any) -> Port:
    """From an object that was posted to `/port`. BadPort."""
    _require(document, _PORT_FIELDS)
    interface, kind = _uuid(document, "id"), document["type"]
    if kind == NOVA and _parsed(document["vn-id"]) is None:
        raise BadPort("Invalid VN uuid")
    if kind == REMOTE:
        raise BadPort("Ports of type 2, which have no device on this machine, are not supported")
    if not _MAC.fullmatch(document["mac-address"]):
        raise BadPort("Invalid MAC, Use xx:xx:xx:xx:xx:xx format")
    machine = _parsed(document["instance-id"]) or interface
    plug = Plug(_device(document, "system-name"), machine)
    return Port(interface, plug, kind != NAMESPACE, document)


def of_vm(document: Any) -> Port:
    """From the object that was posted to `/vm`. BadPort. A runtime plugs a pod once and never says so again."""
    _require(document, _VM_FIELDS)
    interface, machine = _uuid(document, "vmi-uuid"), _uuid(document, "vm-uuid")
    return Port(interface, Plug(_device(document, "host-ifname"), machine), False, document)


def _require(document: Any, fields: tuple[tuple[str, str], ...]) -> None:
    if not isinstance(document, Mapping):
        raise BadPort("Unexpected Json string")
    for field, kind in fields:
        value = document.get(field)
        if kind == "number" and not (isinstance(value, int) and not isinstance(value, bool)):
            raise BadPort(f"Invalid or missing field for <{field}>")
        if kind != "number" and not isinstance(value, str):
            raise BadPort(f"Invalid or missing {'data' if kind == 'uuid' else 'field'} for <{field}>")


def _uuid(document: Mapping[str, Any], field: str) -> str:
    found = _parsed(document[field])
    if found is None:
        raise BadPort(f"Invalid or missing data for <{field}>")
    return found


def _device(document: Mapping[str, Any], field: str) -> str:
    name: str = document[field]
    if not _DEVICE.fullmatch(name):
        raise BadPort(f"Invalid or missing field for <{field}>")
    return name


def _parsed(text: str) -> str | None:
    """A uuid as it is written everywhere; none for one of zeros."""
    try:
        found = UUID(text)
    except ValueError:
        return None
    return str(found) if found.int else None
