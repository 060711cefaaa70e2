"""What a data plane does with packets, as values that can be compared: whoever asks, whom they reach and as what."""

from collections.abc import Iterator
from dataclasses import dataclass

from driven import Driven
from lab import Answer, Echo, Outcome
from scenery import ask

from vrouter.state import Address, Interface, Protocol, Vip

Question = tuple[str, Address, str, int]  # client's interface, address, protocol or "ping", port
Behaviour = dict[Question, frozenset[tuple[object, ...]]]


@dataclass(frozen=True)
class Asked:
    """addresses: to which all clients turn. ports: of VIPs and of pods, by protocol."""

    clients: tuple[str, ...]
    addresses: tuple[Address, ...]
    ports: tuple[tuple[Protocol, int], ...]


def behaviour(driven: Driven, asked: Asked) -> Behaviour:
    """Found out by sending packets. What was compiled says only when to stop: when as many were reached, and some more
    tries met no other."""
    found: Behaviour = {}
    units = driven.compiler.desired
    for uuid in asked.clients:
        client = units.get(("interface", uuid))
        if not isinstance(client, Interface):
            continue
        for address in asked.addresses:
            if client.address_of(address.version) is None:
                continue
            echo = driven.lab.ping(client, address)
            found[uuid, address, "ping", 0] = frozenset([("echo",) if isinstance(echo, Echo) else ("no echo",)])
            vip = units.get(("vip", client.vrf, str(address)))
            for protocol, port in asked.ports:
                if vip is None and address.version == 6 and protocol == "tcp":
                    # the client's own TCP does not take an ICMPv6 error for an answer; UDP asks the same question
                    continue
                number = len(_members(vip, protocol, port))
                outcomes = _outcomes(driven, client, address, protocol, port, number)
                found[uuid, address, protocol, port] = frozenset(outcomes)
    return found


def _members(unit: object, protocol: Protocol, port: int) -> set[str]:
    listeners = unit.listeners if isinstance(unit, Vip) else ()
    return {uuid for one in listeners if (one.protocol, one.port) == (protocol, port) for uuid in one.backends}


def _outcomes(
    driven: Driven, client: Interface, address: Address, protocol: Protocol, port: int, number: int
) -> Iterator[tuple[object, ...]]:
    """Until `number` were met and `2 * number + 2` more tries brought nothing new; 300 tries miss one of a tenth of the
    weight by a chance of 1e-14."""
    seen: set[tuple[object, ...]] = set()
    idle = 0
    for _ in range(300 if number > 1 else 2):
        outcome = _plain(ask(driven.lab, client, address, port, protocol, next(driven.source_ports)), client, protocol)
        idle = idle + 1 if outcome in seen else 0
        seen.add(outcome)
        if len(seen) >= number and idle >= 2 * number + 2:
            break
    yield from seen


def _plain(outcome: Outcome, client: Interface, protocol: Protocol) -> tuple[object, ...]:
    """Without what may differ from one try to the next: the client's port."""
    if isinstance(outcome, Answer):
        return ("answer", outcome.member, outcome.local, outcome.client[0])
    if protocol == "udp":
        return (type(outcome).__name__,)  # an ICMP error of one kind or another
    return ("refused", outcome)
