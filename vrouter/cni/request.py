"""What the runtime asks, from its variables and the network configuration on standard input.

The section `contrail` of the configuration is that of Contrail's plug-in, so that a file written for that one serves
here with another `type`.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import UUID

from vrouter.cni.answer import (
    BAD_CONFIGURATION,
    BAD_ENVIRONMENT,
    BAD_JSON,
    INCOMPATIBLE,
    VERSIONS,
    CniError,
)

T = TypeVar("T", str, int)

LARGEST = 1024 * 1024  # bytes of standard input
COMMANDS = ("ADD", "DEL", "CHECK", "VERSION")

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_INTERFACE = re.compile(r"(?!\.{1,2}$)[^\s/:]{1,15}")
_KUBERNETES = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class Configuration:
    """cluster: how kube-manager's names of virtual-machines begin. host, port: of the agent. patience: seconds until
    the agent must know the pod. mtu: of the link; None: the kernel's. previous: the result of this attachment's ADD, if
    the runtime hands it over."""

    version: str
    cluster: str
    host: str
    port: int
    patience: float
    mtu: int | None
    previous: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class Attachment:
    """container: its id. network: path of its network namespace, empty if there is none any more. machine: name of the
    pod's virtual-machine. pod: its uid, None if the runtime does not tell."""

    configuration: Configuration
    container: str
    network: str
    interface: str
    machine: str
    pod: str | None


def configuration(text: bytes) -> Configuration:
    """CniError."""
    document = parsed(text)
    version = document.get("cniVersion", "0.2.0")  # what a configuration without one is
    if version not in VERSIONS:
        raise CniError(INCOMPATIBLE, f"cniVersion {version!r} is not one of {', '.join(VERSIONS)}")
    name = document.get("name")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise CniError(BAD_CONFIGURATION, f"name is no network's name: {name!r}")
    section = document.get("contrail", {})
    if not isinstance(section, Mapping):
        raise CniError(BAD_CONFIGURATION, "contrail is not an object")
    previous = document.get("prevResult")
    if not isinstance(previous, Mapping | None):
        raise CniError(BAD_CONFIGURATION, "prevResult is not an object")
    port = _setting(section, "vrouter-port", 9091, 1, 65535)
    # Contrail's plug-in asks so many times, so many seconds apart
    patience = _setting(section, "poll-timeout", 3, 0, 3600) * _setting(section, "poll-retries", 5, 0, 3600)
    mtu = _setting(section, "mtu", 0, 0, 65535) or None
    host = _setting(section, "vrouter-ip", "127.0.0.1")
    return Configuration(version, _setting(section, "cluster-name", "k8s"), host, port, patience, mtu, previous)


def attachment(of: Configuration, environment: Mapping[str, str], command: str) -> Attachment:
    """CniError names the variable that is wrong."""
    container = _variable(environment, "CNI_CONTAINERID", _NAME)
    interface = _variable(environment, "CNI_IFNAME", _INTERFACE)
    network = environment.get("CNI_NETNS", "")
    if not network and command != "DEL":
        raise CniError(BAD_ENVIRONMENT, "CNI_NETNS is not set")
    if command == "ADD" and of.previous is not None:
        raise CniError(BAD_CONFIGURATION, "prevResult: this plug-in makes the interface, so it is the first of a list")
    if command == "DEL":  # the container says it all; what the pod was need not be known any more
        return Attachment(of, container, network, interface, "", None)
    arguments = dict(pair.partition("=")[::2] for pair in environment.get("CNI_ARGS", "").split(";"))
    namespace = _argument(arguments, "K8S_POD_NAMESPACE")
    name = _argument(arguments, "K8S_POD_NAME")
    uid = arguments.get("K8S_POD_UID", "")
    return Attachment(of, container, network, interface, f"{of.cluster}__{namespace}__{name}", _uid(uid))


def parsed(text: bytes) -> Mapping[str, Any]:
    """A JSON object. CniError."""
    try:
        document = json.loads(text)
    except ValueError as error:
        raise CniError(BAD_JSON, f"the network configuration is not JSON: {error}") from error
    if not isinstance(document, Mapping):
        raise CniError(BAD_CONFIGURATION, "the network configuration is not an object")
    return document


def _setting(section: Mapping[str, Any], name: str, default: T, least: int = 0, most: int = 0) -> T:
    value: T = section.get(name, default)
    if type(value) is not type(default) or (isinstance(value, int) and not least <= value <= most):
        wanted = f"a number from {least} to {most}" if isinstance(default, int) else "a text"
        raise CniError(BAD_CONFIGURATION, f"contrail.{name} is not {wanted}: {value!r}")
    return value


def _variable(environment: Mapping[str, str], name: str, pattern: re.Pattern[str]) -> str:
    value = environment.get(name, "")
    if not value:
        raise CniError(BAD_ENVIRONMENT, f"{name} is not set")
    if not pattern.fullmatch(value):
        raise CniError(BAD_ENVIRONMENT, f"{name} is not as the specification has it: {value!r}")
    return value


def _argument(arguments: Mapping[str, str], name: str) -> str:
    value = arguments.get(name, "")
    if not _KUBERNETES.fullmatch(value):
        text = f"CNI_ARGS: {name} is {repr(value) + ', which is no name' if value else 'missing'}"
        raise CniError(BAD_ENVIRONMENT, text)
    return value


def _uid(text: str) -> str | None:
    """None for what is no uid of the API's: kubelet has another for a static pod than its mirror, without hyphens."""
    try:
        return text if str(UUID(text)) == text else None
    except ValueError:
        return None
