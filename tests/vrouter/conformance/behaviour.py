"""What a data plane does with packets, as values that can be compared: whoever asks, whom they reach and as what."""

from collections.abc import Iterator
from dataclasses import dataclass

from driven import Driven
from lab import Answer, Connection, Echo, Outcome, Refused, Silence
from scenery import ask, eventually

from vrouter.state import Address, Interface, Protocol, Vip

Question = tuple[str, Address, str, int]  # client's interface, address, protocol or "ping", port
Behaviour = dict[Question, frozenset[tuple[object, ...]]]

FEW = 10  # a limit to this is tried out, one beyond lets all pass that are tried


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
    counted: set[object] = set()
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
                if isinstance(vip, Vip) and number and 0 < (limit := _limit(vip, protocol, port)) <= FEW:
                    # once of each, and not of UDP, whose places are taken for long
                    if protocol == "tcp" and (vip.key, port) not in counted:
                        found[uuid, address, protocol, port] = frozenset([_room(driven, client, vip, port, limit)])
                        counted.add((vip.key, port))
                    continue
                outcomes = _outcomes(driven, client, address, protocol, port, number)
                found[uuid, address, protocol, port] = frozenset(outcomes)
    return found


def _limit(vip: Vip, protocol: Protocol, port: int) -> int:
    return next((one.limit for one in vip.listeners if (one.protocol, one.port) == (protocol, port)), 0)


def _room(driven: Driven, client: Interface, vip: Vip, port: int, limit: int) -> tuple[object, ...]:
    """How many connections a limited listener takes when it has none, and what the others hear."""
    places = driven.lab.backend.places
    assert eventually(lambda: all(one.taken == 0 for one in places(vip) if (one.protocol, one.port) == ("tcp", port)))
    refused: list[Outcome] = []
    held: list[Connection] = []
    for _ in range(limit + 2):
        outcome = driven.lab.open(client, "tcp", vip.address, port, next(driven.source_ports))
        if isinstance(outcome, Refused | Silence):
            refused.append(outcome)
        else:
            held.append(outcome)
    for connection in held:
        connection.close()
    return ("places", len(held), *refused)


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
