"""What port clients have said."""

from typing import Any

from starlette.requests import Request

from vrouter.introspect.sources import Sources


async def ports(sources: Sources, request: Request) -> Any:
    """by: the path that it came by. state: of its interface; pending also while no object has it."""
    return [
        {"interface": port.interface, "name": sources.interface_name(port.interface), "device": port.plug.device,
         "machine": port.machine, "container": port.container or None, "by": "/vm" if port.is_vm else "/port",
         **sources.state(("interface", port.interface))}
        for port in sources.ports.all()
    ]  # fmt: skip
