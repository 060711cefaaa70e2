"""What an agent is told when it starts. Each value has a flag and an environment variable (see cli/vrouter.py)."""

import os
import re
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

INTROSPECT_PORT = 8085  # Contrail's agent uses it too
PORT_API_PORT = 9091  # and this one, which its port clients know

_PLAIN = re.compile(r"(?!\.)[A-Za-z0-9_.-]{1,48}")


@dataclass(frozen=True, slots=True)
class AgentSettings:
    """api: URL of the API server. node: this node's virtual-router, by name. backend: name of an entry point.
    create_workloads: make the workloads' namespaces; else plug into those that exist.
    external_interface: device of this machine by which the outside is reached, None without one.
    introspect_port: 0 takes any free one. port_api_port: the same; None: port clients are not heard, and no ports are
    read. ports_directory: where ports are kept; None: `default_ports_directory`."""

    api: str
    node: str
    backend: str = "netns"
    create_workloads: bool = False
    introspect_host: str = "127.0.0.1"
    introspect_port: int = INTROSPECT_PORT
    external_interface: str | None = None
    port_api_host: str = "127.0.0.1"
    port_api_port: int | None = None
    ports_directory: Path | None = None


def default_ports_directory(node: str) -> Path:
    """Root's is the machine's, a user's is in their home; each node has its own, as two can share a machine. To be
    asked before the process enters a user namespace, where everybody is root."""
    if os.geteuid() == 0:
        state = Path("/var/lib")
    else:
        state = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    name = node if _PLAIN.fullmatch(node) else f"x{blake2b(node.encode(), digest_size=8).hexdigest()}"
    return state / "vaportrail" / "ports" / name
