"""Agents that die before one of their writes to the kernel."""

from vrouter.backends.netns import NetnsBackend
from vrouter.backends.protocol import BackendSettings
from vrouter.reconciler import Reconciler
from vrouter.state import Unit


class Death(BaseException):
    pass


class Clock:
    """Writes that an agent still lives to make; None: it lives on."""

    left: int | None = None

    def tick(self) -> None:
        if self.left is not None:
            if self.left == 0:
                raise Death
            self.left -= 1


async def live(settings: BackendSettings, units: list[Unit]) -> None:
    """An agent's life, until it has all it wants."""
    reconciler = Reconciler(NetnsBackend(settings), {unit.key: unit for unit in units})
    try:
        await reconciler.start()
        await reconciler.reconcile(reconciler.everything())
    finally:
        await reconciler.close()
