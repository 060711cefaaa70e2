"""Ports on disk: one file for each, named by its interface's uuid, with the document that the client sent.

That is how Contrail's agent and its port clients keep them too: a file that `vrouter-port-control` has left in this
directory while no agent ran is a port when the agent starts. A file is whole or not there: it is written beside its
place and renamed, and what was answered for has reached the disk.
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import structlog

from vrouter.ports.port import BadPort, Port, of_document

log = structlog.get_logger(__name__)

LARGEST = 64 * 1024  # bytes of a document


class PortFiles:
    """directory: made with the first port."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def read(self) -> Iterator[Port]:
        """All that are there. What is none is left alone and told."""
        try:
            names = sorted(file.name for file in self._directory.iterdir())
        except FileNotFoundError:
            return
        for name in names:
            file = self._directory / name
            if name.startswith(".") and _is_uuid(name[1:]):  # its writer died
                file.unlink(missing_ok=True)
            if not _is_uuid(name):
                continue
            try:
                with file.open("rb") as opened:
                    port = of_document(json.loads(opened.read(LARGEST)))
                if port.interface != name:
                    raise BadPort(f"it is of interface {port.interface}")
            except (OSError, ValueError, BadPort) as error:
                log.warning("this file is no port", file=str(file), reason=str(error))
                continue
            yield port

    def write(self, port: Port) -> None:
        """OSError if it cannot be kept; BadPort if it is too large."""
        text = json.dumps(port.document, indent=2)
        if len(text) > LARGEST:
            raise BadPort(f"The port is larger than {LARGEST} bytes")
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        part = self._directory / f".{port.interface}"
        try:
            with part.open("w") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            part.rename(self._directory / port.interface)
        except OSError:
            part.unlink(missing_ok=True)
            raise
        self._sync()

    def remove(self, interface: str) -> None:
        """Gone already: done. OSError if it stays."""
        try:
            (self._directory / interface).unlink()
        except FileNotFoundError:
            return
        self._sync()

    def _sync(self) -> None:
        """The names, too, have reached the disk."""
        handle = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _is_uuid(name: str) -> bool:
    try:
        return str(UUID(name)) == name
    except ValueError:
        return False
