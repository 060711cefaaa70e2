"""The port API: who makes a machine's links tells the agent which interface is behind which device.

port     one port, and the two documents that say it
files    ports on disk, where they outlive the agent
table    the ports of this node, and the stale ones among them
answers  what is told of an interface
requests what clients ask, and what they hear
api      where the agent listens for them
"""

from vrouter.ports.api import PortApi
from vrouter.ports.table import Ports

__all__ = ["PortApi", "Ports"]
