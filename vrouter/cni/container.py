"""The container's network namespace, and the link between it and the machine."""

import errno
import fcntl
import os
from collections.abc import Callable, Iterable, Sequence
from hashlib import blake2b
from types import TracebackType
from typing import Self, TypeVar

from vrouter import namespace
from vrouter.backends.netns import inner, links
from vrouter.backends.netns.netlink import NETLINK_ROUTE, NetlinkError, Socket
from vrouter.backends.protocol import BackendError
from vrouter.cni.answer import BAD_ENVIRONMENT, DIFFERENT, IN_THE_WAY, IO_FAILURE, NO_CONTAINER, CniError
from vrouter.state import Address, HostAddress

T = TypeVar("T")

_NS_GET_NSTYPE = 0xB703  # linux/nsfs.h


class Container:
    """A context manager; path: of the namespace, as the runtime names it. All methods raise CniError."""

    def __init__(self, path: str) -> None:
        self.path = path
        try:
            self._handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise CniError(NO_CONTAINER, f"the network namespace {path} cannot be opened: {error.strerror}") from error
        try:
            _require_network(self._handle, path)
            if os.path.samestat(os.fstat(self._handle), os.stat("/proc/self/ns/net")):  # noqa: PTH116  no path
                raise CniError(BAD_ENVIRONMENT, f"CNI_NETNS {path} is the machine's own network namespace")
            self._socket = self._inside(lambda: Socket(NETLINK_ROUTE, None))
        except BaseException:
            os.close(self._handle)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()
        os.close(self._handle)

    def link(self, name: str, device: str, mac: str, mtu: int | None) -> None:
        """A veth whose ends are up: `name` in the container, `device` on the machine."""
        if links.find(self._socket, name) is not None:
            raise CniError(IN_THE_WAY, f"the container has an interface {name} already")
        here = Socket(NETLINK_ROUTE, None)
        try:
            old = links.find(here, device)
            if old is not None:  # of a call for this container that was killed
                here.send([links.delete(old)])
            here.send([links.add_veth(device, name, self._handle, mac, mtu)])
            outer = links.find(here, device)
            if outer is None:
                raise CniError(IO_FAILURE, f"the device {device} vanished while it was made")
            here.send([links.set_up(outer)])
            self._socket.send([links.set_up(self._index(name))])
        except NetlinkError as error:
            raise CniError(IO_FAILURE, f"the link {device} to {name} cannot be made: {error.strerror}") from error
        finally:
            here.close()

    def configure(self, name: str, addresses: Sequence[HostAddress], number: int) -> None:
        """The addresses and default routes of a link; returns when it works."""
        index = self._index(name)
        if any(one.address.version == 6 for one in addresses):
            self._inside(lambda: inner.enable_ipv6(name))
        try:
            self._socket.send(inner.configure(index, addresses, number))
        except NetlinkError as error:
            raise CniError(IO_FAILURE, f"{name} cannot be configured: {error.strerror}") from error
        if not inner.await_ready(self._socket, index, addresses):
            raise CniError(IO_FAILURE, f"{name} has no carrier")

    def check(self, name: str, mac: str, addresses: Iterable[Address]) -> None:
        """That the link is as it was made."""
        found = links.describe(self._socket, name)
        if found is None:
            raise CniError(DIFFERENT, f"the container has no interface {name}")
        if found.mac != mac:
            raise CniError(DIFFERENT, f"{name} has the MAC address {found.mac}, not {mac}")
        here = links.read_addresses(self._socket)
        for address in addresses:
            if (found.index, address) not in here:
                raise CniError(DIFFERENT, f"{name} has lost its address {address}")
        if not links.is_operational(self._socket, found.index):
            raise CniError(DIFFERENT, f"{name} has no carrier")

    def remove(self, name: str) -> None:
        """The link, with its other end. Gone already: done."""
        try:
            index = links.find(self._socket, name)
            if index is not None:
                self._socket.send([links.delete(index)])
        except NetlinkError as error:
            if error.errno != errno.ENODEV:
                raise CniError(IO_FAILURE, f"{name} cannot be removed: {error.strerror}") from error

    def _index(self, name: str) -> int:
        index = links.find(self._socket, name)
        if index is None:
            raise CniError(IO_FAILURE, f"{name} vanished from the container")
        return index

    def _inside(self, action: Callable[[], T]) -> T:
        try:
            return namespace.inside_handle(os.dup(self._handle), action)
        except OSError as error:
            text = f"the network namespace {self.path} cannot be entered: {error.strerror}"
            raise CniError(IO_FAILURE, text) from error
        except BackendError as error:
            raise CniError(IO_FAILURE, str(error)) from error


def _require_network(handle: int, path: str) -> None:
    """Whoever removes a namespace unmounts it first, and leaves an empty file for a moment."""
    try:
        kind = fcntl.ioctl(handle, _NS_GET_NSTYPE)
    except OSError:
        kind = 0
    if kind != namespace.CLONE_NEWNET:
        raise CniError(NO_CONTAINER, f"{path} is no network namespace")


def device_of(container: str, interface: str) -> str:
    """The machine's end of a container's link to an interface: no other container has it, nor another of this pod."""
    return f"tap{blake2b(f'{container} {interface}'.encode()).hexdigest()[:11]}"
