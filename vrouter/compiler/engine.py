"""What the data plane should be, kept up to date with the cache.

The engine runs the compile functions and remembers, for each result, what it was made from. A change of the cache marks
the results that read it; they are made again, and whoever read *them* only if they came out different. So the work for
a change is in proportion to what it touches, and a full compile is the same functions over everything:
`Compiler(...).touch(all)`.

Two units may want one address of a VRF. The oldest keeps it (a newcomer must not take traffic from what works), an
interface goes before a VIP, and the loser gets a reason; it takes over when the address becomes free. An interface
that loses one of its two addresses stands with the other.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, MutableMapping, Sequence
from collections.abc import Set as AbstractSet
from copy import copy
from dataclasses import replace
from itertools import chain, takewhile
from typing import Self

from vrouter.cache import Cache, Fact
from vrouter.compiler.interfaces import compile_interface
from vrouter.compiler.networks import compile_network, compile_peers
from vrouter.compiler.routers import compile_router
from vrouter.compiler.routes import compile_joined, compile_leak, compile_outlook
from vrouter.compiler.scopes import compile_inlet, compile_needs, compile_scopes
from vrouter.compiler.services import compile_floating_ip, compile_listener, compile_loadbalancer, compile_pool
from vrouter.compiler.view import Mark, Node, Result, Rule, Value, View
from vrouter.layer import Layer, layered
from vrouter.multimap import Multimap
from vrouter.state import (
    Address,
    Check,
    Egress,
    Exit,
    Health,
    Interface,
    Join,
    Key,
    Outside,
    Plug,
    Reason,
    Remote,
    Unit,
    Uplink,
    Vip,
    Vrf,
    addresses_of,
)

# In the order of what reads what: a rule reads results of those before it only.
_RULES: Mapping[Rule, Callable[[View, str], Result]] = {
    "router": compile_router,
    "network": compile_network,
    "peers": compile_peers,
    "interface": compile_interface,
    "joined": compile_joined,
    "listener": compile_listener,
    "pool": compile_pool,
    "loadbalancer": compile_loadbalancer,
    "floating-ip": compile_floating_ip,
    "outlook": compile_outlook,
    "leak": compile_leak,
    "inlet": compile_inlet,
    "needs": compile_needs,
    "scopes": compile_scopes,
}
# Those before that of services, which need all their members.
_EARLY: Sequence[Rule] = tuple(takewhile(lambda rule: rule != "loadbalancer", _RULES))

SCOPES: Node = ("scopes", "")
"""The one result of its rule, which is there whatever objects there are."""

# The rules that the scopes are made from.
_TELLING: Sequence[Rule] = ("router", "network", "peers", "inlet", "needs", "scopes")

# type of object -> what is computed for each of them; the other rules are computed when somebody reads them
_ROOTS: Mapping[str, Sequence[Rule]] = {
    "virtual-machine-interface": ("interface", "leak"),
    "loadbalancer-listener": ("listener",),
    "loadbalancer-pool": ("pool",),
    "loadbalancer": ("loadbalancer",),
    "floating-ip": ("floating-ip", "inlet"),
}
_ROOTED = frozenset(chain.from_iterable(_ROOTS.values()))

_EMPTY = Result()


def unprobed(check: Check) -> Health:
    """Where nobody probes."""
    return Health("up")


def unplugged(interface: str) -> None:
    """Where no port client is heard."""


def portless() -> Mapping[str, str]:
    """The same."""
    return {}


class Compiler:
    """desired: the units this node should have, by key. checks: the members to probe, by uuid.

    health: what is known of a member now; whoever makes it something else touches `health_of(member)`.
    external: the device of this node by which the outside is reached, None without one.
    plug: what a port says of an interface of this node; whoever makes it something else touches the interface's uuid.
    ports: the interfaces that ports plug, with their networks; who plugs touches `PORTS`.
    """

    def __init__(
        self,
        cache: Cache,
        node: str,
        health: Callable[[Check], Health] = unprobed,
        *,
        external: str | None = None,
    ) -> None:
        self.external = external
        self.cache = cache
        self.node = node
        self.health = health
        self.plug: Callable[[str], Plug | None] = unplugged
        self.ports: Callable[[], Mapping[str, str]] = portless
        self.desired: MutableMapping[Key, Unit] = {}
        self.checks: MutableMapping[str, Check] = {}
        self._changed: set[Key] = set()
        self._examined: set[str] = set()
        self._changed_checks: set[str] = set()
        self._checks: MutableMapping[Node, Mapping[str, Check]] = {}  # whose result asks for which
        self._askers: Multimap[str, Node] = Multimap()  # member -> who asks for it
        self._results: MutableMapping[Node, Result] = {}
        self._said: Multimap[Reason, Node] = Multimap()  # reason -> whose results have it
        self._reads: MutableMapping[Node, set[Fact]] = {}  # what a result was made from
        self._readers: Multimap[Fact, Node] = Multimap()  # fact or node -> nodes made from it
        # In order: what was marked together came together, and so lies together in memory.
        self._dirty: MutableMapping[Rule, dict[str, None]] = {rule: {} for rule in _RULES}
        self._dirty[SCOPES[0]][SCOPES[1]] = None
        self._markers: Multimap[Mark, Node] = Multimap()  # who makes it true
        self._marks: Multimap[Fact, str] = Multimap()  # fact -> its values
        self._claims: Multimap[Key, Node] = Multimap()  # (vrf, address) or (vrf) -> who wants it
        self._held: MutableMapping[Key, tuple[Node, Key]] = {}  # the same -> whose unit has it

    @property
    def pending(self) -> bool:
        return any(self._dirty.values())

    @property
    def scopes(self) -> frozenset[str]:
        """What of the server's objects this node needs to have in sight, as far as is known and compiled."""
        value = self._results.get(SCOPES, _EMPTY).value
        return frozenset(one for one in value if isinstance(one, str)) if isinstance(value, tuple) else frozenset()

    @property
    def size(self) -> tuple[int, int, int]:
        """(results, facts they were made from, facts somebody reads): grows and shrinks with the objects."""
        return len(self._results), sum(map(len, self._reads.values())), len(self._readers)

    def fork(self) -> Self:
        """One that goes on from here by itself, with a fork of the cache. What it costs is what it compiles.

        Its `take_changed` begins here. Valid until this one, or its cache, goes on.
        """
        fork = copy(self)
        for name, value in vars(self).items():
            setattr(fork, name, layered(value))
        fork._changed = set()
        return fork

    def touch(self, facts: Iterable[Fact]) -> None:
        """Mark what was made from these, and what should be made for objects among them."""
        facts = facts if isinstance(facts, AbstractSet) else set(facts)
        for fact in self._readers.among(facts):
            for rule, uuid in self._readers.get(fact):
                self._dirty[rule][uuid] = None
        for fact in facts:
            if isinstance(fact, str) and (found := self.cache.get(fact)):
                for rule in _ROOTS.get(found.type, ()):
                    self._dirty[rule][fact] = None

    def look_around(self) -> None:
        """Make only what tells which scopes are needed."""
        self._make(_TELLING)

    def prepare(self, limit: int) -> None:
        """Make some of what can be made while members are still on their way."""
        self._make(_EARLY, limit)

    def compile(self, limit: int | None = None) -> None:
        """Make what is marked again, at most about `limit` results of it; `pending` says whether more is to do."""
        self._make(_RULES, limit)

    def _make(self, rules: Iterable[Rule], limit: int | None = None) -> None:
        done = 0
        for rule in rules:
            dirty = self._dirty[rule]
            while dirty:
                if limit is not None and done >= limit:
                    return
                node = (rule, dirty.popitem()[0])
                self._evaluate(node)
                self._forget_unread(node)
                done += 1

    def take_changed(self) -> set[Key]:
        """Keys whose desired unit differs since the last call."""
        changed, self._changed = self._changed, set()
        return changed

    def take_examined(self) -> set[str]:
        """uuids of load balancers that were looked at again since the last call."""
        examined, self._examined = self._examined, set()
        return examined

    def take_changed_checks(self) -> set[str]:
        """uuids of members that are probed in another way since the last call, or no more."""
        changed, self._changed_checks = self._changed_checks, set()
        return changed

    def result(self, node: Node) -> Result | None:
        return self._results.get(node)

    def owner(self, key: Key) -> Node | None:
        """For whose sake a unit is desired: ("loadbalancer", its uuid), say."""
        unit = self.desired.get(key)
        return self._held[_places(unit)[0]][0] if unit else None

    def reasons(self) -> Iterator[Reason]:
        """Why something that was asked for is not done, without what a backend has to say."""
        yield from self._said
        yield from self.reasons_of((), self._claims.contested())

    def reasons_of(self, nodes: Iterable[Node], places: Iterable[Key]) -> Iterator[Reason]:
        """Those of a few results, and of who did not get one of these places."""
        yield from chain.from_iterable(self._results.get(node, _EMPTY).reasons for node in nodes)
        for place in places:
            yield from self._lost(place)

    def says(self, reason: Reason) -> bool:
        """Whether any result has that reason."""
        return reason in self._said

    @property
    def made(self) -> set[Node]:
        """Results that were made again or dropped since the fork."""
        return self._results.written if isinstance(self._results, Layer) else set(self._results)

    def places(self, nodes: Iterable[Node]) -> set[Key]:
        """Where the units of these results want to be."""
        return {place for node in nodes for unit in self._results.get(node, _EMPTY).units for place in _places(unit)}

    def readers(self, fact: Fact) -> Collection[Node]:
        """The results made from that object or result."""
        return self._readers.get(fact)

    # --- for the views

    def value(self, node: Node) -> Value:
        rule, uuid = node
        found = self._results.get(node)
        if found is not None and uuid not in self._dirty[rule]:
            return found.value
        self._dirty[rule].pop(uuid, None)
        self._evaluate(node)
        return self._results.get(node, _EMPTY).value

    def marked(self, fact: Fact) -> Collection[str]:
        return self._marks.get(fact)

    # --- results

    def _evaluate(self, node: Node) -> None:
        rule, uuid = node
        if rule == "loadbalancer":
            self._examined.add(uuid)
        view = View(self)
        result = _RULES[rule](view, uuid)
        before = self._results.get(node, _EMPTY)
        self._results[node] = result
        self._remember(node, view.reads)
        self._check(node, view.checks)
        if result == before:
            return
        if result.reasons != before.reasons:
            self._say(node, before.reasons, result.reasons)
        if result.value != before.value:
            self.touch([node])
        if result.marks != before.marks:
            self._mark(node, before.marks, result.marks)
        if result.units != before.units or result.age != before.age:
            self._claim(node, before, result)

    def _remember(self, node: Node, reads: set[Fact]) -> None:
        before = self._reads.get(node)
        self._reads[node] = reads
        self._readers.add_each(reads - before if before else reads, node)
        for fact in before - reads if before else ():
            self._unread(fact, node)

    def _unread(self, fact: Fact, reader: Node) -> None:
        self._readers.discard(fact, reader)
        if isinstance(fact, tuple) and fact[0] in _RULES:
            self._forget_unread(fact)  # type: ignore[arg-type]  # its first part is a rule's name, so it is a node

    def _forget_unread(self, node: Node) -> None:
        """Drop a result that says nothing, or that only readers needed, once nobody reads it."""
        if node == SCOPES:
            return
        rooted = node[0] in _ROOTED
        if node in self._readers or node not in self._results or (rooted and self._results[node] != _EMPTY):
            return
        if rooted and self.cache.get(node[1]) is not None:
            return  # it says nothing now, but must notice when it should
        self._say(node, self._results.pop(node).reasons, ())
        self._dirty[node[0]].pop(node[1], None)
        for fact in self._reads.pop(node):
            self._unread(fact, node)

    def _say(self, node: Node, before: Iterable[Reason], after: Iterable[Reason]) -> None:
        for reason in before:
            self._said.discard(reason, node)
        self._said.add_each(after, node)

    def _mark(self, node: Node, before: frozenset[Mark], after: frozenset[Mark]) -> None:
        """Note which facts it makes true."""
        come = after - before
        for mark in come:
            if mark not in self._markers:
                self._marks.add(*mark)
                self.touch([mark[0]])
        self._markers.add_each(come, node)
        for mark in before - after:
            self._markers.discard(mark, node)
            if mark not in self._markers:
                self._marks.discard(*mark)
                self.touch([mark[0]])

    def _check(self, node: Node, asked: Collection[Check]) -> None:
        """Note which members a result wants probed; each once, however many listeners have its pool."""
        if not asked and node not in self._checks:
            return
        checks = {check.member: check for check in asked}
        before = self._checks.pop(node, {})
        if checks:
            self._checks[node] = checks
        if checks == before:
            return
        for member in before.keys() - checks.keys():
            self._askers.discard(member, node)
        for member in checks.keys() | before.keys():
            if member in checks:
                self._askers.add(member, node)
            wanted = [self._checks[asker][member] for asker in self._askers.get(member)]
            if wanted:  # several differ only where one member serves VIPs of two loadbalancers
                self.checks[member] = min(wanted, key=lambda check: str(check.address))
            else:
                self.checks.pop(member, None)
            self._changed_checks.add(member)

    # --- units

    def _claim(self, node: Node, before: Result, after: Result) -> None:
        old = {place for unit in before.units for place in _places(unit)}
        new = {place for unit in after.units for place in _places(unit)}
        for place in old - new:
            self._claims.discard(place, node)
        self._claims.add_each(new - old, node)
        for place in old | new:
            self._settle(place)

    def _settle(self, place: Key) -> None:
        """Give a place to whom it belongs."""
        owner = self._owner(place)
        before, now = self._held.get(place), (owner, self._unit(owner, place).key) if owner else None
        if now is None:
            self._held.pop(place, None)
        else:
            self._held[place] = now
        for holder in dict.fromkeys((before, now)):
            if holder is not None:
                self._desire(*holder)

    def _desire(self, node: Node, key: Key) -> None:
        """Want the node's unit of that key with the places that it has; without any, not at all."""
        unit = next((unit for unit in self._results.get(node, _EMPTY).units if unit.key == key), None)
        if unit is not None:
            had = [place for place in _places(unit) if self._held.get(place) == (node, key)]
            if isinstance(unit, Interface) and had:
                kept = tuple(one for one in unit.addresses if _address_place(unit.vrf, one.address) in had)
                unit = replace(unit, addresses=kept)
            elif isinstance(unit, Remote) and had:
                some = tuple(one for one in unit.addresses if _address_place(unit.vrf, one) in had)
                unit = replace(unit, addresses=some)
            elif not had:
                unit = None
        if unit == self.desired.get(key):
            return
        if unit is None:
            del self.desired[key]
        else:
            self.desired[key] = unit
        self._changed.add(key)

    def _owner(self, place: Key) -> Node | None:
        held = self._held.get(place)
        if place[0] != "address" and held is not None and self._claims.has(place, held[0]):
            return held[0]  # all who claim a VRF or a join mean the same one
        claims = self._claims.get(place)
        return min(claims, key=self._rank, default=None) if len(claims) != 1 else next(iter(claims))

    def _rank(self, node: Node) -> tuple[bool, str, str]:
        return node[0] != "interface", self._results[node].age, node[1]

    def _unit(self, node: Node, place: Key) -> Unit:
        return next(unit for unit in self._results[node].units if place in _places(unit))

    def _lost(self, place: Key) -> Iterator[Reason]:
        owner = self._owner(place)
        if owner is None or place[0] not in ("address", "exit"):
            return
        has = self._unit(owner, place)
        if isinstance(has, Exit):
            yield from self._other_exits(place, has)
            return
        kind = "service" if isinstance(has, Vip) else "interface"
        for node in self._claims.get(place):
            wants = self._unit(node, place)
            at_home = isinstance(wants, Remote) and isinstance(has, Remote) and wants.via == has.via  # they meet there
            if node != owner and not at_home:
                subject = self.cache.get(node[1])
                text = f"{wants.name}: the address {place[2]} is already that of {kind} {has.name} in this VRF"
                yield Reason((subject.type if subject else node[0], node[1]), "address-taken", text)

    def _other_exits(self, place: Key, has: Exit) -> Iterator[Reason]:
        """Who would answer by another one than the VRF has."""
        for node in self._claims.get(place):
            wants = self._unit(node, place)
            subject = self.cache.get(node[1])
            if wants != has and isinstance(wants, Exit) and subject is not None:
                ways = f"VRF {wants.vrf} has its way out by VRF {has.via}, not by {wants.via}"
                text = f"{subject.name}: {ways}: what comes from outside by the latter is not answered"
                yield Reason((subject.type, subject.uuid), "exit-taken", text)


def _places(unit: Unit) -> tuple[Key, ...]:
    """What only one unit can have."""
    match unit:
        case Vip():  # of which there are most
            return (_address_place(unit.vrf, unit.address),)
        case Interface() | Remote():
            return tuple(_address_place(unit.vrf, one) for one in addresses_of(unit))
        case Vrf() | Join() | Uplink() | Exit() | Outside() | Egress():
            return (unit.key,)


def _address_place(vrf: int, address: Address) -> Key:
    return ("address", vrf, str(address))
