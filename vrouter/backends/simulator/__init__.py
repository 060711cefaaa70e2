"""The data plane in pure Python, with packets one can send to it.

It forwards as the kernel backend does, seen from outside (one conformance suite holds both to it), needs no privilege,
and is the fake for whatever talks to a backend. `SimulatorBackend.send` takes a `Packet` and says what became of it;
`SimulatorBackend.connect` plays a whole TCP connection.
"""

from vrouter.backends.simulator.backend import SimulatorBackend
from vrouter.backends.simulator.connection import Connection
from vrouter.backends.simulator.packet import Delivered, Dropped, FiveTuple, Packet, Refused, TcpFlag, Verdict

__all__ = [
    "Connection",
    "Delivered",
    "Dropped",
    "FiveTuple",
    "Packet",
    "Refused",
    "SimulatorBackend",
    "TcpFlag",
    "Verdict",
]
