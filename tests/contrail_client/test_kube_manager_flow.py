"""A cluster as kube-manager makes and unmakes it: what it reads back on the way, and that nothing stays behind."""

import uuid
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from kube_cluster import Cluster
from kube_networks import IsolatedNamespace, custom_network, delete_custom_network, nest
from kube_services import Services
from vnc_api import vnc_api

from cli.demo.programs import Program

NODES = ("node-1", "node-2")


@pytest.fixture
def contrail_url(database_url: str) -> Iterator[str]:
    """A server of its own: what is left in the end is counted."""
    with Program("serve", "--port", "0", "--database", database_url) as server:
        yield server.wait_ready()


@pytest.fixture
def cluster(vnc: Any) -> Cluster:
    for node in NODES:
        vnc.virtual_router_create(vnc_api.VirtualRouter(node))
    return Cluster(vnc)


def everything(vnc: Any) -> set[tuple[str, str]]:
    """Type and name of all there is."""
    found = set()
    for _, kind in vnc_api.all_resource_type_tuples:
        listed = vnc.resource_list(kind)[f"{kind}s"]
        found |= {(kind, ":".join(item["fq_name"])) for item in listed}
    return found


def contents(url: str) -> dict[str, Any]:
    """What all objects have, but for the time they were written: by uuid."""
    found = {}
    with httpx.Client(base_url=url, params={"detail": "true"}) as client:
        for kind, _ in vnc_api.all_resource_type_tuples:
            name = kind.replace("_", "-")
            for item in client.get(f"/{name}s").raise_for_status().json()[f"{name}s"]:
                del item[name]["id_perms"]
                found[item[name]["uuid"]] = item[name]
    return found


def annotations(found: Any) -> dict[str, Any]:
    return {pair.key: pair.value for pair in found.get_annotations().get_key_value_pair()}


def tags(found: Any) -> set[str]:
    return {reference["to"][-1] for reference in found.get_tag_refs() or []}


def uuids(references: list[dict[str, Any]] | None) -> set[str]:
    return {reference["uuid"] for reference in references or []}


def test_a_cluster_stands(vnc: Any, cluster: Cluster) -> None:
    pods = vnc.virtual_network_read(id=cluster.pods.uuid)
    (ipam,) = pods.get_network_ipam_refs()
    assert ipam["to"] == ["default-domain", "k8s-default", "k8s-pod-ipam"]
    assert cluster.subnet(pods) != cluster.subnet(cluster.services)
    assert {policy["to"][-1] for policy in pods.get_network_policy_refs()} == {
        "k8s-default-ip-fabric-np",
        "k8s-default-pod-service-np",
    }
    assert uuids(pods.get_routing_instances())
    policies = vnc.application_policy_set_read(id=cluster.firewall.policy_set.uuid)
    ordered = sorted(policies.get_firewall_policy_refs(), key=lambda reference: reference["attr"].sequence)
    assert [policy["to"][-1] for policy in ordered] == ["k8s-Ingress", "k8s-denyall", "k8s-allowall"]
    assert tags(policies) == {"application=k8s"}
    assert annotations(vnc.firewall_policy_read(id=cluster.firewall.deny.uuid)) == {
        "kind": "VncSecurityPolicy", "owner": "k8s", "cluster": "k8s", "namespace": None, "name": "denyall",
        "tail": "True",
    }  # fmt: skip
    config = vnc.global_vrouter_config_read(["default-global-system-config", "default-global-vrouter-config"])
    assert [pool.port_range.start_port for pool in config.get_port_translation_pools().port_translation_pool] == [
        56000,
        57024,
    ]
    group = vnc.security_group_read(["default-domain", "k8s-default", "k8s-default-default-sg"])
    project = vnc.project_read(["default-domain", "k8s-default"])
    assert group.perms2.owner == project.uuid.replace("-", "")


def test_pods_services_and_policies_come_and_go(vnc: Any, cluster: Cluster) -> None:
    before = everything(vnc)
    services = Services(vnc, cluster)

    cluster.namespace("shop")
    project = vnc.project_read(["default-domain", "k8s-shop"])
    for network in (cluster.pods, cluster.services):
        shares = vnc.virtual_network_read(id=network.uuid).perms2.share
        assert [(share.tenant, share.tenant_access) for share in shares] == [(project.uuid, 4)]
    rules = vnc.firewall_policy_read(id=cluster.firewall.allow.uuid).get_firewall_rule_refs()
    assert {rule["to"][-1] for rule in rules} == {"k8s-Namespace-shop-ingress", "k8s-Namespace-shop-egress"}

    pods = [cluster.pod("shop", f"web-{n}", node, {"app": "web"}) for n, node in enumerate(NODES)]
    for pod in pods:
        assert pod.instance_ip.instance_ip_address.startswith("10.4")
        assert pod.interface.virtual_machine_interface_mac_addresses.mac_address[0].startswith("02:")
        assert tags(pod.interface) == {"app=web", "namespace=shop"}
        assert (
            annotations(pod.interface).items()
            >= {"kind": "Pod", "index": "0/1", "name": pod.interface.name[:5]}.items()
        )
        machine = vnc.virtual_machine_read(id=pod.uid)
        assert annotations(machine)["k8s_uuid"] == pod.uid
        assert machine.perms2.owner == project.uuid
        assert uuids(machine.get_virtual_machine_interface_back_refs()) == {pod.interface.uuid}
        assert len(uuids(machine.get_virtual_router_back_refs())) == 1
    assert pods[0].instance_ip.instance_ip_address != pods[1].instance_ip.instance_ip_address

    web = services.service("shop", "web", "10.97.10.10", [("TCP", 80), ("UDP", 53)])
    assert web.address == "10.97.10.10"
    members = services.endpoints(web, "web", pods, 8080)
    (driven,) = vnc.instance_ip_read(id=web.instance_ip.uuid).get_floating_ips()
    floating_ip = vnc.floating_ip_read(id=driven["uuid"])
    assert uuids(floating_ip.get_virtual_machine_interface_refs()) == {pod.interface.uuid for pod in pods}
    assert tags(vnc.virtual_machine_interface_read(id=pods[0].interface.uuid)) == {
        "app=web",
        "namespace=shop",
        "k8s-svc=web",
    }

    front = services.ingress("shop", "front", "web", web.address, 80)
    assert front.address.startswith("10.4")
    (listener,) = vnc.loadbalancer_read(id=front.loadbalancer.uuid).get_loadbalancer_listener_back_refs()
    assert vnc.loadbalancer_listener_read(id=listener["uuid"]).loadbalancer_listener_properties.protocol_port == 80
    rule = vnc.firewall_rule_read(id=front.rules[0].uuid)
    assert tags(rule) == {"ingress=k8s-shop-front", "k8s-svc=web"}
    assert rule.endpoint_2.tags == ["k8s-svc=web"]
    assert len(rule.endpoint_2.tag_ids) == 1

    made = cluster.firewall.network_policy("shop", "only-office", {"app": "web"}, "192.0.2.0/24", 8080)
    rule = vnc.firewall_rule_read(id=made[1].uuid)
    assert [group["to"][-1] for group in rule.get_address_group_refs()] == ["192.0.2.0/24"]
    assert tags(rule) == {"app=web", "namespace=shop"}
    policies = vnc.application_policy_set_read(id=cluster.firewall.policy_set.uuid).get_firewall_policy_refs()
    ordered = sorted(policies, key=lambda reference: reference["attr"].sequence)
    assert [policy["to"][-1] for policy in ordered] == [
        "k8s-Ingress", "k8s-shop-only-office", "k8s-denyall", "k8s-allowall",
    ]  # fmt: skip

    services.delete_endpoint(members[pods[0].uid], pods[0])
    floating_ip = vnc.floating_ip_read(id=driven["uuid"])
    assert uuids(floating_ip.get_virtual_machine_interface_refs()) == {pods[1].interface.uuid}
    assert tags(vnc.virtual_machine_interface_read(id=pods[0].interface.uuid)) == {"app=web", "namespace=shop"}

    cluster.firewall.delete_network_policy(*made)
    services.delete_ingress("shop", "front", front)
    cluster.delete_pod(pods[0])
    cluster.delete_pod(pods[1])  # still a member's interface: a pod goes before its endpoint does
    assert vnc.floating_ip_read(id=driven["uuid"]).get_virtual_machine_interface_refs() is None
    services.delete_service("web", web)
    cluster.delete_namespace("shop")
    for network in (cluster.pods, cluster.services):
        assert vnc.virtual_network_read(id=network.uuid).perms2.share == []
    assert everything(vnc) == before


def test_a_restart_changes_nothing(vnc: Any, contrail_url: str, cluster: Cluster) -> None:
    """Everything is made again, found, and updated with what it has."""
    services = Services(vnc, cluster)
    cluster.namespace("shop")
    pod = cluster.pod("shop", "web-0", NODES[0], {"app": "web"})
    web = services.service("shop", "web", "10.97.10.10", [("TCP", 80)])
    services.endpoints(web, "web", [pod], 8080)
    before = contents(contrail_url)
    Cluster(vnc)
    assert contents(contrail_url) == before


def test_isolated_namespaces(vnc: Any, cluster: Cluster) -> None:
    """Networks of their own out of the cluster's ipams; they go with all that joined them to the others."""
    before = everything(vnc)
    services = Services(vnc, cluster)
    lab = IsolatedNamespace(cluster, "lab")
    assert cluster.subnet(lab.pods) != cluster.subnet(cluster.pods)  # one for each pair of ipam and network
    assert {policy["to"][-1] for policy in lab.pods.get_network_policy_refs() or []} == {
        "k8s-default-service-np", "k8s-default-ip-fabric-np", "k8s-lab-pod-service-np",
    }  # fmt: skip
    assert tags(vnc.virtual_network_read(id=lab.services.uuid)) == {"application=k8s"}
    pods = [cluster.pod("lab", f"web-{n}", node, {"app": "web"}, lab.pods) for n, node in enumerate(NODES)]
    assert uuids(pods[0].interface.get_virtual_network_refs()) == {lab.pods.uuid}
    cluster.namespace("shop")
    pods.append(cluster.pod("shop", "web-0", NODES[0], {"app": "web"}))
    assert len({pod.instance_ip.instance_ip_address for pod in pods}) == len(pods)  # though of two networks
    cluster.delete_pod(pods.pop())
    cluster.delete_namespace("shop")
    web = services.service("lab", "web", "10.97.10.10", [("TCP", 80)], lab.services)
    services.endpoints(web, "web", pods, 8080)
    (driven,) = vnc.instance_ip_read(id=web.instance_ip.uuid).get_floating_ips()
    floating_ip = vnc.floating_ip_read(id=driven["uuid"])
    assert uuids(floating_ip.get_virtual_machine_interface_refs()) == {pod.interface.uuid for pod in pods}
    for pod in pods:
        cluster.delete_pod(pod)
    services.delete_service("web", web)
    lab.delete()
    assert everything(vnc) == before


def test_services_with_external_addresses(vnc: Any, cluster: Cluster) -> None:
    """From a pool of the operator's; the driver's floating-ip is none of them."""
    ipam = vnc_api.NetworkIpam("public")
    vnc.network_ipam_create(ipam)
    public = vnc_api.VirtualNetwork("public")
    public.add_network_ipam(
        ipam, vnc_api.VnSubnetsType([vnc_api.IpamSubnetType(subnet=vnc_api.SubnetType("203.0.113.0", 24))])
    )
    vnc.virtual_network_create(public)
    vnc.floating_ip_pool_create(vnc_api.FloatingIpPool("pool", public))
    pool = vnc.floating_ip_pool_read([*public.get_fq_name(), "pool"])
    before = everything(vnc)

    services = Services(vnc, cluster)
    cluster.namespace("shop")
    pod = cluster.pod("shop", "web-0", NODES[0], {"app": "web"})
    web = services.service("shop", "web", "10.97.10.10", [("TCP", 80)])
    services.endpoints(web, "web", [pod], 8080)
    assert services.external_addresses(web) == {}
    chosen = services.external_address(web, "shop", pool)
    assert services.external_addresses(web) == {chosen.floating_ip_address: chosen.uuid}
    assert chosen.floating_ip_address.startswith("203.0.113.")

    other = services.service("shop", "other", "10.97.10.11", [("TCP", 80)])
    asked = services.external_address(other, "shop", pool, "203.0.113.77")
    with pytest.raises(vnc_api.RefsExistError):
        services.external_address(web, "shop", pool, "203.0.113.77")
    vnc.floating_ip_delete(id=asked.uuid)
    for address in ("203.0.113.77", "203.0.113.78"):  # the first is free again at once, even by the same name
        services.external_address(other, "shop", pool, address)
    assert set(services.external_addresses(other)) == {"203.0.113.77", "203.0.113.78"}

    cluster.delete_pod(pod)
    services.delete_service("other", other)
    services.delete_service("web", web)
    cluster.delete_namespace("shop")
    assert everything(vnc) == before


def test_networks_of_users(vnc: Any, cluster: Cluster) -> None:
    """One stays as long as a pod has an address there; its ipam stays for good."""
    before = everything(vnc)
    cluster.namespace("shop")
    project = vnc.project_read(["default-domain", "k8s-shop"])
    subnet = str(uuid.uuid4())
    network = custom_network(vnc, project, "extra", "172.30.0.0", 24, "172.30.0.254", subnet)
    assert cluster.subnet(network) == subnet
    pod = cluster.pod("shop", "web-0", NODES[0], {"app": "web"}, network)
    assert pod.instance_ip.instance_ip_address.startswith("172.30.0.")
    with pytest.raises(vnc_api.RefsExistError):
        delete_custom_network(vnc, network)
    cluster.delete_pod(pod)
    delete_custom_network(vnc, network)
    with pytest.raises(vnc_api.RefsExistError):
        vnc.project_delete(id=project.uuid)
    vnc.network_ipam_delete([*project.get_fq_name(), "k8s-extra-pod-ipam"])
    cluster.delete_namespace("shop")
    assert everything(vnc) == before


def test_pods_in_virtual_machines(vnc: Any, cluster: Cluster) -> None:
    """Their interfaces are VLANs of the machine's interface, and go before it."""
    before = everything(vnc)
    cluster.namespace("shop")
    machine, pod = (cluster.pod("shop", name, NODES[0], {"app": "web"}) for name in ("machine", "web-0"))
    nested = nest(vnc, pod, machine.interface, 1)
    outer = vnc.virtual_machine_interface_read(id=machine.interface.uuid)
    assert uuids(outer.get_virtual_machine_interface_refs()) == {nested.uuid}
    assert uuids(nested.get_virtual_machine_interface_refs()) == {outer.uuid}
    vnc.virtual_machine_interface_delete(id=nested.uuid)
    cluster.delete_pod(pod)
    cluster.delete_pod(machine)
    cluster.delete_namespace("shop")
    assert everything(vnc) == before
