"""A TCP connection through the simulator, for people and tests that want to know who answers.

It plays both ends: what is delivered to a workload is answered by it, and the answer must come back to the client as
from the address it spoke to. A workload that gets a segment of a connection it does not know resets it, as any TCP does
(RFC 9293, section 3.10.7.1): that is how a client learns that its member is gone.
"""

from collections.abc import Callable
from dataclasses import dataclass

from vrouter.backends.simulator.packet import Delivered, FiveTuple, Packet, Refused, TcpFlag, Verdict

Send = Callable[[str, Packet], Verdict]

RESET = Refused("Reset", "tcp-reset")  # by an end, not by the data plane: no word of Contrail's, and not counted


@dataclass(frozen=True, slots=True)
class Connection:
    """interface: uuid of the client's. header: of its segments as it sends them. member: uuid of the interface whose
    workload accepted. accepted: the header as that workload sees it."""

    send: Send
    interface: str
    header: FiveTuple
    member: str
    accepted: FiveTuple

    def exchange(self, size: int = 64) -> str | Refused:
        """A segment of `size` bytes there and one back. Returns the member's uuid, or why the connection is no more."""
        outcome = _round_trip(self.send, self.interface, _segment(self.header, TcpFlag.PSH | TcpFlag.ACK, size))
        if isinstance(outcome, Refused):
            return outcome
        return self.member if (outcome.interface, outcome.packet.five_tuple) == (self.member, self.accepted) else RESET

    def close(self) -> None:
        """FIN both ways, and the last ACK."""
        _round_trip(self.send, self.interface, _segment(self.header, TcpFlag.FIN | TcpFlag.ACK))
        self.send(self.interface, _segment(self.header, TcpFlag.ACK))

    def abort(self) -> None:
        """RST."""
        self.send(self.interface, _segment(self.header, TcpFlag.RST | TcpFlag.ACK))


def connect(send: Send, interface: str, header: FiveTuple) -> Connection | Refused:
    """The handshake. send: `SimulatorBackend.send`. interface: uuid of the client's. header: as the client sends."""
    outcome = _round_trip(send, interface, _segment(header, TcpFlag.SYN))
    if isinstance(outcome, Refused):
        return outcome
    send(interface, _segment(header, TcpFlag.ACK))
    return Connection(send, interface, header, outcome.interface, outcome.packet.five_tuple)


def _segment(header: FiveTuple, flags: TcpFlag, size: int = 64) -> Packet:
    return Packet("tcp", header.source, header.destination, header.source_port, header.destination_port, flags, size)


def _round_trip(send: Send, interface: str, packet: Packet) -> Delivered | Refused:
    """What the far workload received, if its answer found the way back to the sender, under the right name."""
    there = send(interface, packet)
    if not isinstance(there, Delivered):
        return there if isinstance(there, Refused) else RESET
    flags = packet.flags & (TcpFlag.SYN | TcpFlag.FIN) | TcpFlag.ACK
    back = send(there.interface, there.packet.reply(flags))
    if (
        isinstance(back, Delivered)
        and back.interface == interface
        and back.packet.five_tuple == packet.five_tuple.reversed()
    ):
        return there
    return RESET
