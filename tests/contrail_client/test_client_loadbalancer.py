"""Load balancers through Contrail's client, from creation to deletion, as Neutron and kube-manager make them."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from contrail_objects import Maker, vnc_api

# The enums of contract 5.1.
PROTOCOLS = ("HTTP", "HTTPS", "TCP", "UDP", "TERMINATED_HTTPS")
METHODS = ("ROUND_ROBIN", "LEAST_CONNECTIONS", "SOURCE_IP")
PERSISTENCE = ("SOURCE_IP", "HTTP_COOKIE", "APP_COOKIE")
MONITORS = ("PING", "TCP", "HTTP", "HTTPS")


@pytest.fixture
def service(vnc: Any, maker: Maker) -> SimpleNamespace:
    """A load balancer whose one member is an interface: each object by its name."""
    network = maker.network("10.9.0.0/24")
    vip = maker.interface(network)
    vip_ip = maker.instance_ip(network, vip)
    backend = maker.interface(network)
    backend_ip = maker.instance_ip(network, backend)
    loadbalancer = maker.make(
        "loadbalancer",
        loadbalancer_provider="native",
        loadbalancer_properties=vnc_api.LoadbalancerType(
            vip_address=vip_ip.instance_ip_address, admin_state=True, provisioning_status="ACTIVE"
        ),
        virtual_machine_interface_refs=[(vip,)],
    )
    listener = maker.make(
        "loadbalancer-listener",
        loadbalancer_listener_properties=vnc_api.LoadbalancerListenerType(protocol="TCP", protocol_port=80),
        loadbalancer_refs=[(loadbalancer,)],
    )
    monitor = maker.make("loadbalancer-healthmonitor")
    pool = maker.make(
        "loadbalancer-pool",
        loadbalancer_pool_properties=vnc_api.LoadbalancerPoolType(protocol="TCP", loadbalancer_method="ROUND_ROBIN"),
        loadbalancer_listener_refs=[(listener,)],
        loadbalancer_healthmonitor_refs=[(monitor,)],
    )
    member = maker.new(
        "loadbalancer-member",
        parent=pool,
        loadbalancer_member_properties=vnc_api.LoadbalancerMemberType(protocol_port=8080, weight=1, admin_state=True),
    )
    member.add_annotations(vnc_api.KeyValuePair("vmi", backend.uuid))  # a prop-collection-update of its own
    vnc.loadbalancer_member_create(member)
    return SimpleNamespace(
        network=network, vip=vip, vip_ip=vip_ip, backend=backend, backend_ip=backend_ip, loadbalancer=loadbalancer,
        listener=listener, monitor=monitor, pool=pool, member=maker.read(member),
    )  # fmt: skip


def uuids(references: list[dict[str, Any]] | None) -> list[str]:
    return [reference["uuid"] for reference in references or []]


def test_its_parts_are_found_from_each_other(vnc: Any, project: Any, service: SimpleNamespace) -> None:
    loadbalancer = vnc.loadbalancer_read(id=service.loadbalancer.uuid)
    assert uuids(loadbalancer.get_loadbalancer_listener_back_refs()) == [service.listener.uuid]
    assert uuids(loadbalancer.get_virtual_machine_interface_refs()) == [service.vip.uuid]
    assert loadbalancer.get_loadbalancer_properties().vip_address == service.vip_ip.instance_ip_address == "10.9.0.252"
    listener = vnc.loadbalancer_listener_read(fq_name=service.listener.fq_name)
    assert uuids(listener.get_loadbalancer_pool_back_refs()) == [service.pool.uuid]
    pool = vnc.loadbalancer_pool_read(id=service.pool.uuid, fields=["loadbalancer_members"])
    assert uuids(pool.get_loadbalancer_members()) == [service.member.uuid]
    monitor = vnc.loadbalancer_healthmonitor_read(id=service.monitor.uuid)
    assert uuids(monitor.get_loadbalancer_pool_back_refs()) == [service.pool.uuid]
    (owned,) = vnc.loadbalancers_list(parent_id=project.uuid)["loadbalancers"]
    assert owned["uuid"] == service.loadbalancer.uuid


def test_the_native_driver_links_it(vnc: Any, maker: Maker, service: SimpleNamespace) -> None:
    """What Contrail's svc-monitor makes in time is there at once."""
    (made,) = maker.read(service.vip_ip).get_floating_ips()
    floating_ip = vnc.floating_ip_read(id=made["uuid"])
    assert floating_ip.floating_ip_address == service.vip_ip.instance_ip_address
    assert uuids(floating_ip.get_virtual_machine_interface_refs()) == [service.backend.uuid]
    (mapping,) = floating_ip.get_floating_ip_port_mappings().port_mappings
    assert (mapping.protocol, mapping.src_port, mapping.dst_port) == ("TCP", 80, 8080)

    service.member.set_loadbalancer_member_properties(
        vnc_api.LoadbalancerMemberType(protocol_port=9090, weight=1, admin_state=True)
    )
    vnc.loadbalancer_member_update(service.member)
    (mapping,) = maker.read(floating_ip).get_floating_ip_port_mappings().port_mappings
    assert mapping.dst_port == 9090


def test_it_is_deleted_in_its_order_only(vnc: Any, service: SimpleNamespace) -> None:
    def refused(delete: Callable[..., None], one: Any, text: str) -> None:
        with pytest.raises(vnc_api.RefsExistError, match=text):
            delete(id=one.uuid)

    refused(vnc.loadbalancer_delete, service.loadbalancer, "Delete when resource still referred")
    refused(vnc.loadbalancer_listener_delete, service.listener, f"loadbalancer-pool/{service.pool.uuid}")
    refused(vnc.loadbalancer_healthmonitor_delete, service.monitor, "still referred")
    refused(vnc.loadbalancer_pool_delete, service.pool, f"children still present.*{service.member.uuid}")
    refused(vnc.virtual_machine_interface_delete, service.vip, "still referred")
    refused(vnc.virtual_network_delete, service.network, "still referred")

    vnc.loadbalancer_member_delete(fq_name=service.member.fq_name)
    vnc.loadbalancer_pool_delete(id=service.pool.uuid)
    vnc.loadbalancer_healthmonitor_delete(id=service.monitor.uuid)
    vnc.loadbalancer_listener_delete(id=service.listener.uuid)
    vnc.loadbalancer_delete(id=service.loadbalancer.uuid)
    for address in (service.vip_ip, service.backend_ip):
        vnc.instance_ip_delete(id=address.uuid)
    for interface in (service.vip, service.backend):
        vnc.virtual_machine_interface_delete(id=interface.uuid)
    vnc.virtual_network_delete(id=service.network.uuid)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_protocols(protocol: str, maker: Maker) -> None:
    listener = maker.make(
        "loadbalancer-listener",
        loadbalancer_listener_properties=vnc_api.LoadbalancerListenerType(protocol=protocol, protocol_port="443"),
    )
    properties = listener.get_loadbalancer_listener_properties()
    assert (properties.protocol, properties.protocol_port) == (protocol, 443)  # the client sends numbers as it got them


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("persistence", PERSISTENCE)
def test_methods(method: str, persistence: str, maker: Maker) -> None:
    wanted = {"protocol": "HTTP", "loadbalancer_method": method, "session_persistence": persistence}
    pool = maker.make("loadbalancer-pool", loadbalancer_pool_properties=vnc_api.LoadbalancerPoolType(**wanted))
    stored = pool.get_loadbalancer_pool_properties().exportDict("")
    assert stored.items() >= wanted.items()


@pytest.mark.parametrize("kind", MONITORS)
def test_monitors(kind: str, maker: Maker) -> None:
    wanted = {"monitor_type": kind, "delay": 5, "timeout": 3, "max_retries": 2, "admin_state": True}
    properties = vnc_api.LoadbalancerHealthmonitorType(**wanted)
    monitor = maker.make("loadbalancer-healthmonitor", loadbalancer_healthmonitor_properties=properties)
    assert monitor.get_loadbalancer_healthmonitor_properties().exportDict("").items() >= wanted.items()


@pytest.mark.parametrize(
    ("kind", "properties", "text"),
    [
        ("loadbalancer-listener", {"protocol": "SCTP", "protocol_port": 80}, "value must be one of"),
        ("loadbalancer-listener", {"protocol": "TCP", "protocol_port": "http"}, "integer value expected"),
        ("loadbalancer-pool", {"protocol": "TCP", "loadbalancer_method": "FASTEST"}, "value must be one of"),
        ("loadbalancer-pool", {"protocol": "TCP", "session_persistence": "LUCK"}, "value must be one of"),
        ("loadbalancer-member", {"protocol_port": 80, "admin_state": "true"}, "true/false expected"),
        ("loadbalancer-healthmonitor", {}, "loadbalancer_healthmonitor_properties property is missing"),
        ("loadbalancer-healthmonitor", {"monitor_type": "DNS"}, "value must be one of"),
    ],
)
def test_what_is_wrong_is_a_bad_request(kind: str, properties: dict[str, Any], text: str, maker: Maker) -> None:
    with pytest.raises(vnc_api.BadRequest, match=text):
        maker.make(kind, **{f"{kind.replace('-', '_')}_properties": properties})


def test_a_virtual_ip_of_the_old_model(maker: Maker) -> None:
    """Neutron LBaaS v1: virtual-ip -> pool."""
    network = maker.network("10.9.0.0/24")
    virtual_ip = maker.make(
        "virtual-ip",
        virtual_ip_properties=vnc_api.VirtualIpType(address="10.9.0.9", protocol="TCP", protocol_port=80),
        loadbalancer_pool_refs=[(maker.make("loadbalancer-pool"),)],
        virtual_machine_interface_refs=[(maker.interface(network),)],
    )
    assert virtual_ip.get_virtual_ip_properties().address == "10.9.0.9"
    assert len(virtual_ip.get_loadbalancer_pool_refs()) == len(virtual_ip.get_virtual_machine_interface_refs()) == 1


def test_a_service_appliance_set_in_use_stays_as_it_is(vnc: Any, maker: Maker) -> None:
    appliances = maker.make("service-appliance-set", service_appliance_driver="one")
    pool = maker.make("loadbalancer-pool", service_appliance_set_refs=[(appliances,)])
    appliances.service_appliance_driver = "two"
    with pytest.raises(vnc_api.RefsExistError):
        vnc.service_appliance_set_update(appliances)
    vnc.loadbalancer_pool_delete(id=pool.uuid)
    appliances.service_appliance_driver = "two"
    vnc.service_appliance_set_update(appliances)
    assert maker.read(appliances).service_appliance_driver == "two"
