"""The way of one packet in words, step by step, as people who know Contrail tell it.

vif -> VRF -> flow or route -> nexthop, the one chosen of a composite -> NAT -> vif or tunnel -> the way back. What is
told was asked of the back-end (`Lookup`); names are the compiler's.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from vrouter.backends.lookup import Header, Lookup, Match
from vrouter.state import Address, Interface, Key, Link, Remote, Tunnel, Unit, Vip, Vrf, base_of, socket_address

# What a refused client sees, by protocol; `rules.py` has it so.
_TOLD = {"tcp": "a TCP reset", "udp": "an ICMP error"}


@dataclass(frozen=True, slots=True)
class Step:
    """kind: a short stable word. good: False where the packet ends. values: what the text says, for programs."""

    kind: str
    text: str
    good: bool | None = None
    values: Mapping[str, Any] = field(default_factory=dict)


def tell(found: Lookup, desired: Mapping[Key, Unit]) -> list[Step]:
    """desired: the compiler's units, for names."""
    return list(_Teller(found, desired).steps())


class _Teller:
    def __init__(self, found: Lookup, desired: Mapping[Key, Unit]) -> None:
        self._found = found
        self._desired = desired
        vip = desired.get(("vip", found.vrf, str(found.header.destination)))
        self._vip = vip if isinstance(vip, Vip) else None

    def steps(self) -> Iterator[Step]:
        found = self._found
        yield self._sends()
        yield self._vrf()
        if found.vip and not found.reverse:
            yield self._service()
        yield from self._way()
        if found.refused:
            yield self._refusal()
            return
        if found.translated is not None and found.translated != found.header:
            yield self._nat(found.header, found.translated)
        yield self._leaves()
        yield from self._beyond()
        if found.translated is not None and found.back is not None:
            yield self._back(found.translated, found.back)

    def _sends(self) -> Step:
        header, unit = self._found.header, self._interface(self._found.interface)
        workload = f"{unit.workload} " if unit else ""
        text = f"{workload}sends {header.protocol} {_ends(header)} into vif {self._found.device}"
        return Step("vif", text, values={"device": self._found.device, "interface": self._found.interface})

    def _vrf(self) -> Step:
        index = self._found.vrf
        unit = self._desired.get(("vrf", index))
        name = unit.name if isinstance(unit, Vrf) else None
        return Step("vrf", f"VRF {index} {name or ''}".rstrip(), values={"vrf": index, "name": name})

    def _service(self) -> Step:
        header = self._found.header
        name = self._vip.name if self._vip else "?"
        text = f"{header.destination} is the VIP of {name}"
        values = {"vip": header.destination, "name": name}
        if self._found.match.asked == header.destination:
            return Step("service", text, values=values)
        asked = self._found.match.asked
        pod = self._base(self._found.match.interface)
        if pod is not None and pod.address_of(header.source.version) == asked:
            return Step("service", f"{text}; the client's address goes to the member it had before, {asked} (affinity)",
                        values={**values, "affinity": asked})  # fmt: skip
        return Step("service", f"{text}; its listener has a group of its own, routed as {asked}",
                    values={**values, "surrogate": asked})  # fmt: skip

    def _way(self) -> Iterator[Step]:
        found, flow = self._found, self._found.flow
        if flow is None:
            if found.vip and found.refused != "NoFipPortMap":
                yield Step("flow", "no flow has this 5-tuple: it is a new one", values={"known": False})
            yield from self._route(found.match)
            return
        direction = "an answer on the flow" if found.reverse else "on the flow"
        text = (
            f"{direction} {socket_address(flow.source, flow.source_port)} => {socket_address(flow.vip, flow.port)} to "
            f"{self._pod(flow.member)}: {flow.packets} packets there, {flow.reverse_packets} back, "
            f"{flow.expires:.0f}s left{', closing' if flow.closing else ''}"
        )
        yield Step("flow", text, True, {"known": True, "member": flow.member, "reverse": found.reverse})
        if found.reverse or found.match.interface == flow.member:
            return
        chosen = self._pod(found.match.interface) if found.match.interface else "nobody"
        text = f"the flow keeps its member; a new connection from this port would reach {chosen}"
        yield Step("choice", text, values={"interface": found.match.interface})

    def _route(self, match: Match) -> Iterator[Step]:
        if self._found.refused == "NoFipPortMap":
            return
        if match.interface is None and match.device is None and not match.members:
            prefix = f"only {match.prefix}, where what nobody serves is refused" if match.prefix else "none"
            yield Step("route", f"route to {match.asked}: {prefix}", False, {"prefix": match.prefix, "nexthop": None})
            return
        if match.device == "lo":
            yield Step("route", f"route {match.prefix}: the VRF itself", values={"prefix": match.prefix})
            return
        if match.interface is None and not match.members:
            which = f"route {match.prefix}" if match.prefix else "the route of what nobody has here"
            yield Step(
                "route", f"{which} leads outside, by {match.device}", values={"prefix": match.prefix, "nexthop": None}
            )
            return
        shares = " ".join(f"{one.id}({one.weight})" for one in match.members)
        kind = f"Composite, sub NH(weight): {shares}" if match.members else self._kind(match.interface)
        members = [{"id": one.id, "weight": one.weight, "interface": one.interface} for one in match.members]
        yield Step("route", f"route {match.prefix} leads to nexthop {match.nexthop} {kind}",
                   values={"prefix": match.prefix, "nexthop": match.nexthop, "members": members})  # fmt: skip
        if match.members and match.hop is not None:
            kind = self._kind(match.interface)
            text = f"the hash takes nexthop {match.hop} {kind}, Oif:{match.device} {self._pod(match.interface)}"
            yield Step("nexthop", text, values={"nexthop": match.hop, "interface": match.interface})

    def _nat(self, before: Header, after: Header) -> Step:
        action = _action(before, after)
        return Step("nat", f"NAT {action}: {_ends(before)} becomes {_ends(after)}",
                    values={"action": action, "translated": after._asdict()})  # fmt: skip

    def _leaves(self) -> Step:
        found = self._found
        if found.target is None and found.match.members:
            members = [one.interface for one in found.match.members if one.interface]
            text = f"out to one of {', '.join(map(self._pod, members))}: which one, the kernel does not tell beforehand"
            return Step("out", text, True, {"device": None, "interface": None, "candidates": members})
        if found.target is None and found.match.device not in (None, "lo"):
            text = f"out of {found.match.device}, to outside"
            return Step("out", text, True, {"device": found.match.device, "interface": None})
        if found.target is None:
            return Step("out", "it ends in the VRF itself", True)
        unit = self._base(found.target)
        workload = f", workload {unit.workload}" if isinstance(unit, Interface) else ""
        text = f"out of vif {found.out} to {self._pod(found.target)}{workload}"
        return Step("out", text, True, {"device": found.out, "interface": found.target})

    def _beyond(self) -> Iterator[Step]:
        """From the VRF to an interface that does not stand in it, VRF by VRF."""
        unit = self._base(self._found.target)
        if isinstance(unit, Remote) and isinstance(unit.via, Link):
            there = self._desired.get(("vrf", unit.via.vrf))
            name = there.name if isinstance(there, Vrf) else None
            yield Step("link", f"over the link to VRF {unit.via.vrf} {name or ''}".rstrip(), True,
                       {"vrf": unit.via.vrf, "name": name})  # fmt: skip
            unit = base_of(self._desired, unit.via.vrf, unit.uuid)
        if isinstance(unit, Remote) and isinstance(unit.via, Tunnel):
            vrf, router = self._desired.get(("vrf", unit.vrf)), unit.via.router
            vtep = vrf.vtep if isinstance(vrf, Vrf) else None
            text = f"into VXLAN {vtep.vni}: {vtep.address} => {router}" if vtep else f"into the tunnel to {router}"
            yield Step("tunnel", f"{text}, where the interface is", True,
                       {"vni": vtep.vni if vtep else None, "source": vtep.address if vtep else None,
                        "router": router})  # fmt: skip

    def _back(self, translated: Header, device: str) -> Step:
        there, home = translated.reversed(), self._found.header.reversed()
        nat = f", NAT {_action(there, home)} to {_ends(home)}" if there != home else ""
        return Step("return", f"the answer {_ends(there)} comes in at vif {self._found.out}{nat}, out of vif {device}",
                    values={"device": device, "answer": home._asdict()})  # fmt: skip

    def _refusal(self) -> Step:
        found, header = self._found, self._found.header
        client = socket_address(header.source, header.source_port)
        nobody = "no member of the listener is usable" if found.vip else f"nobody in this VRF has {header.destination}"
        why = {
            "NoFipPortMap": f"no listener of {header.destination} has {header.protocol} port "
                            f"{header.destination_port}; {self._listeners()}",
            "NoDstRt": nobody,
            "NoRevFlow": f"the way back to {client} is that of another flow to the same "
                         "member; another source port will do",
            "FlowLim": "the flow table is full",
            "Policy": "no network-policy lets this VRF open connections to it; VIPs lead to it, and it is answered",
            "ConnLim": f"the listener has all {self._limit(header)} connections of its connection_limit",
        }.get(found.refused, "")  # fmt: skip
        told = _TOLD[header.protocol] if found.vip else "an ICMP error"
        return Step("refused", f"{found.refused}{f': {why}' if why else ''}. The sender gets {told} at once.",
                    False, {"reason": found.refused})  # fmt: skip

    # --- names

    def _listeners(self) -> str:
        if self._vip is None or not self._vip.listeners:
            return "it has no listener"
        return "it has " + ", ".join(f"{one.protocol} {one.port}" for one in self._vip.listeners)

    def _limit(self, header: Header) -> int | str:
        listeners = self._vip.listeners if self._vip else ()
        place = (header.protocol, header.destination_port)
        return next((one.limit for one in listeners if (one.protocol, one.port) == place), "the")

    def _interface(self, uuid: str | None) -> Interface | None:
        unit = self._desired.get(("interface", uuid or ""))
        return unit if isinstance(unit, Interface) else None

    def _base(self, uuid: str | None) -> Interface | Remote | None:
        """What the VRF reaches an interface by."""
        return base_of(self._desired, self._found.vrf, uuid) if uuid else None

    def _kind(self, uuid: str | None) -> str:
        """Of its next hop."""
        unit = self._base(uuid)
        return "Tunnel" if isinstance(unit, Remote) and isinstance(unit.via, Tunnel) else "Encap"

    def _address(self, unit: Interface | Remote) -> Address:
        """Of the packet's family, if it has one."""
        return unit.address_of(self._found.header.source.version) or unit.address

    def _pod(self, uuid: str | None) -> str:
        unit = self._base(uuid)
        return f"interface {unit.name} {self._address(unit)}" if unit else f"interface {uuid or 'of nobody'}"


def _action(before: Header, after: Header) -> str:
    """As `flow` shows it: what of source (S) and destination (D) changes, and their ports (Ps, Pd)."""
    changes = {
        "S": before.source != after.source,
        "Ps": before.source_port != after.source_port,
        "D": before.destination != after.destination,
        "Pd": before.destination_port != after.destination_port,
    }
    return "".join(letter for letter, changed in changes.items() if changed)


def _ends(header: Header) -> str:
    _, source, source_port, destination, port = header
    return f"{socket_address(source, source_port)} => {socket_address(destination, port)}"
