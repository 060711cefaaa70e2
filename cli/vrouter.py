"""`vaportrail vrouter`: the agent of one node."""

import platform
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli import log
from cli.loading import lasting
from cli.output import fail
from vrouter.settings import INTROSPECT_PORT, PORT_API_PORT
from vrouter.state import FLOW_LIMIT

if TYPE_CHECKING:
    from vrouter.backends.protocol import Backend
    from vrouter.settings import AgentSettings


class Workloads(StrEnum):
    create = "create"
    attach = "attach"


def vrouter(
    api: Annotated[
        str, typer.Option(metavar="URL", envvar="VAPORTRAIL_API", help="The API server.")
    ] = "http://127.0.0.1:8082",
    node: Annotated[
        str | None,
        typer.Option(
            envvar="VAPORTRAIL_NODE", help="Name of this node's virtual-router.", show_default="the host name"
        ),
    ] = None,
    backend: Annotated[
        str, typer.Option(envvar="VAPORTRAIL_BACKEND", help="What forwards: netns (Linux), simulator, or a plug-in.")
    ] = "netns",
    workloads: Annotated[
        Workloads,
        typer.Option(
            envvar="VAPORTRAIL_WORKLOADS", help="Make the workloads' namespaces, or plug into those that exist."
        ),
    ] = Workloads.attach,
    flow_limit: Annotated[
        int,
        typer.Option(
            envvar="VAPORTRAIL_FLOW_LIMIT",
            min=1,
            max=1 << 24,
            help="Flows of one protocol in one VRF; beyond, new ones are refused.",
        ),
    ] = FLOW_LIMIT,
    introspect_port: Annotated[
        int,
        typer.Option(
            envvar="VAPORTRAIL_INTROSPECT_PORT",
            min=0,
            max=65535,
            help="For introspection on 127.0.0.1; 0 takes a free one.",
        ),
    ] = INTROSPECT_PORT,
    port_api: Annotated[
        bool, typer.Option(envvar="VAPORTRAIL_PORT_API", help="Hear port clients: Nova, vaportrail-cni.")
    ] = True,
    port_api_port: Annotated[
        int,
        typer.Option(
            envvar="VAPORTRAIL_PORT_API_PORT", min=0, max=65535, help="For them on 127.0.0.1; 0 takes a free one."
        ),
    ] = PORT_API_PORT,
    ports_directory: Annotated[
        Path | None,
        typer.Option(
            envvar="VAPORTRAIL_PORTS_DIRECTORY",
            metavar="DIRECTORY",
            help="Where their ports are kept.",
            show_default="/var/lib/vaportrail/ports/NODE",
        ),
    ] = None,
    external_interface: Annotated[
        str | None,
        typer.Option(
            envvar="VAPORTRAIL_EXTERNAL_INTERFACE",
            metavar="DEVICE",
            help="By which the outside reaches this machine: floating-ips of external networks are served there.",
            show_default="none are served",
        ),
    ] = None,
    cleanup: Annotated[
        bool, typer.Option("--cleanup", help="Remove all that agents of this node ever made here, and end.")
    ] = False,
    log_format: log.FormatOption = log.LogFormat.text,
    log_level: log.LevelOption = log.LogLevel.info,
) -> None:
    """Run the vRouter agent, until Ctrl-C or SIGTERM; what it made goes on forwarding."""
    with lasting():
        from api_client import ApiError, ClientError
        from vrouter import backends
        from vrouter.backends.protocol import BackendError, BackendSettings
        from vrouter.settings import AgentSettings, default_ports_directory

    node = node or platform.node()
    settings = AgentSettings(
        api, node, backend, workloads is Workloads.create, introspect_port=introspect_port,
        external_interface=external_interface,
        port_api_port=port_api_port if port_api else None,
        ports_directory=ports_directory or default_ports_directory(node),
    )  # fmt: skip
    log.configure(log_format, log_level)
    try:
        forwarding = backends.load(backend, BackendSettings(settings.node, settings.create_workloads, flow_limit))
        if cleanup:
            _clean_up(forwarding, settings.node)
        else:
            _run(settings, forwarding)
    except ApiError as error:
        fail(f"{api} does not let itself be watched ({error}); is it the API server?")
    except OSError as error:
        fail(error.strerror or str(error))
    except (BackendError, ClientError) as error:
        fail(str(error))


def _clean_up(backend: "Backend", node: str) -> None:
    backend.open()
    removed = backend.cleanup()
    for line in removed:
        typer.echo(f"removed {line}")
    if not removed:
        typer.echo(f"nothing of node {node} is here")
    backend.close()


def _run(settings: "AgentSettings", backend: "Backend") -> None:
    with lasting():
        import asyncio
        import signal

        from vrouter.agent import Agent
        from vrouter.garbage import spare

    async def run() -> None:
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        agent = Agent(settings, backend)
        beside = [asyncio.create_task(announce(agent)), asyncio.create_task(spare(agent.progress))]
        try:
            await agent.run(stop)
        finally:
            for task in beside:
                task.cancel()

    async def announce(agent: Agent) -> None:
        ports = await agent.port_api.listening()
        url = await agent.introspect.listening()
        typer.echo(f"vaportrail: agent of node {settings.node}, introspection listening on {url} (API server "
                   f"{settings.api}, backend {settings.backend}, port API {ports or 'off'})")  # fmt: skip

    asyncio.run(run())
