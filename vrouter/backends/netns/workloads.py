"""Workloads: the namespaces that interfaces are plugged into, and which of them are this node's to remove.

One that the agent made says so in the alias of its loopback, from before it had a name. Any other belongs to somebody
else: it is plugged into or refused, never removed.
"""

from vrouter import namespace
from vrouter.backends.netns import links
from vrouter.backends.netns.netlink import Message, Socket
from vrouter.backends.protocol import BackendError


class Workloads:
    """create: make namespaces that are missing; else they have to be there."""

    def __init__(self, node: str, *, create: bool) -> None:
        self._node = node
        self._mark = f"vaportrail {node}"
        self._create = create

    def ensure(self, name: str) -> None:
        """Have a namespace of that name. Raises BackendError: it is missing, or somebody else's; both may pass."""
        if not namespace.exists(name):
            if not self._create:
                raise BackendError(
                    f"There is no network namespace {name} to plug into, and no port names a device for it"
                )
            self._make(name)
        elif self._create and not self.is_ours(name):
            raise BackendError(f"The network namespace {name} exists and is not of node {self._node}")

    def is_ours(self, name: str) -> bool:
        try:
            socket = Socket(0, name)
        except (BackendError, OSError):  # gone since it was listed, or no network namespace
            return False
        try:
            return links.alias(socket, links.LOOPBACK) == self._mark
        finally:
            socket.close()

    def ours(self) -> list[str]:
        return [name for name in namespace.names() if self.is_ours(name)]

    def remove(self, name: str) -> None:
        """Remove it, if it is there and ours."""
        if namespace.exists(name) and self.is_ours(name):
            namespace.remove(name)

    def _make(self, name: str) -> None:
        def prepare() -> None:
            _send([links.set_alias("lo", self._mark), links.set_up(links.LOOPBACK)])

        try:
            namespace.create(name, prepare)
        except OSError as error:
            raise BackendError(f"The network namespace {name} cannot be made: {error.strerror}") from error


def _send(messages: list[Message]) -> None:
    socket = Socket(0, None)
    try:
        socket.send(messages)
    finally:
        socket.close()
