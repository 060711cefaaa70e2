"""Differences between two states of the data plane, in words, and what becomes of the connections that are open.

What is said of connections is what every backend keeps (tests/vrouter/conformance): a flow lives with its listener and
with the interface of its member. A member that leaves, is drained, or gets another port or weight keeps its own.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from vrouter.compiler import Compiler
from vrouter.rehearsal import Difference, Rehearsal
from vrouter.state import (
    Egress,
    Exit,
    Interface,
    Join,
    Key,
    Listener,
    Member,
    Outside,
    Remote,
    Unit,
    Uplink,
    Vip,
    socket_address,
)

Sign = Literal["+", "-", "~", " "]  # comes, goes, changes, neither
Change = Literal["comes", "goes", "changes"]


@dataclass(frozen=True, slots=True)
class Line:
    """depth: 0 for what is below the unit itself. cuts: whether open connections end by this."""

    depth: int
    sign: Sign
    text: str
    cuts: bool = False


@dataclass(frozen=True, slots=True)
class Told:
    """One unit's difference. title: the unit, for people. before, after: None where it does not exist."""

    change: Change
    title: str
    lines: Sequence[Line]
    key: Key
    before: Unit | None
    after: Unit | None


def tell(compiler: Compiler, rehearsal: Rehearsal) -> list[Told]:
    """VRFs, ways between and out of them, interfaces, remote ones, addresses outside, VIPs, in that order, by title."""
    order = ("vrf", "join", "uplink", "exit", "interface", "remote", "outside", "egress", "vip")
    words = _Words(compiler, rehearsal)
    told = [words.told(each) for each in rehearsal.differences]
    return sorted(told, key=lambda each: (order.index(str(each.key[0])), each.title))


class _Words:
    def __init__(self, compiler: Compiler, rehearsal: Rehearsal) -> None:
        self._compilers = (rehearsal.ahead, compiler)
        # interfaces whose connections end: those that go, and those that are made anew
        self._ending = {
            each.before.uuid
            for each in rehearsal.differences
            if (isinstance(each.before, Interface) and (each.after is None or _but_name(each.before, each.after)))
            or (isinstance(each.before, Remote) and each.after is None)
        }

    def told(self, each: Difference) -> Told:
        match each.after or each.before:
            case Join() as join:
                title, lines = (
                    f"join of VRF {self._vrf(join.one)} and VRF {self._vrf(join.other)}",
                    _fields(0, None, None),
                )
            case Uplink() | Exit() | Egress() as way:
                title, lines = f"way out of VRF {way.name}", _fields(0, each.before, each.after)
            case Outside() as outside:
                title = f"address {outside.address} outside, of {outside.name}"
                lines = _fields(0, each.before, each.after)
            case Interface(name=name):
                title, lines = f"interface {name}", self._interface(each)
            case Remote(name=name, vrf=vrf):
                title, lines = f"remote interface {name} in VRF {self._vrf(vrf)}", self._remote(each)
            case Vip() as vip:
                title, lines = f"VIP {vip.address} in VRF {self._vrf(vip.vrf)}, service {vip.name}", self._vip(each)
            case unit:
                title, lines = f"VRF {unit.name if unit else ''}", _fields(0, each.before, each.after)
        change: Change = "comes" if each.before is None else "goes" if each.after is None else "changes"
        return Told(change, title, list(lines), each.key, each.before, each.after)

    def _interface(self, each: Difference) -> Iterator[Line]:
        unit = each.after or each.before
        assert isinstance(unit, Interface)
        if each.before is not None and each.after is not None:
            yield from _fields(0, each.before, each.after)
            if unit.uuid in self._ending:
                yield Line(0, "-", "it is made anew: connections open through it end", cuts=True)
        elif each.after is not None:
            yield Line(0, "+", f"{unit.address_text} in VRF {self._vrf(unit.vrf)}, workload {unit.workload}")
        else:
            yield Line(0, "-", f"{unit.address_text}: connections open through it end", cuts=True)

    def _remote(self, each: Difference) -> Iterator[Line]:
        if each.before is not None and each.after is not None:
            yield from _fields(0, each.before, each.after)
        elif isinstance(each.after, Remote):
            yield Line(0, "+", f"{each.after.address_text} by {each.after.via}")
        elif isinstance(each.before, Remote):
            yield Line(0, "-", f"{each.before.address_text}: connections open to it end", cuts=True)

    def _vip(self, each: Difference) -> Iterator[Line]:
        before, after = each.before, each.after
        assert isinstance(before, Vip | None)
        assert isinstance(after, Vip | None)
        if before is not None and after is not None:
            yield from _fields(0, before, after, but={"listeners"})
        old = {(one.protocol, one.port): one for one in before.listeners} if before else {}
        new = {(one.protocol, one.port): one for one in after.listeners} if after else {}
        for place in sorted(old.keys() | new.keys()):
            yield from self._listener(old.get(place), new.get(place))
        if after is not None and not after.listeners:
            yield Line(0, " ", "it has no listener: every connection is refused")

    def _listener(self, before: Listener | None, after: Listener | None) -> Iterator[Line]:
        if before == after:
            return
        if after is None:
            assert before is not None
            yield Line(0, "-", f"{_port(before)}: connections open to it end, new ones are refused", cuts=True)
            return
        options = list(_fields(1, before, after, but={"members"}))
        count = f"{len(after.members)} member{'' if len(after.members) == 1 else 's'}"
        if before is not None and len(before.members) != len(after.members):
            count += f" instead of {len(before.members)}"
        if not after.members:
            count += ": every new connection is refused"
        yield Line(0, "~" if before else "+", f"{_port(after)}: {count}")
        yield from options
        old = {one.interface: one for one in before.members} if before else {}
        new = {one.interface: one for one in after.members}
        total = sum(one.weight for one in after.backends.values())
        for uuid in sorted(old.keys() | new.keys(), key=lambda uuid: (new.get(uuid) or old[uuid]).address):
            yield from self._member(old.get(uuid), new.get(uuid), total)

    def _member(self, before: Member | None, after: Member | None, total: int) -> Iterator[Line]:
        """total: weight of all members there would be."""
        if before == after:
            return
        if after is None:
            assert before is not None
            cuts = before.interface in self._ending
            rest = "its connections end with its interface" if cuts else "no new connections; its open ones go on"
            yield Line(1, "-", f"{self._target(before)}: {rest}", cuts)
            return
        share = f"{100 * after.weight / total:.0f} % of new connections"
        if before is None:
            yield Line(1, "+", f"{self._target(after)}, weight {after.weight}: {share}")
            return
        if before.weight != after.weight:
            yield Line(1, "~", f"{self._target(after)}: weight {before.weight} -> {after.weight}, {share}")
        if (before.address, before.port) != (after.address, after.port):
            old, cuts = socket_address(before.address, before.port), before.interface in self._ending
            rest = "open connections end with its interface" if cuts else "open connections stay with the old one"
            yield Line(1, "~", f"{self._target(after)} instead of {old}: {rest}", cuts)

    def _target(self, member: Member) -> str:
        found = (compiler.cache.get(member.interface) for compiler in self._compilers)
        name = next((":".join(one.fq_name) for one in found if one is not None), member.interface)
        return f"{socket_address(member.address, member.port)} ({name})"

    def _vrf(self, index: int) -> str:
        return self._name(("vrf", index), str(index))

    def _name(self, key: Key, otherwise: str) -> str:
        units = (compiler.desired.get(key) for compiler in self._compilers)
        return next((unit.name for unit in units if unit is not None), otherwise)


def _port(listener: Listener) -> str:
    return f"{listener.protocol} port {listener.port}"


def _but_name(before: Unit, after: Unit) -> bool:
    """Whether they differ in more than what they are called."""
    return any(True for _ in _differing(before, after, {"name"}))


def _fields(depth: int, before: Any, after: Any, but: frozenset[str] | set[str] = frozenset()) -> Iterator[Line]:
    """A line for each field that differs."""
    for name, old, new in _differing(before, after, but):
        yield Line(depth, "~", f"{name}: {_text(old)} -> {_text(new)}")


def _text(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _differing(before: Any, after: Any, but: frozenset[str] | set[str]) -> Iterator[tuple[str, Any, Any]]:
    if before is None or after is None:
        return
    for name in after.__slots__:
        if name not in but and getattr(before, name) != getattr(after, name):
            yield name, getattr(before, name), getattr(after, name)
