"""The load: clients that create, read, change and delete a few objects that they share, and write down what they hear.

A `Scene` is what these objects need: a project with a network, pods, and a load balancer, so that members, networks and
addresses make the server do what it does for them: link back-ends, give addresses and numbers, make routing instances.
"""

import asyncio
import random
import re
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any
from uuid import UUID

import httpx
from history import History, Listing, Operation, Outcome

DOMAIN = "default-domain"
IPAM = [DOMAIN, "default-project", "default-network-ipam"]
PODS = 4
TYPES = ("loadbalancer-member", "virtual-network", "instance-ip")
SLOTS = 3  # objects of each type that are played with at a time
USES = 40  # operations until another object takes its place: histories stay short
DOUBTS = 5  # and no more of unknown outcome: each doubles what has to be searched


@dataclass(slots=True, eq=False)
class Slot:
    """An object that may be there. known: the last version somebody has read, as (token, ETag)."""

    type: str
    uuid: str
    name: str
    uses: int = 0
    doubts: int = 0
    known: tuple[str, str] | None = None


class Scene:
    """door: a way to a server. Its objects are made and removed without faults."""

    def __init__(self, name: str, number: int, chance: random.Random) -> None:
        self.chance = chance
        self.name = name
        self.project = [DOMAIN, name]
        self.pool = [*self.project, "pool"]
        self.parents: dict[str, str | None] = dict.fromkeys(TYPES)
        self.prefix = f"10.{number % 200 + 1}.0.0"
        self.addresses: list[str] = []
        self._names = count(1)
        self.slots = [self._slot(kind) for kind in TYPES for _ in range(SLOTS)]

    async def build(self, door: httpx.AsyncClient) -> None:
        async def make(type: str, fq_name: list[str], **fields: Any) -> str:
            answer = await door.post(f"/{type}s", json={type: {"fq_name": fq_name, **fields}})
            assert answer.status_code == 200, answer.text
            return str(answer.json()[type]["uuid"])

        async def place(name: str) -> str:
            """The address of a new interface."""
            links = {"virtual_network_refs": [{"to": network}]}
            await make("virtual-machine-interface", [*self.project, name], parent_type="project", **links)
            links["virtual_machine_interface_refs"] = [{"to": [*self.project, name]}]
            uuid = await make("instance-ip", [f"{self.name}-{name}"], **links)
            answer = await door.get(f"/instance-ip/{uuid}")
            return str(answer.json()["instance-ip"]["instance_ip_address"])

        network = [*self.project, "network"]
        self.parents["virtual-network"] = await make("project", self.project, parent_type="domain")
        subnet = {"subnet": {"ip_prefix": self.prefix, "ip_prefix_len": 16}}
        await make("virtual-network", network, network_ipam_refs=[{"to": IPAM, "attr": {"ipam_subnets": [subnet]}}])
        self.addresses = [await place(f"pod-{number}") for number in range(PODS)]
        vip = await place("vip")
        await make(
            "loadbalancer", [*self.project, "service"], loadbalancer_provider="native",
            loadbalancer_properties={"vip_address": vip, "admin_state": True},
            virtual_machine_interface_refs=[{"to": [*self.project, "vip"]}],
        )  # fmt: skip
        listener = [*self.project, "listener"]
        await make(
            "loadbalancer-listener", listener, loadbalancer_refs=[{"to": [*self.project, "service"]}],
            loadbalancer_listener_properties={"protocol": "TCP", "protocol_port": 80},
        )  # fmt: skip
        self.parents["loadbalancer-member"] = await make(
            "loadbalancer-pool", self.pool, loadbalancer_listener_refs=[{"to": listener}],
            loadbalancer_pool_properties={"protocol": "TCP", "loadbalancer_method": "ROUND_ROBIN"},
        )  # fmt: skip

    async def remove(self, door: httpx.AsyncClient) -> None:
        """All there is of it, from its leaves on."""
        order = ("loadbalancer-member", "loadbalancer-pool", "loadbalancer-listener", "loadbalancer", "instance-ip",
                 "virtual-machine-interface", "virtual-network", "project")  # fmt: skip
        for kind in order:
            rows = (await door.get(f"/{kind}s")).json()[f"{kind}s"]
            for row in rows:
                if self.name in row["fq_name"] or row["fq_name"][-1].startswith(f"{self.name}-"):
                    answer = await door.delete(f"/{kind}/{row['uuid']}")
                    assert answer.status_code == 200, answer.text

    def slot(self) -> Slot:
        """Any; one that has served takes its leave."""
        place = self.chance.randrange(len(self.slots))
        found = self.slots[place]
        if found.uses >= USES or found.doubts >= DOUBTS:
            found = self.slots[place] = self._slot(found.type)
        found.uses += 1
        return found

    def _slot(self, type: str) -> Slot:
        return Slot(type, str(UUID(int=self.chance.getrandbits(128), version=4)), f"{self.name}-{next(self._names)}")

    def body(self, slot: Slot, token: str) -> dict[str, Any]:
        """Of a create."""
        same = {"uuid": slot.uuid, "display_name": token}
        match slot.type:
            case "loadbalancer-member":
                return {"fq_name": [*self.pool, slot.name], **same, **self.change(slot, token)}
            case "virtual-network":
                return {"fq_name": [*self.project, slot.name], **same}
            case _:
                pod = self.chance.randrange(PODS)
                return {
                    "fq_name": [slot.name], **same,
                    "virtual_network_refs": [{"to": [*self.project, "network"]}],
                    "virtual_machine_interface_refs": [{"to": [*self.project, f"pod-{pod}"]}],
                }  # fmt: skip

    def change(self, slot: Slot, token: str) -> dict[str, Any]:
        """Of an update."""
        if slot.type != "loadbalancer-member":
            return {"display_name": token}
        properties = {"address": self.chance.choice(self.addresses), "protocol_port": 80, "admin_state": True}
        return {"display_name": token, "loadbalancer_member_properties": properties}


@dataclass(slots=True)
class Client:
    """doors: ways to the servers, one of which is taken each time. log: counts what it did (`history`)."""

    number: int
    doors: Sequence[httpx.AsyncClient]
    scene: Scene
    history: History
    chance: random.Random
    _tokens: "count[int]" = field(default_factory=count)

    async def play(self, until: asyncio.Event) -> None:
        actions: dict[Callable[[], Awaitable[bool]], int] = {
            self.create: 4, self.read: 5, self.update: 4, self.update_if: 3, self.delete: 2, self.transaction: 1,
            self.list: 1,
        }  # fmt: skip
        while not until.is_set():
            (action,) = self.chance.choices(list(actions), weights=list(actions.values()))
            if not await action():
                await asyncio.sleep(self.chance.uniform(0.05, 0.3))  # a server that is away is not asked at once again

    async def create(self) -> bool:
        slot, token = self.scene.slot(), self._token()
        body = {slot.type: self.scene.body(slot, token)}
        return await self._do("POST", f"/{slot.type}s", "create", {slot: token}, json=body)

    async def read(self) -> bool:
        slot = self.scene.slot()
        done = self._begin("read", slot, None)
        answer = await self._ask("GET", f"/{slot.type}/{slot.uuid}", {slot: done})
        if answer is not None and answer.status_code == 200:
            done.token, done.version = answer.json()[slot.type]["display_name"], answer.headers["etag"]
            slot.known = done.token, done.version
        return answer is not None

    async def update(self) -> bool:
        slot, token = self.scene.slot(), self._token()
        return await self._do("PUT", f"/{slot.type}/{slot.uuid}", "update", {slot: token},
                              json={slot.type: self.scene.change(slot, token)})  # fmt: skip

    async def update_if(self) -> bool:
        slot, token = self.scene.slot(), self._token()
        if slot.known is None:
            return True
        expected, etag = slot.known
        return await self._do("PUT", f"/{slot.type}/{slot.uuid}", "update", {slot: token}, expected,
                              json={slot.type: self.scene.change(slot, token)}, headers={"If-Match": etag})  # fmt: skip

    async def delete(self) -> bool:
        slot = self.scene.slot()
        return await self._do("DELETE", f"/{slot.type}/{slot.uuid}", "delete", {slot: None})

    async def transaction(self) -> bool:
        """Two objects, together or not at all."""
        slots = {self.scene.slot(): self._token() for _ in range(2)}
        self.history.together.append(list(slots.values()))
        operations = [
            {"method": "PUT", "path": f"/{slot.type}/{slot.uuid}", "body": {slot.type: self.scene.change(slot, token)}}
            for slot, token in slots.items()
        ]
        return await self._do("POST", "/transaction", "update", slots, json={"operations": operations})

    async def list(self) -> bool:
        kind = self.chance.choice(TYPES)
        parent = self.scene.parents[kind]
        parameters = {"detail": "true", "fields": "display_name"} | ({"parent_id": parent} if parent else {})
        called = time.monotonic()
        answer = await self._send("GET", f"/{kind}s", params=parameters)
        if not isinstance(answer, httpx.Response):
            return False
        if answer.status_code == 200:
            rows = [row[kind] for row in answer.json()[f"{kind}s"]]
            found = {row["uuid"]: row["display_name"] for row in rows}
            revision = int(answer.headers["x-revision"])
            self.history.listings.append(Listing(kind, parent, called, time.monotonic(), revision, found))
        elif answer.status_code != 503:
            self.history.odd.append(f"a list of {kind} is answered {answer.status_code} {answer.text}")
        return answer.status_code == 200

    async def _do(
        self, method: str, path: str, action: str, slots: Mapping[Slot, str | None], expected: str | None = None,
        **content: Any,
    ) -> bool:  # fmt: skip
        """A write, and perhaps the same again if nobody can tell whether it took place, as stock clients do."""
        while True:
            done = {slot: self._begin(action, slot, token, expected) for slot, token in slots.items()}
            if await self._ask(method, path, done, **content) is not None:
                return True
            if any(one.outcome is Outcome.NOTHING for one in done.values()) or self.chance.random() < 0.5:
                return False

    def _token(self) -> str:
        return f"{self.scene.name}-client-{self.number}-{next(self._tokens)}"

    def _begin(self, action: Any, slot: Slot, token: str | None, expected: str | None = None) -> Operation:
        found = Operation(self.number, action, slot.type, slot.uuid, time.monotonic(), token, expected)
        self.history.operations.append(found)
        return found

    async def _ask(
        self, method: str, path: str, done: Mapping[Slot, Operation], **content: Any
    ) -> httpx.Response | None:
        """The answer, written down; None if there was none or it was 503."""
        answer = await self._send(method, path, **content)
        now = time.monotonic()
        if not isinstance(answer, httpx.Response):
            outcomes: list[Outcome | None] = [answer] * len(done)
        elif answer.status_code == 404 and (found := re.match(r"operation (\d+): ", answer.text)):
            outcomes = [Outcome.NOTHING] * len(done)
            outcomes[int(found[1]) - 1] = Outcome.ABSENT
        else:
            outcomes = [outcome_of(answer)] * len(done)
        for (slot, one), outcome in zip(done.items(), outcomes, strict=True):
            if outcome is None:
                self.history.odd.append(f"{method} {path} is answered {answer.status_code} {answer.text}")
                continue
            one.outcome = outcome
            if outcome is Outcome.UNKNOWN:
                slot.doubts += one.writes
            elif outcome is not Outcome.NOTHING:
                one.returned = now
                one.revision = int(answer.headers.get("x-revision", "0"))
        return None if isinstance(answer, Outcome) or answer.status_code == 503 else answer

    async def _send(self, method: str, path: str, **content: Any) -> httpx.Response | Outcome:
        try:
            answer = await self.chance.choice(self.doors).request(method, path, **content)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout):
            return Outcome.NOTHING
        except httpx.TransportError:
            return Outcome.UNKNOWN
        self.history.answers += answer.status_code != 503
        return answer


def outcome_of(answer: httpx.Response) -> Outcome | None:
    """None: there is no reason for such an answer."""
    match answer.status_code:
        case 200:
            return Outcome.DONE
        case 404:
            return Outcome.ABSENT
        case 409:
            return Outcome.EXISTS
        case 412:
            return Outcome.CHANGED
        case 503:
            return Outcome.UNKNOWN if "unknown" in answer.text else Outcome.NOTHING
        case _:
            return None
