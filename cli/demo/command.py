"""`vaportrail demo`: starts everything, tells the story, stays up to play with, and cleans up all it made."""

import asyncio
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.output import fail
from vrouter.settings import INTROSPECT_PORT

if TYPE_CHECKING:
    from cli.demo.narrator import Narrator
    from cli.demo.programs import Program
    from cli.demo.stage import Stage

NODE = "demo"
SERVICE = "ns-user-1-service-web-clusterip"
SERVER_PORT = 8082  # as INTROSPECT_PORT the default, so that the lines to try need no options


class Backend(StrEnum):
    auto = "auto"
    netns = "netns"
    simulator = "simulator"


def demo(
    once: Annotated[bool, typer.Option("--once", help="End when the story is told.")] = False,
    backend: Annotated[
        Backend, typer.Option(help="auto: network namespaces where possible, else the simulator.")
    ] = Backend.auto,
    nodes: Annotated[
        int, typer.Option(min=1, max=9, help="Hosts, each a network namespace with an agent of its own.")
    ] = 1,
) -> None:
    """The whole of it in a minute: server, agent, a lab built through REST, its ECMP route, real traffic."""
    if nodes == 1:
        raise typer.Exit(asyncio.run(_run(lambda narrator: _play(narrator, once, backend))))
    if backend == Backend.simulator:
        fail("several nodes need network namespaces: the simulator has no network between them", 2)
    raise typer.Exit(_on_hosts(once, nodes))


def _on_hosts(once: bool, nodes: int) -> int:
    from cli.demo.cluster import Cluster
    from vrouter import namespace
    from vrouter.backends.protocol import BackendError

    try:
        namespace.enter()
    except BackendError as error:
        fail(str(error))
    return asyncio.run(_run(lambda narrator: Cluster(narrator, nodes).play(once)))


async def _run(tell: "Callable[[Narrator], Coroutine[None, None, None]]") -> int:
    from cli.demo.narrator import Narrator

    narrator = Narrator()
    play = asyncio.create_task(tell(narrator))
    for name in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(name, play.cancel)
    try:
        await play
    except asyncio.CancelledError:
        narrator.say("")
        narrator.say("Stopped. Everything the demo made is gone.")
    except Exception as error:  # noqa: BLE001  # whatever it was: the lab is cleaned up, and the reader gets a sentence
        fail(f"the demo failed: {error}")
    return 0


async def _play(narrator: "Narrator", once: bool, backend: Backend) -> None:
    from api_client import ApiClient
    from cli.demo.programs import Program
    from cli.demo.story import Story

    with tempfile.TemporaryDirectory(prefix="vaportrail-demo-") as folder:
        narrator.step("The API server and the vRouter agent start")
        port = str(_free(SERVER_PORT))
        narrator.command("vaportrail", "serve", "--port", port, "--database", f"sqlite:///{folder}/demo.db")
        with Program("serve", "--port", port, "--database", f"sqlite:///{folder}/demo.db") as server:
            url = await asyncio.to_thread(server.wait_ready)
            async with _stage(narrator, url, backend) as stage, ApiClient(url) as client:
                await Story(client, stage, narrator, url, NODE).tell()
                if not once:
                    _invite(narrator, url, stage)
                    await asyncio.Event().wait()


@asynccontextmanager
async def _stage(narrator: "Narrator", url: str, backend: Backend) -> "AsyncIterator[Stage]":
    """The agent and what it forwards with; on the way out nothing of it is left."""
    from cli.demo.programs import Program, ProgramFailed

    introspect = str(_free(INTROSPECT_PORT))
    command = ("vrouter", "--api", url, "--node", NODE)
    if backend != Backend.simulator:
        from cli.demo.kernel import KernelStage

        options = ("--workloads", "create", "--introspect-port", introspect)
        narrator.command("vaportrail", *command, *options)
        agent = Program(*command, *options)
        stage = KernelStage(await asyncio.to_thread(_ready, agent))
        try:
            if stage.introspect:
                yield stage
                return
        finally:
            await stage.stop()
            await asyncio.to_thread(agent.stop)
            await asyncio.to_thread(Program(*command, "--cleanup").process.wait)
        why = next((line for line in reversed(agent.lines) if line.startswith("vaportrail: ")), "it did not start")
        if backend == Backend.netns:
            raise ProgramFailed(why.removeprefix("vaportrail: "))
        narrator.say(f"No network namespaces here ({why.removeprefix('vaportrail: ')}).")

    from cli.demo.simulated import SimulatedStage
    from vrouter.settings import AgentSettings

    narrator.say("The data plane is the simulator: the same objects, routes and flows, but packets made of Python.")
    simulated = SimulatedStage(AgentSettings(api=url, node=NODE, introspect_port=int(introspect)))
    await simulated.start()
    try:
        yield simulated
    finally:
        await simulated.stop()


def _ready(agent: "Program") -> str:
    """Its URL; empty if it did not start."""
    from cli.demo.programs import ProgramFailed

    try:
        return agent.wait_ready()
    except ProgramFailed:
        return ""


def _free(port: int) -> int:
    """This port if nobody has it, else 0: any."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return 0
    return port


def _invite(narrator: "Narrator", url: str, stage: "Stage") -> None:
    from cli.demo.kernel import KernelStage
    from cli.demo.story import CLIENT

    narrator.step("Yours to play with, until Ctrl-C")
    if shutil.which("vaportrail") is None:
        narrator.say(f"vaportrail is {Path(sys.executable).with_name('vaportrail')}")
    narrator.command("curl", "-s", f"{url}/loadbalancers?detail=true")
    api = () if url.endswith(f":{SERVER_PORT}") else ("--api", url)
    narrator.command("vaportrail", "tree", f"loadbalancer/{SERVICE}", *api)
    narrator.command("vaportrail", "service", "show", SERVICE, *api)
    option = () if stage.introspect.endswith(f":{INTROSPECT_PORT}") else ("--introspect", stage.introspect)
    for words in (("rt",), ("nh",), ("vif",), ("flow",), ("why", SERVICE), ("status",)):
        narrator.command("vaportrail", *words, *option)
    if isinstance(stage, KernelStage):
        narrator.command("vaportrail", "exec", CLIENT, "curl", "-s", "http://10.105.139.153:8888/")
    narrator.say(f"The API, with every type and field: {url}/docs")
