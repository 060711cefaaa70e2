"""`/trace`: the way of one packet, asked of the back-end."""

import random
from collections.abc import Iterator, Sequence
from ipaddress import ip_address
from typing import Any, get_args

from starlette.requests import Request

from vrouter.backends.lookup import Header, Lookup
from vrouter.backends.protocol import BackendError
from vrouter.compiler.view import Absent, View
from vrouter.introspect.questions import BadQuestion, number
from vrouter.introspect.sources import Sources
from vrouter.state import Address, Interface, Protocol, Vip, addresses_of, base_of
from vrouter.subjects import Subjects, split
from vrouter.trace import Step, tell

EPHEMERAL = range(32_768, 61_000)  # Linux's ip_local_port_range


async def trace(sources: Sources, request: Request) -> Any:
    """pod: who sends, by interface, workload, address or uuid. to: `VIP:PORT`, or a service's or pod's name
    in its place. protocol: tcp unless given. sport: source port, a random one unless given."""
    protocol = request.query_params.get("protocol", "tcp").lower()
    if protocol not in get_args(Protocol):
        raise BadQuestion(f"protocol is not tcp or udp: {protocol!r}")
    sport = int(number(request, "sport", random.choice(EPHEMERAL)))  # noqa: S311  no secret
    if not 1 <= sport <= 65535:
        raise BadQuestion(f"sport is not in 1..65535: {sport}")
    subjects = Subjects(sources.cache, View(sources.compiler))
    host, port = split(_given(request, "to", "VIP:PORT"))
    if not port:
        raise BadQuestion(f"to has no port: {host!r} (VIP:PORT, or [VIP]:PORT for IPv6)")
    sender, destination = _ends(sources, subjects, _given(request, "pod", "who sends"), host)
    source = _address_of(sender, destination)
    header = Header(protocol, source, sport, destination, port)  # type: ignore[arg-type]  # looked at above
    try:
        found = await sources.reconciler.ask(lambda: sources.backend.lookup(sender.uuid, header))
    except BackendError as error:
        raise BadQuestion(f"interface {sender.name}: {error}") from error
    steps = tell(found, sources.compiler.desired)
    if not found.vip:
        steps += _elsewhere(sources, sender, destination)
    elif found.refused == "NoDstRt":
        steps += _unused(sources, found)
    return {
        "from": {"interface": sender.uuid, "name": sender.name, "workload": sender.workload},
        "header": header._asdict(),
        "vrf": found.vrf,
        "vip": found.vip,
        "member": found.target,
        "member_name": sources.interface_name(found.target),
        "translated": found.translated._asdict() if found.translated else None,
        "known_flow": found.flow is not None,
        "refused": found.refused or None,
        "steps": [{"step": one.kind, "good": one.good, "text": one.text, **one.values} for one in steps],
    }


def _given(request: Request, name: str, what: str) -> str:
    text = request.query_params.get(name, "")
    if not text:
        raise BadQuestion(f"{name} is missing: {what}")
    return text


def _ends(sources: Sources, subjects: Subjects, pod: str, host: str) -> tuple[Interface, Address]:
    """The interface that sends, and the address it sends to."""
    senders = _standing(sources, subjects, pod)
    try:
        destination = ip_address(host)
    except ValueError:
        places = [(one, address) for one in senders for address in _addresses(sources, subjects, host, one)]
        if not places:
            raise BadQuestion(f"to: no service or pod in a VRF of {pod!r} is called {host!r}") from None
        senders, destination = [places[0][0]], places[0][1]
    # of several interfaces the one from whose VRF there is such a VIP
    better = [one for one in senders if ("vip", one.vrf, str(destination)) in sources.compiler.desired] or senders
    better = [one for one in better if _has(one, destination)] or better
    if len(better) > 1:
        raise BadQuestion(f"pod: {pod!r} may be {' or '.join(one.name for one in better)}: name the interface")
    return better[0], destination


def _standing(sources: Sources, subjects: Subjects, pod: str) -> Sequence[Interface]:
    objects = subjects.pods(pod)
    if not objects:
        raise BadQuestion(f"pod: no pod that the agent knows is called {pod!r}")
    units = [unit for one in objects
             if isinstance(unit := sources.compiler.desired.get(("interface", one.uuid)), Interface)]  # fmt: skip
    if not units:
        value = View(sources.compiler).interface(objects[0].uuid)
        why = value.text if isinstance(value, Absent) else f"is on node {value.node}: ask its agent"
        raise BadQuestion(f"pod: interface {objects[0].name} {why}")
    return units


def _addresses(sources: Sources, subjects: Subjects, name: str, sender: Interface) -> list[Address]:
    """What a name leads to in the sender's VRF: the VIPs of a service, or a pod."""
    owners = {one.uuid for one in subjects.services(name)}
    vips = [
        unit.address for owner in sorted(owners) if (result := sources.compiler.result(("loadbalancer", owner)))
        for unit in result.units if isinstance(unit, Vip) and unit.vrf == sender.vrf
    ]  # fmt: skip
    found: list[Address] = list(vips)
    for pod in subjects.pods(name):
        unit = base_of(sources.compiler.desired, sender.vrf, pod.uuid)
        found += addresses_of(unit) if unit else ()
    return [address for address in found if _has(sender, address)] or found


def _has(sender: Interface, destination: Address) -> bool:
    return sender.address_of(destination.version) is not None


def _address_of(sender: Interface, destination: Address) -> Address:
    """The sender's own, of that family."""
    address = sender.address_of(destination.version)
    if address is None:
        raise BadQuestion(f"pod: interface {sender.name} has no IPv{destination.version} address")
    return address


def _unused(sources: Sources, found: Lookup) -> list[Step]:
    """Why no member of the listener is usable."""
    header = found.header
    owner = sources.compiler.owner(("vip", found.vrf, str(header.destination)))
    result = sources.compiler.result(owner) if owner else None
    members = set(_members(sources, found)) if owner else set()
    return [
        Step("why", reason.text, False, {"uuid": reason.subject[1], "code": reason.code})
        for reason in (result.reasons if result else ()) if reason.subject[1] in members
    ]  # fmt: skip


def _members(sources: Sources, found: Lookup) -> Iterator[str]:
    """uuids of the listener's members, used or not."""
    view = View(sources.compiler)
    port = found.header.destination_port
    for listener in Subjects(sources.cache, view).called(f"[{found.header.destination}]:{port}"):
        for pool in view.referrers(listener.uuid, "loadbalancer-pool"):
            yield from (member.uuid for member in view.children(pool, "loadbalancer-member"))


def _elsewhere(sources: Sources, sender: Interface, destination: Address) -> list[Step]:
    """Why an address that somebody has is nothing here."""
    here = ("vip", sender.vrf, str(destination))
    if here in sources.compiler.desired:
        return [
            Step(
                "hint", f"VIP {destination} should stand in this VRF: {sources.state(here)['text'] or 'pending'}", False
            )
        ]
    others = [
        name for key, unit in sources.compiler.desired.items()
        if key[0] == "vrf" and ("vip", key[1], str(destination)) in sources.compiler.desired
        and (name := getattr(unit, "name", None))
    ]  # fmt: skip
    if not others:
        return []
    text = f"{destination} is a VIP in VRF {', '.join(others)}, to which no network-policy joins this one"
    return [Step("hint", text, False, {"vrfs": others})]
