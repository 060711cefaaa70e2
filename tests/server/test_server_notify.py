"""The server with `--notify`, heard by kombu as Contrail's daemons use it: every kind of write, in Contrail's shape."""

import asyncio
import re
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import httpx
import kombu
import pytest
from notify_listener import listening_to
from rabbitmq_server import RabbitmqServer, free_ports
from serverlab import create, read, running

from api_server.app import create_app
from api_server.settings import Settings

PROJECT = ["default-domain", "default-project"]


class KombuListener:
    """Declares and consumes as Contrail's client of the message bus does (contract 6.1): a queue that does not last,
    auto-named, JSON decoded by kombu itself."""

    def __init__(self, url: str) -> None:
        self.heard: list[dict[str, Any]] = []
        self._connection = kombu.Connection(url)
        exchange = kombu.Exchange("vnc_config.object-update", "fanout", durable=False)
        queue = kombu.Queue("svc_monitor.test", exchange, durable=False, auto_delete=True)
        self._consumer = kombu.Consumer(self._connection.channel(), queues=queue, callbacks=[self._hear])
        self._consumer.consume()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._listen)
        self._thread.start()

    def _hear(self, body: Any, message: kombu.Message) -> None:
        message.ack()
        assert isinstance(body, dict), "kombu has decoded it"
        self.heard.append(body)

    def _listen(self) -> None:
        while not self._ending.is_set():
            with suppress(TimeoutError):
                self._connection.drain_events(timeout=0.05)

    async def until(self, *last: str) -> list[dict[str, Any]]:
        """What was heard, up to a message with this oper, type and name."""
        while True:
            for number, body in enumerate(self.heard, 1):
                if (body["oper"], body["type"], body["fq_name"][-1]) == last:
                    found, self.heard = self.heard[:number], self.heard[number:]
                    return found
            await asyncio.sleep(0.01)

    def close(self) -> None:
        self._ending.set()
        self._thread.join()
        self._consumer.channel.close()
        self._connection.release()


@pytest.fixture
def daemon(rabbitmq: RabbitmqServer) -> Iterator[KombuListener]:
    listener = KombuListener(rabbitmq.url)
    yield listener
    listener.close()


def shape(body: dict[str, Any]) -> tuple[str, str, str, bool]:
    """Checks what all messages have in common; what is left."""
    assert set(body) - {"obj_dict"} == {"request-id", "oper", "type", "uuid", "fq_name"}
    assert body["request-id"].startswith("req-")
    assert isinstance(body["fq_name"], list)
    return body["oper"], body["type"], body["fq_name"][-1], "obj_dict" in body


async def test_every_kind_of_write_is_announced_as_contrail_does(
    database_url: str, rabbitmq: RabbitmqServer, daemon: KombuListener
) -> None:
    app = create_app(Settings(database=database_url, notify=rabbitmq.url))
    async with running(app) as client:
        answer = await client.post(
            "/virtual-networks",
            json={"virtual-network": {"fq_name": [*PROJECT, "red"], "is_shared": False}},
            headers={"X-Request-Id": "req-of-the-client"},
        )
        red = answer.json()["virtual-network"]
        made = await daemon.until("CREATE", "routing_instance", "red")
        assert [shape(body) for body in made] == [
            ("CREATE", "virtual_network", "red", True),
            ("CREATE", "routing_instance", "red", True),
        ], "what a hook makes is announced like what a client makes"
        assert {body["request-id"] for body in made} == {"req-of-the-client"}
        network = made[0]
        assert (network["uuid"], network["fq_name"]) == (red["uuid"], [*PROJECT, "red"])
        stored = await read(client, "virtual-network", red["uuid"], exclude_back_refs="true", exclude_children="true")
        told = network["obj_dict"]
        assert {"uuid", "fq_name", "parent_type", "parent_uuid", "id_perms", "perms2", "display_name"} <= set(told)
        assert told["is_shared"] is False
        for name in told.keys() - {"id_perms"}:
            assert told[name] == stored[name], name

        pool = await create(client, "loadbalancer-pool", "pool")
        member = await create(client, "loadbalancer-member", [*PROJECT, "pool", "m"])
        made = await daemon.until("CREATE", "loadbalancer_member", "m")
        assert made[-1]["obj_dict"]["parent_uuid"] == pool["uuid"]

        path = f"/loadbalancer-member/{member['uuid']}"
        await client.put(path, json={"loadbalancer-member": {"display_name": "n"}})
        assert [shape(body) for body in await daemon.until("UPDATE", "loadbalancer_member", "m")] == [
            ("UPDATE", "loadbalancer_member", "m", False)
        ]

        element = {"field": "annotations", "operation": "set", "value": {"key": "k", "value": "v"}, "position": "k"}
        answer = await client.post(
            "/prop-collection-update", json={"uuid": red["uuid"], "updates": [{**element, "field": "annotations"}]}
        )
        assert answer.status_code == 200, answer.text
        assert len(await daemon.until("UPDATE", "virtual_network", "red")) == 1

        policy = await create(client, "network-policy", "policy")
        link = {
            "operation": "ADD",
            "type": "virtual-network",
            "uuid": red["uuid"],
            "ref-type": "network-policy",
            "ref-uuid": policy["uuid"],
            "attr": {"sequence": {"major": 0, "minor": 0}},
        }
        assert (await client.post("/ref-update", json=link)).status_code == 200
        assert [shape(body) for body in await daemon.until("UPDATE", "virtual_network", "red")] == [
            ("CREATE", "network_policy", "policy", True),
            ("UPDATE", "virtual_network", "red", False),
        ]

        assert (await client.post("/ref-update", json={**link, "operation": "DELETE"})).status_code == 200
        await daemon.until("UPDATE", "virtual_network", "red")
        assert (await client.delete(path)).status_code == 200
        (gone,) = await daemon.until("DELETE", "loadbalancer_member", "m")
        assert shape(gone) == ("DELETE", "loadbalancer_member", "m", True)
        assert gone["obj_dict"]["display_name"] == "n", "as it was"
        assert (await client.delete(f"/virtual-network/{red['uuid']}")).status_code == 200
        gone_too = {shape(body) for body in await daemon.until("DELETE", "virtual_network", "red")}
        assert ("DELETE", "routing_instance", "red", True) in gone_too


async def test_the_other_side_of_a_symmetric_reference_is_implicit(
    database_url: str, rabbitmq: RabbitmqServer, daemon: KombuListener
) -> None:
    app = create_app(Settings(database=database_url, notify=rabbitmq.url))
    async with running(app) as client:
        red = await create(client, "virtual-network", "red")
        blue = await create(client, "virtual-network", "blue")
        await daemon.until("CREATE", "routing_instance", "blue")
        instances = {
            name: (await read(client, "virtual-network", uuid))["routing_instances"][0]["uuid"]
            for name, uuid in (("red", red["uuid"]), ("blue", blue["uuid"]))
        }
        link = {
            "operation": "ADD", "type": "routing-instance", "uuid": instances["red"],
            "ref-type": "routing-instance", "ref-uuid": instances["blue"], "attr": None,
        }  # fmt: skip
        answer = await client.post("/ref-update", json=link)
        assert answer.status_code == 200, answer.text
        assert [shape(body) for body in await daemon.until("UPDATE-IMPLICIT", "routing_instance", "blue")] == [
            ("UPDATE", "routing_instance", "red", False),
            ("UPDATE-IMPLICIT", "routing_instance", "blue", False),
        ]


async def test_the_server_is_well_without_its_broker(database_url: str) -> None:
    (port,) = free_ports(1)
    settings = Settings(database=database_url, notify=f"amqp://127.0.0.1:{port}/")
    async with running(create_app(settings)) as client:
        before = await figures(client)
        for name in "abc":
            await create(client, "loadbalancer", name)
        assert (await client.get("/healthz")).status_code == 200
        now = await figures(client)
        assert now["vaportrail_notify_connected"] == 0
        assert now["vaportrail_notify_publishing"] == 0
        assert before["vaportrail_notify_lag"] == 0
        assert now["vaportrail_notify_lag"] >= 3


async def test_metrics_say_how_far_it_is(database_url: str, rabbitmq: RabbitmqServer) -> None:
    settings = Settings(database=database_url, notify=rabbitmq.url)
    app = create_app(settings)
    async with listening_to(rabbitmq.url) as listener, running(app) as client:
        for name in "abc":
            await create(client, "loadbalancer", name)
        heard = await listener.until(lambda heard: any(one.what[2] == "c" for one in heard))
        while (now := await figures(client))["vaportrail_notify_lag"]:
            await asyncio.sleep(0.01)
        assert now["vaportrail_notify_connected"] == now["vaportrail_notify_publishing"] == 1
        assert now["vaportrail_notify_published_total"] == len(heard)
        assert now["vaportrail_notify_skipped_total"] == 0
    async with running(app) as client:
        assert (await figures(client))["vaportrail_notify_lag"] == 0, "one application may run twice"


async def figures(client: httpx.AsyncClient) -> dict[str, float]:
    text = (await client.get("/metrics")).text
    return {name: float(value) for name, value in re.findall(r"^(vaportrail_notify\w+) (\S+)$", text, re.MULTILINE)}
