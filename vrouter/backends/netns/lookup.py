"""What the kernel does with one packet, asked of it step by step, in a packet's order.

The table is asked for single elements, never for a list. What the rules (`rules.py`) do between two look-ups is
followed here.
"""

from dataclasses import replace
from ipaddress import ip_address

from vrouter.backends.lookup import Group, Header, Lookup, Match, Share
from vrouter.backends.netns import asking, elements, flows, nftables
from vrouter.backends.netns.asking import Way
from vrouter.backends.netns.elements import Service, number_of
from vrouter.backends.netns.nftables import Entry, Place
from vrouter.backends.netns.rules import HAIRPIN, ID_MASK
from vrouter.backends.netns.standing import Attachment, Base, Reached, join_device
from vrouter.backends.netns.vrf import VrfNamespace
from vrouter.backends.protocol import Flow, host_prefix
from vrouter.state import Address

_Endpoint = tuple[Address, int]


def lookup(vrf: VrfNamespace, sender: Attachment, header: Header) -> Lookup:
    """The way of a packet from that interface. NetlinkError if the kernel does not answer."""
    return _Walk(vrf, sender, header).result()


def groups(vrf: VrfNamespace, vip: Address) -> list[Group]:
    """Of a VIP and its listeners, as they stand. NetlinkError if the kernel does not answer."""
    table = vrf.standing.vips.get(vip)
    if table is None:
        return []
    asked: list[tuple[Service | None, Address]] = [(None, vip)]
    if table.split:
        asked += table.surrogates.items()
    return [_group(vrf, service, address) for service, address in asked]


def _group(vrf: VrfNamespace, service: Service | None, address: Address) -> Group:
    number = _group_of(vrf, address)
    return Group(service, address, number, shares(vrf, number))


def _group_of(vrf: VrfNamespace, address: Address) -> int | None:
    """Routes of IPv6 over one next hop share what the kernel caches of it, so that it names the wrong one of them: what
    was made is said instead."""
    if address.version == 6:
        return vrf.standing.fib.routes.get(address)
    return asking.group_of(vrf.route_socket, address)


def shares(vrf: VrfNamespace, group: int | None) -> tuple[Share, ...]:
    """Who is in a group now; nobody if it is a single next hop."""
    members = asking.members(vrf.route_socket, group) if group is not None else ()
    return tuple(Share(hop, weight, vrf.standing.interface_of(hop)) for hop, weight in members)


class _Walk:
    def __init__(self, vrf: VrfNamespace, sender: Attachment, header: Header) -> None:
        self._vrf = vrf
        self._sender = sender
        self._header = header

    def result(self) -> Lookup:
        header = self._header
        if self._find("vip", header.destination.packed) is None:
            return self._answer(vip=False) or self._plain()
        service = self._find(f"service_{header.protocol}", self._service)
        if service is None:
            refused = self._lookup(self._match(header.destination), vip=True, refused="NoFipPortMap")
            return self._answer(vip=True) or refused
        split = self._find("split", header.destination.packed) is not None
        asked = ip_address(service.data) if split else header.destination
        match = self._match(self._remembered(asked) or asked)
        return self._known(match) or self._new(match)

    # --- the cases

    def _plain(self) -> Lookup:
        """To no VIP: routed as it is."""
        way = asking.way(self._vrf.route_socket, self._sender.link, self._header)
        match = self._read(self._header.destination, way)
        if way.local:
            return self._lookup(match)
        if self._guards(match):
            return self._lookup(match, refused="Policy")
        if match.interface is None and self._find("floating", self._header.source.packed) is not None:
            out = next((unit for unit, link in self._vrf.standing.exits.values() if link == way.link), None)
            if out is not None and out.via is not None:
                return self._lookup(replace(match, device=join_device(out.via)))
        return self._leaves(match, self._header) if match.interface else self._lookup(match, refused="NoDstRt")

    def _guards(self, match: Match) -> bool:
        """Whether a packet that opens a connection there is refused."""
        header = self._header
        if match.interface is None or self._find("guarded", header.destination.packed) is None:
            return False
        return header.protocol != "udp" or self._find("asked", flows.key(header.reversed())) is None

    def _known(self, match: Match) -> Lookup | None:
        """On a living flow whose endpoint stands."""
        key = flows.key(self._header)
        there = self._find(f"forward_{self._header.protocol}", key)
        endpoint = self._endpoint(number_of(there.data) & ID_MASK) if there else None
        if there is None or endpoint is None:
            return None
        translated = self._translated(*endpoint, hairpin=bool(number_of(there.data) & HAIRPIN))
        back = self._find(f"reverse_{self._header.protocol}", flows.key(translated.reversed()))
        found = self._flow(self._header, endpoint, there, back)
        return self._leaves(match, translated, vip=True, flow=found)

    def _answer(self, *, vip: bool) -> Lookup | None:
        """From a member, on a flow to it; of one that talks to itself, to the VIP."""
        protocol, source, source_port, destination, port = self._header
        there = self._find(f"reverse_{protocol}", flows.key(self._header))
        if there is None:
            return None
        service_vip, service_port = self._find("service_vip", there.data), self._find("service_port", there.data)
        if service_vip is None or service_port is None:
            return None
        client = source if vip else destination
        forward = Header(protocol, client, port, ip_address(service_vip.data), int.from_bytes(service_port.data[:2]))
        entry = self._find(f"forward_{protocol}", flows.key(forward))
        found = self._flow(forward, (source, source_port), entry, there) if entry else None
        translated = forward.reversed()
        return self._leaves(self._match(client), translated, vip=vip, flow=found, reverse=True)

    def _new(self, match: Match) -> Lookup:
        """After routing: the endpoint of the chosen pod, if its way back is free and the tables have room."""
        protocol = self._header.protocol
        pod = self._address(match)
        if pod is None and match.members:
            return self._lookup(match, vip=True)  # one of them
        if pod is None:
            return self._lookup(match, vip=True, refused="NoDstRt")
        target = self._find(f"exception_{protocol}", self._service + pod.packed)
        target = target or self._find(f"target_{protocol}", self._service)
        if target is None or self._find("endpoint", pod.packed + target.data) is None:
            return self._lookup(match, vip=True, refused="NoDstRt")
        hairpin = pod == self._header.source and self._find("self", pod.packed * 2) is not None
        translated = self._translated(pod, number_of(target.data), hairpin=hairpin)
        refused = self._refused(translated)
        if refused:
            return self._lookup(match, vip=True, refused=refused)
        return self._leaves(match, translated, vip=True)

    def _remembered(self, surrogate: Address) -> Address | None:
        """The pod that a sticky service's client goes to again."""
        sticky = self._find("sticky", surrogate.packed)
        last = self._find("affinity", self._header.source.packed + surrogate.packed) if sticky else None
        if sticky is None or last is None or self._find("sticky_member", sticky.data + last.data) is None:
            return None
        return ip_address(last.data)

    def _refused(self, translated: Header) -> str:
        """Why the pair of entries of a new flow could not be made."""
        protocol, family, nft = self._header.protocol, self._header.source.version, self._vrf.nft_socket
        limited = nftables.get(nft, Place(family, f"limited_{protocol}", self._service))
        known = limited is None or self._find(limited.chain, flows.key(self._header)) is not None
        if limited and not known and nftables.is_full(nft, family, limited.chain):
            return "ConnLim"
        answer = flows.key(translated.reversed())
        taken = self._find(f"reverse_{protocol}", answer) is not None
        if taken and not (protocol == "tcp" and self._find("closing", answer)):
            return "NoRevFlow"
        for name in (f"forward_{protocol}", f"reverse_{protocol}"):
            if nftables.is_full(nft, family, name):
                return "FlowLim"
        return ""

    # --- the FIB

    def _match(self, asked: Address) -> Match:
        group = _group_of(self._vrf, asked) if asked.version == 6 else None
        if group is not None:
            return self._group_match(asked, group)
        way = asking.way(self._vrf.route_socket, self._sender.link, self._header._replace(destination=asked))
        return self._read(asked, way)

    def _group_match(self, asked: Address, number: int) -> Match:
        """Of IPv6: the kernel hashes a question otherwise than a packet (policy 3), so it does not foretell whom a
        group of several takes."""
        members = shares(self._vrf, number)
        only = members[0] if len(members) == 1 else None
        chosen = self._vrf.standing.base(only.interface or "") if only else None
        return Match(
            asked,
            host_prefix(asked),
            number,
            members,
            only.id if only else None,
            only.interface if only else None,
            chosen.device if chosen else None,
        )

    def _read(self, asked: Address, way: Way) -> Match:
        chosen = self._base(way)
        hop = self._hop(chosen, asked)
        uuid, device = (chosen.unit.uuid, chosen.device) if chosen else (None, "lo" if way.local else None)
        return Match(
            asked,
            way.prefix,
            hop if way.nexthop is None else way.nexthop,
            shares(self._vrf, way.nexthop),
            hop,
            uuid,
            device,
        )

    def _base(self, way: Way) -> Base | None:
        """Who is behind it."""
        on = self._vrf.standing.attachments_on(way.link)
        if on is not None or way.gateway is None:
            return on
        reached = self._vrf.standing.at(way.gateway)
        return reached if isinstance(reached, Reached) and reached.link == way.link else None

    def _hop(self, chosen: Base | None, asked: Address) -> int | None:
        return chosen.hops.get(asked.version) if chosen else None

    def _address(self, match: Match) -> Address | None:
        """What `rt nexthop` says."""
        chosen = self._vrf.standing.base(match.interface or "")
        return chosen.unit.address_of(match.asked.version) if chosen else None

    def _out(self, sender: Base, header: Header) -> Base | None:
        return self._base(asking.way(self._vrf.route_socket, sender.link, header))

    def _by_address(self, pod: Address) -> str | None:
        found = self._vrf.standing.at(pod)
        return found.unit.uuid if found else None

    # --- the table

    @property
    def _service(self) -> bytes:
        return elements.service_key(self._header.destination, self._header.destination_port)

    def _find(self, name: str, key: bytes) -> Entry | None:
        return nftables.find(self._vrf.nft_socket, self._header.source.version, name, key)

    def _endpoint(self, number: int) -> _Endpoint | None:
        address = self._find("endpoint_address", elements.mark(number))
        port = self._find("endpoint_port", elements.mark(number))
        return (ip_address(address.data), int.from_bytes(port.data[:2])) if address and port else None

    def _translated(self, pod: Address, port: int, *, hairpin: bool) -> Header:
        source = self._header.destination if hairpin else self._header.source
        return Header(self._header.protocol, source, self._header.source_port, pod, port)

    def _flow(self, forward: Header, endpoint: _Endpoint, there: Entry, back: Entry | None) -> Flow:
        closing = forward.protocol == "tcp" and self._find("closing", flows.key(forward)) is not None
        member = self._by_address(endpoint[0])
        return flows.pair(self._vrf, forward, endpoint, there, back or flows.NOTHING, member, closing=closing)

    # --- the result

    def _lookup(self, match: Match, *, vip: bool = False, refused: str = "") -> Lookup:
        sender = self._sender
        return Lookup(self._vrf.index, sender.unit.uuid, sender.device, self._header, vip, match, refused=refused)

    def _leaves(
        self,
        match: Match,
        translated: Header,
        *,
        vip: bool = False,
        flow: Flow | None = None,
        reverse: bool = False,
    ) -> Lookup:
        out = self._out(self._sender, translated)
        answer = translated.reversed()._replace(destination=self._header.source)
        back = self._out(out, answer) if out else None
        return Lookup(
            self._vrf.index, self._sender.unit.uuid, self._sender.device, self._header, vip, match, flow, reverse,
            refused="" if out else "NoDstRt",
            target=out.unit.uuid if out else None,
            out=out.device if out else None,
            translated=translated if out else None,
            back=back.device if back else None,
        )  # fmt: skip
