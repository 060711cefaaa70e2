"""Where the agent listens for port clients."""

from collections.abc import Awaitable, Callable

from api_client import ApiClient
from vrouter.cache import Cache
from vrouter.compiler import Compiler
from vrouter.ports.requests import Requests
from vrouter.ports.table import Ports
from vrouter.reconciler import Reconciler
from vrouter.settings import AgentSettings
from vrouter.window import Window


class PortApi:
    """settled: as `Requests` has it. Listens nowhere if the settings name no port."""

    def __init__(
        self,
        settings: AgentSettings,
        ports: Ports,
        cache: Cache,
        compiler: Compiler,
        reconciler: Reconciler,
        settled: Callable[[float], Awaitable[bool]],
    ) -> None:
        self._ports = ports
        self._requests = Requests(settings.node, ports, cache, compiler, reconciler, settled)
        port = settings.port_api_port
        self._window = None if port is None else Window("port API", "--port-api-port", settings.port_api_host, port)

    def start(self) -> None:
        """Listen. OSError if the port is taken."""
        if self._window is not None:
            self._window.open(self._requests)

    def meet(self, api: ApiClient) -> None:
        """From now on, what the agent does not keep is asked there."""
        self._requests.api = api

    async def listening(self) -> str | None:
        """Its URL, once it listens; None if it does not."""
        return await self._window.listening() if self._window else None

    async def close(self) -> None:
        if self._window is not None:
            await self._window.close()
        await self._ports.close()
