"""Contrail's own client library against this server: discovery, a load balancer from creation to deletion."""

import asyncio
from typing import Any

import pytest

vnc_api = pytest.importorskip("vnc_api.vnc_api", reason="contrail-api-client is not installed")


def build_and_remove(host: str, port: int) -> None:
    client = vnc_api.VncApi(api_server_host=host, api_server_port=port, auth_type="noauth")
    project = client.project_read(["default-domain", "default-project"])

    network = vnc_api.VirtualNetwork("front", project)
    subnet = vnc_api.IpamSubnetType(subnet=vnc_api.SubnetType("10.9.0.0", 24))
    ipam = client.network_ipam_read(["default-domain", "default-project", "default-network-ipam"])
    network.add_network_ipam(ipam, vnc_api.VnSubnetsType([subnet]))
    client.virtual_network_create(network)

    vip = vnc_api.VirtualMachineInterface("vip", project)
    vip.set_virtual_network(network)
    client.virtual_machine_interface_create(vip)
    address = vnc_api.InstanceIp("vip-address")
    address.set_virtual_network(network)
    address.set_virtual_machine_interface(vip)
    client.instance_ip_create(address)
    address = client.instance_ip_read(id=address.uuid)
    assert address.get_instance_ip_address() == "10.9.0.252"

    lb = vnc_api.Loadbalancer("web", project, loadbalancer_provider="native")
    lb.set_loadbalancer_properties(
        vnc_api.LoadbalancerType(vip_address=address.get_instance_ip_address(), admin_state=True)
    )
    lb.set_virtual_machine_interface(vip)
    client.loadbalancer_create(lb)
    listener = vnc_api.LoadbalancerListener("web-80", project)
    listener.set_loadbalancer_listener_properties(vnc_api.LoadbalancerListenerType(protocol="TCP", protocol_port=80))
    listener.set_loadbalancer(lb)
    client.loadbalancer_listener_create(listener)
    pool = vnc_api.LoadbalancerPool("web-pool", project)
    pool.set_loadbalancer_pool_properties(
        vnc_api.LoadbalancerPoolType(protocol="TCP", loadbalancer_method="ROUND_ROBIN")
    )
    pool.set_loadbalancer_listener(listener)
    client.loadbalancer_pool_create(pool)
    member = vnc_api.LoadbalancerMember("m1", pool)
    member.set_loadbalancer_member_properties(vnc_api.LoadbalancerMemberType(address="10.9.0.7", protocol_port=8080))
    member.add_annotations(vnc_api.KeyValuePair("vmi", vip.uuid))  # becomes a prop-collection-update of its own
    client.loadbalancer_member_create(member)

    assert names(client.loadbalancers_list(parent_id=project.uuid), "loadbalancers") == ["web"]
    many = client.loadbalancers_list(obj_uuids=[lb.uuid] * 30)  # more than 25 ids: list-bulk-collection
    assert set(names(many, "loadbalancers")) == {"web"}
    (detailed,) = client.loadbalancers_list(detail=True)
    assert detailed.get_loadbalancer_properties().vip_address == "10.9.0.252"
    (found,) = client.loadbalancers_list(detail=True, filters={"loadbalancer_provider": "native"})
    assert found.uuid == lb.uuid
    stored = client.loadbalancer_member_read(fq_name=member.fq_name)
    assert [(pair.key, pair.value) for pair in stored.get_annotations().get_key_value_pair()] == [("vmi", vip.uuid)]
    assert [back["uuid"] for back in client.loadbalancer_read(id=lb.uuid).get_loadbalancer_listener_back_refs()] == [
        listener.uuid
    ]
    assert client.fq_name_to_id("loadbalancer", lb.fq_name) == lb.uuid
    assert client.id_to_fq_name(lb.uuid) == lb.fq_name
    client.kv_store("key", "value")
    assert client.kv_retrieve("key") == "value"
    client.kv_delete("key")

    with pytest.raises(vnc_api.RefsExistError):
        client.loadbalancer_create(vnc_api.Loadbalancer("web", project))
    with pytest.raises(vnc_api.RefsExistError):
        client.loadbalancer_delete(id=lb.uuid)
    with pytest.raises(vnc_api.NoIdError):
        client.loadbalancer_read(fq_name=["default-domain", "default-project", "other"])
    with pytest.raises(vnc_api.BadRequest):
        client.ref_update("loadbalancer", lb.uuid, "domain", project.parent_uuid, None, "ADD")

    client.loadbalancer_member_delete(fq_name=member.fq_name)
    client.loadbalancer_pool_delete(id=pool.uuid)
    client.loadbalancer_listener_delete(id=listener.uuid)
    client.loadbalancer_delete(id=lb.uuid)
    client.instance_ip_delete(id=address.uuid)
    client.virtual_machine_interface_delete(id=vip.uuid)
    client.virtual_network_delete(id=network.uuid)
    assert names(client.loadbalancers_list(), "loadbalancers") == []


def names(listed: dict[str, Any], key: str) -> list[str]:
    return [item["fq_name"][-1] for item in listed[key]]


# The library leaves sockets and event loops to the garbage collector.
@pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::DeprecationWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)
async def test_a_load_balancer_through_contrails_client(address: str) -> None:
    host, port = address.removeprefix("http://").split(":")
    await asyncio.to_thread(build_and_remove, host, int(port))
