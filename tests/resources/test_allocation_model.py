"""The allocator against a model of it: sets of addresses, and a list of subnets.

Whatever is created, asked for, reserved, deleted and reconfigured, in whatever order: no address is given twice or from
outside of what is offered, nobody is refused while one is free, and the counts agree.
"""

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from itertools import count
from typing import Any, TypeVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule, run_state_machine_as_test
from resource_client import DOMAIN, IPAM, Client

from api_server.care.check import Report, check
from api_server.errors import ApiError
from api_server.resources import reservations
from api_server.resources.allocation import Wanted
from api_server.resources.subnets import Address
from api_server.store import Store
from api_server.store.objects import Object

T = TypeVar("T")

NAMES = count()


@dataclass
class Model:
    """One subnet. free: what is handed out; asked_only: what is given on request. The first `pool` addresses make an
    allocation pool; 0: there is none."""

    prefix: str
    from_start: bool = False
    pool: int = 0
    uuid: str | None = None
    taken: set[Address] = field(default_factory=set)

    @property
    def hosts(self) -> list[Address]:
        return list(ip_network(self.prefix))[1:-1]

    @property
    def servers(self) -> tuple[Address, Address]:
        """The gateway and the DNS server."""
        hosts = self.hosts
        return (hosts[0], hosts[1]) if self.from_start else (hosts[-1], hosts[-2])

    @property
    def offered(self) -> list[Address]:
        """In the order in which they are handed out."""
        some = [address for address in (self.hosts[: self.pool] if self.pool else self.hosts)
                if address not in self.servers]  # fmt: skip
        return some if self.from_start else some[::-1]

    @property
    def free(self) -> list[Address]:
        return [address for address in self.offered if address not in self.taken]

    @property
    def givable(self) -> set[Address]:
        return set(self.hosts) - {self.servers[1]} - self.taken

    @property
    def counted(self) -> int:
        """Of the pool: what is taken, and what is kept back."""
        inside = set(self.hosts[: self.pool]) if self.pool else {ip_network(self.prefix)[0], *self.hosts}
        kept = inside - set(self.offered)
        return len(kept | (self.taken & inside))

    @property
    def entry(self) -> dict[str, Any]:
        network = ip_network(self.prefix)
        pools = [{"start": str(self.hosts[0]), "end": str(self.hosts[self.pool - 1])}] if self.pool else None
        return {
            "subnet": {"ip_prefix": str(network.network_address), "ip_prefix_len": network.prefixlen},
            "addr_from_start": self.from_start, "allocation_pools": pools, "subnet_uuid": self.uuid,
        }  # fmt: skip


CANDIDATES = {"10.1.0.0/29": False, "10.2.0.0/28": True, "10.3.0.0/30": False, "fd00::/125": False, "fd01::/124": True}
addresses = st.sampled_from(
    [address for prefix in CANDIDATES for address in ip_network(prefix)] + [ip_address("192.0.2.1"), ip_address("::1")]
)
families = st.sampled_from([None, "v4", "v6"])


class Allocator(RuleBasedStateMachine):
    """One network of a server that lives on; the model of a subnet disappears with the subnet."""

    held = Bundle("held")  # (object or None for a reservation, its address)

    def __init__(self, runner: asyncio.Runner, client: Client) -> None:
        super().__init__()
        self.runner, self.client = runner, client
        self.subnets: list[Model] = []
        name = f"vn{next(NAMES)}"
        self.network: Object = runner.run(client.create("virtual-network", (DOMAIN, "p1", name)))

    def attempt(self, call: Coroutine[Any, Any, T]) -> tuple[T | None, ApiError | None]:
        try:
            return self.runner.run(call), None
        except ApiError as refusal:
            return None, refusal

    def at(self, address: Address) -> Model | None:
        return next((subnet for subnet in self.subnets if address in ip_network(subnet.prefix)), None)

    def suitable(self, family: str | None, position: int | None) -> list[Model]:
        some = self.subnets if position is None else [self.subnets[position % len(self.subnets)]]
        return [one for one in some if family in (None, f"v{ip_network(one.prefix).version}")]

    def reconfigure(self, subnets: list[Model]) -> ApiError | None:
        attr = {"ipam_subnets": [subnet.entry for subnet in subnets]}
        references = [{"to": list(IPAM), "attr": attr}] if subnets else []
        updated, refusal = self.attempt(self.client.update(self.network, network_ipam_refs=references))
        if updated is None:
            return refusal
        self.network, self.subnets = updated, subnets
        stored = [entry for link in self.network.references.get("network_ipam_refs", ()) for entry in
                  link.attr["ipam_subnets"]]  # fmt: skip
        for subnet, entry in zip(subnets, stored, strict=True):
            subnet.uuid = entry["subnet_uuid"]
        return None

    @rule(prefix=st.sampled_from(list(CANDIDATES)), front=st.booleans())
    def add_subnet(self, prefix: str, front: bool) -> None:
        if any(subnet.prefix == prefix for subnet in self.subnets):
            return
        new = Model(prefix, CANDIDATES[prefix])
        assert self.reconfigure([new, *self.subnets] if front else [*self.subnets, new]) is None

    @rule(position=st.integers(0, 4))
    def remove_subnet(self, position: int) -> None:
        if not self.subnets:
            return
        gone = self.subnets[position % len(self.subnets)]
        refusal = self.reconfigure([subnet for subnet in self.subnets if subnet is not gone])
        assert (refusal.status if refusal else None) == (409 if gone.taken else None)

    @rule(position=st.integers(0, 4), size=st.integers(1, 6))
    def add_allocation_pool(self, position: int, size: int) -> None:
        """A pool that is there stays."""
        subnets = [subnet for subnet in self.subnets if not subnet.pool and size <= len(subnet.hosts)]
        if subnets:
            subnets[position % len(subnets)].pool = size
            assert self.reconfigure(self.subnets) is None

    @rule(target=held, family=families, position=st.none() | st.integers(0, 4))
    def allocate(self, family: str | None, position: int | None) -> tuple[Object | None, Address | None]:
        if not self.subnets:
            position = None
        tried = self.suitable(family, position)
        expected = next((subnet.free[0] for subnet in tried if subnet.free), None)
        fields = {} if position is None else {"subnet_uuid": self.subnets[position % len(self.subnets)].uuid}
        return self.take(expected, instance_ip_family=family, **fields)

    @rule(target=held, address=addresses)
    def ask(self, address: Address) -> tuple[Object | None, Address | None]:
        subnet = self.at(address)
        return self.take(
            address if subnet is not None and address in subnet.givable else None, instance_ip_address=str(address)
        )

    def take(self, expected: Address | None, **fields: Any) -> tuple[Object | None, Address | None]:
        taken, refusal = self.attempt(self.client.instance_ip(f"i{next(NAMES)}", self.network, **fields))
        assert (taken is None) == (expected is None), refusal
        if taken is not None and expected is not None:
            assert taken.properties["instance_ip_address"] == str(expected)
            self.mark(expected)
        return taken, expected

    def mark(self, address: Address) -> None:
        subnet = self.at(address)
        assert subnet is not None
        assert address not in subnet.taken
        subnet.taken.add(address)

    @rule(target=held, family=families, amount=st.integers(0, 4))
    def reserve(self, family: str | None, amount: int) -> tuple[Object | None, Address | None]:
        """The first of them is what is given back later."""
        free = [address for subnet in self.suitable(family, None) for address in subnet.free][:amount]
        asked = reservations.Reservation(self.network.uuid, amount, Wanted(family=family))
        taken, refusal = self.attempt(self.client.call(lambda tx: reservations.alloc(tx, asked)))
        if len(free) < amount:
            assert (refusal.status if refusal else None) == 409
            return None, None
        assert taken == [str(address) for address in free]
        for address in free:
            self.mark(address)
        return None, free[0] if free else None

    @rule(one=consumes(held))
    def give_back(self, one: tuple[Object | None, Address | None]) -> None:
        held, address = one
        if address is None:
            return
        if held is not None:
            self.runner.run(self.client.delete(held))
        else:
            self.runner.run(self.client.call(lambda tx: reservations.free(tx, self.network.uuid, [address])))
        subnet = self.at(address)
        assert subnet is not None
        subnet.taken.discard(address)

    @rule(one=held)
    def free_what_an_object_has(self, one: tuple[Object | None, Address | None]) -> None:
        """It stays the object's."""
        held, address = one
        if held is not None and address is not None:
            self.runner.run(self.client.call(lambda tx: reservations.free(tx, self.network.uuid, [address])))

    @invariant()
    def counts_agree(self) -> None:
        subnets = [subnet.uuid or "" for subnet in self.subnets]
        counted = self.runner.run(
            self.client.store.read(lambda reader: reservations.count(reader, self.network.uuid, subnets))
        )
        assert counted == [subnet.counted for subnet in self.subnets]


@pytest.mark.parametrize(("database", "examples"), [("sqlite_url", 40), ("postgres_url", 8)])
def test_no_address_is_given_twice_and_none_withheld(
    request: pytest.FixtureRequest, database: str, examples: int
) -> None:
    with asyncio.Runner() as runner:
        url = request.getfixturevalue(database)
        store = runner.run(Store.open(url))
        client = Client(store)
        runner.run(client.start("p1"))
        try:
            run_state_machine_as_test(  # type: ignore[no-untyped-call]
                lambda: Allocator(runner, client),
                settings=settings(max_examples=examples, stateful_step_count=40, deadline=None),
            )
        finally:
            runner.run(store.close())
    assert check(url) == Report()
