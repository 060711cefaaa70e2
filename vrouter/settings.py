"""What an agent is told when it starts. Each value has a flag and an environment variable (see cli/vrouter.py)."""

from dataclasses import dataclass

INTROSPECT_PORT = 8085  # Contrail's agent uses it too


@dataclass(frozen=True, slots=True)
class AgentSettings:
    """api: URL of the API server. node: this node's virtual-router, by name. backend: name of an entry point.
    create_workloads: make the workloads' namespaces; else plug into those that exist.
    introspect_port: 0 takes any free one."""

    api: str
    node: str
    backend: str = "netns"
    create_workloads: bool = False
    introspect_host: str = "127.0.0.1"
    introspect_port: int = INTROSPECT_PORT
