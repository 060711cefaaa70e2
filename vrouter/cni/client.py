"""The agent of this node, asked by its port API."""

import json
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from vrouter.cni.answer import IO_FAILURE, TRY_AGAIN, CniError
from vrouter.cni.request import Attachment

FIRST, EVERY = 0.01, 0.2  # seconds between two questions of one kind: it doubles, as most is done at once or late
LONGEST = 10.0  # seconds for one answer
LARGEST = 4 * 1024 * 1024  # bytes of one answer
MOST = 1000  # interfaces of a pod: they are numbered, and so are their routes' metrics


@dataclass(frozen=True, slots=True)
class Wanted:
    """An interface that the pod is to have. number: its place among the pod's. name: in the container."""

    interface: str
    machine: str
    network: str
    mac: str
    number: int
    name: str


class NotYet(Exception):
    """The agent does not know it; a clause that says what."""


class Client:
    """All methods raise CniError. Each waits until the same moment, the attachment's patience from now."""

    def __init__(self, attachment: Attachment) -> None:
        self._attachment = attachment
        configuration = attachment.configuration
        self._where = (configuration.host, configuration.port)
        self._until = time.monotonic() + configuration.patience

    def wanted(self, *, wait: bool = True) -> Sequence[Wanted]:
        """What the objects say of the pod's interfaces, in their order, once they say all."""
        found = self._await(self._wanted, wait)
        return sorted(found, key=lambda one: one.number)

    def add(self, wanted: Wanted, device: str) -> None:
        """Tell that the interface is behind that device of this machine."""
        attachment = self._attachment
        self._do("POST", "/vm", {
            "time": time.strftime("%Y-%m-%d %H:%M:%S %z"), "vm-id": attachment.container, "vm-uuid": wanted.machine,
            "vm-name": attachment.machine, "host-ifname": device, "vm-ifname": wanted.name,
            "vm-namespace": attachment.network, "vn-uuid": wanted.network, "vmi-uuid": wanted.interface,
        })  # fmt: skip

    def standing(self, wanted: Wanted, *, wait: bool = True) -> Mapping[str, Any]:
        """The interface, once the agent has it stand."""
        answer = self._await(lambda: self._ask("GET", f"/vm/{wanted.machine}/{wanted.interface}"), wait)
        if not isinstance(answer, list) or not answer or not isinstance(answer[0], Mapping):
            raise self._strange("no list of interfaces")
        return answer[0]

    def remove(self) -> None:
        """All that was added for this container. Nothing there: done."""
        self._do("DELETE", "/vm", {"vm-id": self._attachment.container})

    def _wanted(self) -> Sequence[Wanted]:
        attachment = self._attachment
        said = self._ask("GET", f"/vm-cfg/{quote(attachment.machine, safe='')}")
        try:
            found = [_wanted(one, attachment) for one in said]
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise self._strange(f"{type(error).__name__}: {error}") from error
        if not found:
            raise NotYet(f"virtual-machine {attachment.machine} has no interface")
        if attachment.pod is not None and any(one.machine != attachment.pod for one, _ in found):
            raise NotYet(f"virtual-machine {attachment.machine} is still that of another pod than {attachment.pod}")
        total = max(total for _, total in found)
        if len(found) < total:
            raise NotYet(f"of {total} interfaces of {attachment.machine} there are {len(found)}")
        return [one for one, _ in found]

    def _await(self, question: Callable[[], Any], wait: bool) -> Any:
        pause = FIRST
        while True:
            try:
                return question()
            except NotYet as lacks:
                if not wait:
                    raise CniError(TRY_AGAIN, str(lacks)) from lacks
                if time.monotonic() + pause > self._until:
                    patience = self._attachment.configuration.patience
                    raise CniError(TRY_AGAIN, f"{lacks}; waited {patience:g} s for it") from lacks
            time.sleep(pause)
            pause = min(2 * pause, EVERY)

    def _strange(self, why: str) -> CniError:
        where = f"{self._where[0]}:{self._where[1]}"
        return CniError(IO_FAILURE, f"{where} does not answer as a vRouter agent ({why})")

    def _do(self, method: str, path: str, body: Mapping[str, Any]) -> None:
        try:
            self._ask(method, path, body)
        except NotYet as lacks:
            raise CniError(TRY_AGAIN, str(lacks)) from lacks

    def _ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """The JSON of its answer. NotYet: it does not know, or is not there. CniError: it refuses."""
        where = f"{self._where[0]}:{self._where[1]}"
        try:
            status, answer = _exchange(self._where, method, path, b"" if body is None else json.dumps(body).encode())
        except ValueError as error:
            raise self._strange(str(error)) from error
        except OSError as error:
            raise NotYet(f"no vRouter agent at {where}: {error.strerror or error}") from error
        if status == 200:
            return answer
        words = answer if isinstance(answer, Mapping) else {}
        said = str(words.get("reason") or words.get("error") or status)
        if status in (404, 503):
            raise NotYet(said)
        raise CniError(IO_FAILURE, f"the vRouter agent refuses: {said.strip('{ }')}")


def _wanted(said: Mapping[str, Any], attachment: Attachment) -> tuple[Wanted, int]:
    """With the number of interfaces that the pod has altogether, as far as is known."""
    pairs = (str(pair).removeprefix("{").removesuffix("}").partition(":") for pair in said.get("annotations", ()))
    annotations = {key: value for key, _, value in pairs}
    index, _, total = annotations.get("index", "0/1").partition("/")
    number = int(index) if index.isdecimal() else 0
    if number > MOST:
        raise ValueError(f"interface {index} of a pod")
    name = attachment.interface if number == 0 else annotations.get("interface") or f"eth{number}"
    wanted = Wanted(said["id"], said["vm-uuid"], said["vn-id"], said["mac-address"], number, name)
    return wanted, int(total) if total.isdecimal() else 1


def _exchange(where: tuple[str, int], method: str, path: str, body: bytes) -> tuple[int, Any]:
    """One request in HTTP/1.0, whose answer ends with the connection. ValueError: the answer is none."""
    head = f"{method} {path} HTTP/1.0\r\nHost: {where[0]}\r\nContent-Type: application/json\r\n"
    with socket.create_connection(where, LONGEST) as connection:
        connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        answer = bytearray()
        while part := connection.recv(65536):
            answer += part
            if len(answer) > LARGEST:
                raise ValueError("the answer is too long")
    head, _, content = bytes(answer).decode(errors="replace").partition("\r\n\r\n")
    words = head.split(None, 2)
    if len(words) < 2 or not words[0].startswith("HTTP/") or not words[1].isdecimal():
        raise ValueError("no HTTP")
    return int(words[1]), json.loads(content)
