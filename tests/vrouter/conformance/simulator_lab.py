"""The `Lab` on the simulator: workloads are a set of listening ports and the TCP connections they have accepted.

Time stands still, so no flow is forgotten but for a reason.
"""

from dataclasses import dataclass, field
from itertools import count

from lab import VIPS, Answer, Echo, Outcome, Refused, Silence

from vrouter.backends.protocol import BackendSettings, Delete, Operation
from vrouter.backends.simulator import Delivered, FiveTuple, Packet, SimulatorBackend, TcpFlag, Verdict
from vrouter.backends.simulator import Dropped as PacketDropped
from vrouter.backends.simulator import Refused as PacketRefused
from vrouter.state import FLOW_LIMIT, Address, Family, Interface
from vrouter.state import Protocol as Transport

SYN, ACK, FIN, RST = TcpFlag.SYN, TcpFlag.ACK, TcpFlag.FIN, TcpFlag.RST


class SimulatorLab:
    name = "simulator"
    survives_restart = False
    foretells = True

    def __init__(self, family: Family = 4, flow_limit: int = FLOW_LIMIT) -> None:
        self.family, self.vip = family, VIPS[family]
        self._settings = BackendSettings("lab", create_workloads=True, flow_limit=flow_limit)
        self.backend = self._start()
        self.source_ports = count(32768)
        self._listening: set[tuple[str, Transport, int]] = set()
        self.accepted: set[tuple[str, FiveTuple]] = set()

    @classmethod
    def unavailable(cls) -> str | None:
        return None

    def _start(self) -> SimulatorBackend:
        backend = SimulatorBackend(self._settings, clock=lambda: 0.0)
        backend.open()
        return backend

    def apply(self, *operations: Operation) -> None:
        answers = self.backend.apply(operations)
        for operation in operations:
            if isinstance(operation, Delete) and isinstance(operation.unit, Interface):
                self.silence(operation.unit.uuid)
        for error in filter(None, answers):
            raise error

    def apply_elsewhere(self, *operations: Operation) -> None:
        pass

    def restart(self) -> None:
        self.backend = self._start()

    def listen(self, interface: Interface, protocol: Transport, port: int) -> None:
        self._listening.add((interface.uuid, protocol, port))

    def silence(self, interface: str) -> None:
        self._listening = {server for server in self._listening if server[0] != interface}
        self.accepted = {connection for connection in self.accepted if connection[0] != interface}

    def open(
        self,
        interface: Interface,
        protocol: Transport,
        address: Address,
        port: int,
        source_port: int | None = None,
    ) -> "Socket | Refused | Silence":
        source = source_of(interface, address)
        header = FiveTuple(protocol, source, source_port or next(self.source_ports), address, port)
        socket = Socket(self, interface.uuid, header)
        if protocol == "tcp":
            outcome = socket.send(SYN)
            if not isinstance(outcome, Answer):
                return outcome
            socket.send(ACK)
        return socket

    def ping(self, interface: Interface, address: Address) -> Echo | Refused | Silence:
        request = Packet("icmp", source_of(interface, address), address, source_port=next(self.source_ports))
        there = self.send(interface.uuid, request)
        if not isinstance(there, Delivered):
            return refusal(there)
        back = self.send(there.interface, there.packet.reply())
        if not isinstance(back, Delivered) or back.interface != interface.uuid:
            return Silence()
        matches = back.packet.destination_port == request.source_port
        return Echo(back.packet.source) if matches else Silence()

    def send(self, interface: str, packet: Packet) -> Verdict:
        return self.backend.send(interface, packet)

    def react(self, at: Delivered) -> tuple[Answer | None, Packet | None]:
        """What a workload says to a packet: an answer of its server, or a refusal by its TCP. To a datagram for nobody
        it says "port unreachable": an answer, too, for whoever sent it."""
        packet, header = at.packet, at.packet.five_tuple
        connection = (at.interface, header)
        listening = (at.interface, header.protocol, header.destination_port) in self._listening
        if header.protocol == "tcp":
            if packet.opens and listening:
                self.accepted.add(connection)
            if connection not in self.accepted:
                return None, packet.reply(RST | ACK)
            if packet.flags & (FIN | RST):
                self.accepted.discard(connection)
        elif not listening:
            return None, packet.reply()
        answer = Answer(
            at.interface, (header.source, header.source_port), (header.destination, header.destination_port)
        )
        return answer, packet.reply(packet.flags & (SYN | FIN) | ACK)

    def close(self) -> None:
        self.backend.cleanup()
        self.backend.close()


@dataclass
class Socket:
    """A client's socket. Its segments are answered in the same call."""

    lab: SimulatorLab
    interface: str
    header: FiveTuple
    source_port: int = field(init=False)

    def __post_init__(self) -> None:
        self.source_port = self.header.source_port

    def exchange(self) -> Outcome:
        return self.send(TcpFlag.PSH | ACK)

    def close(self) -> None:
        if self.header.protocol == "tcp":
            self.send(FIN | ACK)
            self.lab.send(self.interface, self.segment(ACK))

    def abort(self) -> None:
        there = self.lab.send(self.interface, self.segment(RST | ACK))
        if isinstance(there, Delivered):
            self.lab.react(there)  # nobody answers a reset

    def segment(self, flags: TcpFlag) -> Packet:
        protocol, source, source_port, destination, port = self.header
        return Packet(protocol, source, destination, source_port, port, flags if protocol == "tcp" else TcpFlag(0))

    def send(self, flags: TcpFlag) -> Outcome:
        packet = self.segment(flags)
        there = self.lab.send(self.interface, packet)
        if not isinstance(there, Delivered):
            return refusal(there)
        answer, reply = self.lab.react(there)
        if reply is None:
            return Silence()
        back = self.lab.send(there.interface, reply)
        heard = isinstance(back, Delivered) and (back.interface, back.packet.five_tuple) == (
            self.interface,
            packet.five_tuple.reversed(),
        )
        if not heard:
            return Silence()
        return answer or Refused("reset")


def source_of(interface: Interface, destination: Address) -> Address:
    source = interface.address_of(destination.version)
    assert source is not None
    return source


def refusal(verdict: PacketRefused | PacketDropped) -> Refused | Silence:
    """As a socket reports it."""
    if isinstance(verdict, PacketDropped):
        return Silence()
    return Refused("unreachable" if verdict.answer == "host-unreachable" else "reset")
