"""What a virtual-machine-interface is bound to (contract 5.6)."""

import json
from typing import Any

import pytest
from resource_client import DOMAIN, Client, to

from api_server.errors import Conflict
from api_server.resources.interfaces import NO_MAC, mac_of
from api_server.store.objects import Object

SYSTEM = "default-global-system-config"
NAME = (DOMAIN, "p1", "i")


@pytest.fixture
async def network(client: Client) -> Object:
    return await client.create("virtual-network", (DOMAIN, "p1", "vn"))


def bound(**pairs: str) -> dict[str, Any]:
    return {
        "virtual_machine_interface_bindings": {
            "key_value_pair": [{"key": key, "value": value} for key, value in pairs.items()]
        }
    }


def bindings(interface: Object) -> dict[str, Any]:
    pairs = interface.properties["virtual_machine_interface_bindings"]["key_value_pair"]
    assert [pair["key"] for pair in pairs] == sorted(pair["key"] for pair in pairs)
    return {pair["key"]: pair["value"] for pair in pairs}


async def node(client: Client, name: str, **fields: Any) -> Object:
    return await client.create("virtual-router", (SYSTEM, name), **fields)


async def machines(client: Client, router: Object) -> list[str]:
    found = await client.get(router)
    assert found is not None
    return found.targets("virtual-machine")


async def test_an_interface_without_bindings_gets_none(client: Client, network: Object) -> None:
    assert "virtual_machine_interface_bindings" not in (await client.interface(NAME, network)).properties


async def test_a_plain_device_is_plugged_in_as_usual(client: Client, network: Object) -> None:
    interface = await client.interface(NAME, network, **bound(host_id="n1", vif_type="guessed"))
    assert bindings(interface) == {"host_id": "n1", "vnic_type": "normal"}
    interface = await client.update(interface, **bound(host_id="n2", vif_type="guessed"))
    assert bindings(interface) == {"host_id": "n2"}  # an update replaces all of them, and adds no kind of its own


@pytest.mark.parametrize(("router", "host"), [("n1", "n1"), ("n1.example.org", "n1"), ("n1.x.org", "n1.y.org")])
async def test_a_vrouter_on_dpdk_is_reached_by_a_socket(
    client: Client, network: Object, router: str, host: str
) -> None:
    await node(client, router, virtual_router_dpdk_enabled=True)
    await node(client, "other", virtual_router_dpdk_enabled=False)
    interface = await client.interface(NAME, network, **bound(host_id=host))
    assert bindings(interface)["vif_type"] == "vhostuser"
    assert json.loads(bindings(interface)["vif_details"]) == {
        "vhostuser_mode": "client",
        "vhostuser_socket": "/var/run/vrouter/uvh_vif_" + f"tap{interface.uuid}"[:14],
        "vhostuser_vrouter_plug": True,
    }
    for elsewhere in ("null", "other"):
        interface = await client.update(interface, **bound(host_id=elsewhere))
        assert bindings(interface) == {"host_id": elsewhere}
        interface = await client.update(interface, **bound(host_id=host))
        assert bindings(interface)["vif_type"] == "vhostuser"


@pytest.mark.parametrize("kind", ["direct", "virtio-forwarder"])
async def test_hardware_takes_the_segment_of_the_data_centre(client: Client, kind: str) -> None:
    details = {"segmentation_id": 100, "physical_network": "net"}
    network = await client.create("virtual-network", (DOMAIN, "p1", "centre"), provider_properties=details)
    interface = await client.interface(NAME, network, **bound(vnic_type=kind))
    assert bindings(interface)["vif_type"] == "hw_veb"
    assert json.loads(bindings(interface)["vif_details"]) == {"port_filter": True, "vlan": "100"}


async def test_a_forwarder_in_hardware(client: Client, network: Object) -> None:
    interface = await client.interface(NAME, network, **bound(vnic_type="virtio-forwarder"))
    assert bindings(interface)["vif_type"] == "vrouter"
    assert json.loads(bindings(interface)["vif_details"])["vhostuser_mode"] == "server"
    interface = await client.update(interface, **bound(vnic_type="virtio-forwarder", host_id="n1"))
    assert json.loads(bindings(interface)["vif_details"])["vhostuser_vrouter_plug"] is True
    interface = await client.update(interface, **bound(vnic_type="virtio-forwarder", host_id="null"))
    assert bindings(interface) == {"vnic_type": "virtio-forwarder", "host_id": "null"}


async def test_other_devices_go_into_the_vrouter(client: Client, network: Object) -> None:
    for kind in ("direct", "macvtap"):
        interface = await client.interface((*NAME[:2], kind), network, **bound(vnic_type=kind))
        assert bindings(interface) == {"vnic_type": kind, "vif_type": "vrouter"}


async def test_a_machine_without_hypervisor_has_no_mac_before_it_is_plugged_in(client: Client, network: Object) -> None:
    links = json.dumps({"local_link_information": [{"port_id": "xe-0/0/1", "switch_info": "leaf"}]})
    unplugged = await client.interface(NAME, network, **bound(vnic_type="baremetal"))
    plugged = await client.interface((*NAME[:2], "j"), network, **bound(vnic_type="baremetal", profile=links))
    unread = await client.interface((*NAME[:2], "k"), network, **bound(vnic_type="baremetal", profile="[" * 100_000))
    found = [each.properties["virtual_machine_interface_mac_addresses"] for each in (unplugged, plugged, unread)]
    assert [each["mac_address"] for each in found] == [[NO_MAC], [mac_of(plugged.uuid)], [NO_MAC]]


async def test_the_kind_of_device_stays_while_a_machine_uses_it(client: Client, network: Object) -> None:
    machine = await client.create("virtual-machine", ["vm"])
    interface = await client.interface(NAME, network, virtual_machine_refs=[to(machine)], **bound(host_id="n1"))
    with pytest.raises(Conflict) as refusal:
        await client.update(interface, **bound(vnic_type="direct"))
    assert refusal.value.text == "Vnic_type can not be modified when port is linked to Vrouter or VM."
    interface = await client.update(interface, virtual_machine_refs=[])
    interface = await client.update(interface, **bound(vnic_type="direct"))
    assert bindings(interface)["vnic_type"] == "direct"
    await client.create("logical-router", (DOMAIN, "p1", "r"), virtual_machine_interface_refs=[to(interface)])
    with pytest.raises(Conflict):
        await client.update(interface, **bound(vnic_type="normal"))


async def test_the_machine_is_where_its_interface_is(client: Client, network: Object) -> None:
    here, there = [await node(client, name) for name in ("n1", "n2")]
    machine = await client.create("virtual-machine", ["vm"])
    interface = await client.interface(NAME, network, virtual_machine_refs=[to(machine)])
    second = await client.interface((*NAME[:2], "j"), network, virtual_machine_refs=[to(machine)])
    interface = await client.update(interface, **bound(host_id="n1"))
    second = await client.update(second, **bound(host_id="n1"))
    assert await machines(client, here) == [machine.uuid]
    interface = await client.update(interface, **bound(host_id="n2"))
    assert (await machines(client, here), await machines(client, there)) == ([machine.uuid], [machine.uuid])
    await client.delete(second)
    assert await machines(client, here) == []
    interface = await client.update(interface, virtual_machine_refs=[])
    assert await machines(client, there) == []
    await client.update(interface, virtual_machine_refs=[to(machine)])
    assert await machines(client, there) == [machine.uuid]
    await client.delete(interface)
    await client.delete(machine)
    await client.delete(there)


async def test_a_host_that_is_unknown_is_no_harm(client: Client, network: Object) -> None:
    machine = await client.create("virtual-machine", ["vm"])
    interface = await client.interface(NAME, network, virtual_machine_refs=[to(machine)], **bound(host_id="nowhere"))
    await client.update(interface, **bound(host_id="neither"))
    await client.delete(interface)
