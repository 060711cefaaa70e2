"""What port clients ask, and what they hear: paths, statuses and words are those of Contrail's agent.

A refusal is `{"error": "{ words }"}`, with status 500 where the fault is in what was sent, too.
"""

import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from api_client import ApiClient, ApiError, ClientError
from vrouter.cache import Cache
from vrouter.compiler import Compiler
from vrouter.compiler.view import Absent
from vrouter.ports import answers
from vrouter.ports.port import BadPort, of_port, of_vm
from vrouter.ports.table import Ports
from vrouter.reconciler import Reconciler
from vrouter.state import Interface, Key
from vrouter.window import TooLarge, body_of

LARGEST_BODY = 1024 * 1024  # bytes
LET_GO_WITHIN = 5.0  # seconds an answer to DELETE waits for the device to be given back

_UUID = r"([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})"


class Refusal(Exception):
    """Becomes an answer with these words."""

    def __init__(self, words: str, status: int = 500, reason: str = "") -> None:
        super().__init__(words)
        self.status = status
        self.body = {"error": words} | ({"reason": reason} if reason else {})


class NotFound(Refusal):
    """reason: a clause for people, beside Contrail's words."""

    def __init__(self, reason: str = "") -> None:
        super().__init__("{ Not Found }", 404, reason)


Handler = Callable[["Requests", Request, tuple[str, ...]], Awaitable[Any]]


class Requests:
    """An ASGI application. api: who is asked for annotations, once the agent knows the server. settled: returns when
    what has changed is done, or after so many seconds."""

    def __init__(
        self,
        node: str,
        ports: Ports,
        cache: Cache,
        compiler: Compiler,
        reconciler: Reconciler,
        settled: Callable[[float], Awaitable[bool]],
    ) -> None:
        self.api: ApiClient | None = None
        self._node = node
        self._ports = ports
        self._cache = cache
        self._compiler = compiler
        self._reconciler = reconciler
        self._settled = settled

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        request = Request(scope, receive)
        try:
            body, status = await self._answer(request), 200
        except Refusal as refusal:
            body, status = refusal.body, refusal.status
        except BadPort as error:
            body, status = {"error": f"{{ {error} }}"}, 500
        except OSError as error:
            body, status = {"error": f"{{ Ports cannot be kept: {error.strerror or error} }}"}, 500
        content = orjson.dumps(body, option=orjson.OPT_INDENT_2)
        await Response(content, status, media_type="application/json; charset=UTF-8")(scope, receive, send)

    async def _answer(self, request: Request) -> Any:
        if "origin" in request.headers:
            raise Refusal("{ Not for pages of a browser }", 403)
        for method, path, handler in HANDLERS:
            if request.method == method and (match := path.fullmatch(request.url.path)):
                return await handler(self, request, match.groups())
        raise Refusal("Unknown Request", 404)

    # --- handlers

    async def add_ports(self, request: Request, _: tuple[str, ...]) -> Any:
        document = await self._document(request)
        ports = [of_port(each) for each in (document if isinstance(document, list) else [document])]
        await self._ports.add(ports)
        return {}

    async def add_vm(self, request: Request, _: tuple[str, ...]) -> Any:
        await self._ports.add([of_vm(await self._document(request))])
        return {}

    async def delete_port(self, request: Request, path: tuple[str, ...]) -> Any:
        return await self._remove(path)

    async def delete_vm(self, request: Request, path: tuple[str, ...]) -> Any:
        return await self._remove(self._ports.of_machine(path[0], await self._container(request)))

    async def delete_container(self, request: Request, _: tuple[str, ...]) -> Any:
        """What a container's plug-in added, also when nobody knows any more which pod that was. Not of Contrail's."""
        container = await self._container(request)
        if not container:
            raise BadPort("Invalid or missing field for <vm-id>")
        return await self._remove(self._ports.of_container(container))

    async def get_port(self, request: Request, path: tuple[str, ...]) -> Any:
        found = answers.local(self._compiler, path[0])
        if found is None:
            raise NotFound(self._absence(path[0]))
        return answers.interface(self._cache, self._compiler, self._ports.get(path[0]), found)

    async def get_vm(self, request: Request, path: tuple[str, ...]) -> Any:
        """Of all its interfaces, or of one, as soon as they stand."""
        machine, *chosen = path
        interfaces = chosen or sorted({*answers.interfaces_of(self._cache, machine), *self._ports.of_machine(machine)})
        found = [self._standing(uuid) for uuid in interfaces]
        if not found:
            raise NotFound
        return found

    async def get_configuration(self, request: Request, path: tuple[str, ...]) -> Any:
        """Of all interfaces of the virtual-machine of that name."""
        machine = answers.machine_named(self._cache, self._node, path[0])
        interfaces = answers.interfaces_of(self._cache, machine) if machine else []
        found = [one for uuid in interfaces if (one := answers.local(self._compiler, uuid))]
        if machine is None:
            raise NotFound(f"no virtual-machine {path[0]} is on node {self._node}")
        if not found or len(found) < len(interfaces):
            lacking = [self._absence(uuid) for uuid in interfaces if answers.local(self._compiler, uuid) is None]
            raise NotFound("; ".join(lacking) or f"virtual-machine {path[0]} has no interface")
        return [answers.configuration(self._compiler, one, machine, await self._annotations(one.uuid)) for one in found]

    async def sync(self, request: Request, _: tuple[str, ...]) -> Any:
        self._ports.sync()
        return {}

    async def switch(self, request: Request, path: tuple[str, ...]) -> Any:
        """Only ports without a device here have a state to be switched, and there are none."""
        known = self._ports.get(path[0])
        raise Refusal(f"{{Incorrect Port type for {path[0]}}}" if known else f"{{Port Not found {path[0]}}}")

    async def unsupported(self, request: Request, _: tuple[str, ...]) -> Any:
        raise Refusal("{ Operation Not Supported }", 501)

    # --- their parts

    async def _remove(self, interfaces: Iterable[str]) -> Any:
        """Whoever lent a device looks for it next, so the answer waits until it is back."""
        gone = [uuid for uuid in interfaces if self._ports.get(uuid) is not None]
        await self._ports.remove(gone)
        if gone:
            await self._settled(LET_GO_WITHIN)
        return {}

    def _standing(self, interface: str) -> Mapping[str, Any]:
        """NotFound until it stands, behind the device that its port names."""
        key: Key = ("interface", interface)
        port, status = self._ports.get(interface), self._reconciler.status.get(key)
        unit = self._compiler.desired.get(key)
        if not isinstance(unit, Interface):
            raise NotFound(self._absence(interface))
        if unit.device != (port.plug.device if port else ""):
            raise NotFound(f"interface {unit.name} is being plugged")
        if status is None or status.state != "done" or self._reconciler.applied.get(key) != unit:
            raise NotFound(status.text if status and status.text else f"interface {unit.name} is being plugged")
        return answers.interface(self._cache, self._compiler, port, unit)

    def _absence(self, interface: str) -> str:
        """Why an interface is not this node's."""
        result, known = self._compiler.result(("interface", interface)), self._cache.get(interface)
        name = f"interface {known.name if known else interface}"
        return f"{name} {result.value.text}" if result and isinstance(result.value, Absent) else f"there is no {name}"

    async def _annotations(self, interface: str) -> Mapping[str, str]:
        """Of the object: the agent keeps none, as only this asks for them, once for each pod."""
        if self.api is None:
            raise Refusal("{ The API server is not known yet }", 503)
        try:
            found = await self.api.read("virtual-machine-interface", interface, fields=("annotations",), bare=True)
        except ApiError as error:
            raise (NotFound() if error.status == 404 else Refusal(f"{{ {error} }}", 503)) from error
        except ClientError as error:
            raise Refusal(f"{{ {error} }}", 503) from error
        pairs = (found.get("annotations") or {}).get("key_value_pair") or ()
        return {str(pair.get("key")): str(pair.get("value")) for pair in pairs}

    async def _container(self, request: Request) -> str:
        """Which one a DELETE is about. The document that comes with it may say."""
        try:
            document = await self._document(request)
        except BadPort:
            return ""
        return str(document.get("vm-id") or "") if isinstance(document, Mapping) else ""

    async def _document(self, request: Request) -> Any:
        try:
            return orjson.loads(await body_of(request, LARGEST_BODY))
        except TooLarge as error:
            raise Refusal(f"{{ The body is larger than {LARGEST_BODY} bytes }}", 413) from error
        except orjson.JSONDecodeError as error:
            raise BadPort(f"Invalid Json string: {error}") from error


HANDLERS: tuple[tuple[str, re.Pattern[str], Handler], ...] = tuple(
    (method, re.compile(path), handler)
    for method, path, handler in (
        ("POST", "/port", Requests.add_ports),
        ("DELETE", f"/port/{_UUID}", Requests.delete_port),
        ("GET", f"/port/{_UUID}", Requests.get_port),
        ("POST", "/syncports", Requests.sync),
        ("POST", "/vm", Requests.add_vm),
        ("DELETE", "/vm", Requests.delete_container),
        ("DELETE", f"/vm/{_UUID}", Requests.delete_vm),
        ("GET", f"/vm/{_UUID}", Requests.get_vm),
        ("GET", f"/vm/{_UUID}/{_UUID}", Requests.get_vm),
        ("GET", "/vm-cfg/(.*)", Requests.get_configuration),
        ("PUT", f"/enable-port/{_UUID}", Requests.switch),
        ("PUT", f"/disable-port/{_UUID}", Requests.switch),
        ("POST", "/gateway", Requests.unsupported),
        ("DELETE", "/gateway", Requests.unsupported),
    )
)
