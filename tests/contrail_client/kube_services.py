"""What kube-manager does for services, their endpoints, and ingresses."""

import uuid
from dataclasses import dataclass, field
from typing import Any

import pytest
from kube_cluster import Cluster, Pod
from kube_firewall import tagged
from kube_names import CLUSTER, DOMAIN, annotate
from vnc_api import vnc_api


@dataclass
class Balancer:
    """The load balancer of a service or an ingress, with all below it."""

    loadbalancer: Any
    interface: Any
    instance_ip: Any
    listeners: list[Any] = field(default_factory=list)
    pools: list[Any] = field(default_factory=list)
    rules: list[Any] = field(default_factory=list)

    @property
    def address(self) -> str:
        return str(self.instance_ip.instance_ip_address)


class Services:
    def __init__(self, vnc: Any, cluster: Cluster) -> None:
        self.vnc = vnc
        self.cluster = cluster

    def service(
        self, namespace: str, name: str, address: str, ports: list[tuple[str, int]], network: Any = None
    ) -> Balancer:
        """In the cluster's network of services, or in another of the flat ones."""
        self.cluster.firewall.tag(f"{CLUSTER}-svc", name)
        made = self.balancer("Service", "native", namespace, name, network or self.cluster.services, address)
        for number, (protocol, port) in enumerate(ports):
            self.listener(made, namespace, protocol, port, portName=f"port-{number}")
        return made

    def balancer(
        self, kind: str, provider: str, namespace: str, name: str, network: Any, address: str | None
    ) -> Balancer:
        project = self.vnc.project_read([DOMAIN, f"{CLUSTER}-{namespace}"])
        uid = str(uuid.uuid4())
        interface = vnc_api.VirtualMachineInterface(f"{CLUSTER}__{kind}__{name}__{uid}", project)
        with pytest.raises(vnc_api.NoIdError):  # a leftover of the same name would be removed
            self.vnc.fq_name_to_id("virtual-machine-interface", interface.get_fq_name())
        interface.uuid = str(uuid.uuid4())
        interface.set_virtual_network(network)
        interface.set_virtual_machine_interface_device_owner("K8S:LOADBALANCER")
        interface.add_security_group(vnc_api.SecurityGroup(f"{CLUSTER}-{namespace}-default-sg", project))
        interface.port_security_enabled = True
        self.vnc.virtual_machine_interface_create(interface)
        interface = self.vnc.virtual_machine_interface_read(id=interface.uuid)

        own = str(uuid.uuid4())
        instance_ip = vnc_api.InstanceIp(
            f"{name}__{own}",
            subnet_uuid=self.cluster.subnet(network),
            perms2=vnc_api.PermType2(owner=project.uuid, owner_access=7),
        )
        instance_ip.uuid = own
        instance_ip.set_virtual_network(network)
        instance_ip.set_virtual_machine_interface(interface)
        if address:
            instance_ip.set_instance_ip_address(address)
        self.vnc.instance_ip_create(instance_ip)
        instance_ip = self.vnc.instance_ip_read(id=own)

        loadbalancer = vnc_api.Loadbalancer(f"{name}__{uid}", project, loadbalancer_provider=provider)
        loadbalancer.uuid = uid
        loadbalancer.set_virtual_machine_interface(interface)
        loadbalancer.set_loadbalancer_properties(
            vnc_api.LoadbalancerType(
                provisioning_status="ACTIVE",
                operating_status="ONLINE",
                vip_address=instance_ip.get_instance_ip_address(),
            )
        )
        annotate(loadbalancer, kind, namespace, name=name)
        self.vnc.loadbalancer_create(loadbalancer)
        return Balancer(loadbalancer, interface, instance_ip)

    def external_address(self, made: Balancer, namespace: str, pool: Any, address: str | None = None) -> Any:
        """A floating-ip of an operator's pool for a service of type LoadBalancer, or one with external addresses."""
        floating_ip = vnc_api.FloatingIp(f"{made.loadbalancer.name}{address}-externalIP", pool)
        interface = self.vnc.virtual_machine_interface_read(id=made.interface.uuid)
        floating_ip.set_virtual_machine_interface(interface)
        floating_ip.set_project(self.vnc.project_read([DOMAIN, f"{CLUSTER}-{namespace}"]))
        if address:
            floating_ip.set_floating_ip_address(address)
        self.vnc.floating_ip_create(floating_ip)
        return self.vnc.floating_ip_read(id=floating_ip.uuid)

    def external_addresses(self, made: Balancer) -> dict[str, str]:
        """Address -> uuid, as kube-manager finds out what a service has: by its interface."""
        interface = self.vnc.virtual_machine_interface_read(id=made.interface.uuid)
        found = [
            self.vnc.floating_ip_read(id=reference["uuid"]) for reference in interface.get_floating_ip_back_refs() or []
        ]
        return {floating_ip.floating_ip_address: floating_ip.uuid for floating_ip in found}

    def listener(self, made: Balancer, namespace: str, protocol: str, port: int | str, **annotations: str) -> None:
        """With its pool, which has the same name."""
        project = self.vnc.project_read([DOMAIN, f"{CLUSTER}-{namespace}"])
        loadbalancer = self.vnc.loadbalancer_read(id=made.loadbalancer.uuid)
        own = str(uuid.uuid4())
        listener = vnc_api.LoadbalancerListener(f"{loadbalancer.name}-{protocol}-{port}-{own}", project)
        listener.uuid = own
        listener.set_loadbalancer_listener_properties(
            vnc_api.LoadbalancerListenerType(protocol=protocol, protocol_port=port, admin_state=True)
        )
        listener.set_loadbalancer(loadbalancer)
        for key, value in annotations.items():
            listener.add_annotations(vnc_api.KeyValuePair(key, value))
        self.vnc.loadbalancer_listener_create(listener)
        listener = self.vnc.loadbalancer_listener_read(id=own)
        assert listener.get_loadbalancer_pool_back_refs() is None
        pool = vnc_api.LoadbalancerPool(listener.name, project)
        pool.set_loadbalancer_pool_properties(vnc_api.LoadbalancerPoolType(protocol=protocol, admin_state=True))
        pool.set_loadbalancer_listener(listener)
        self.vnc.loadbalancer_pool_create(pool)
        made.listeners.append(listener)
        made.pools.append(pool)

    def member(self, pool: Any, port: int, address: str | None = None, **annotations: str) -> Any:
        own = str(uuid.uuid4())
        member = vnc_api.LoadbalancerMember(own, self.vnc.loadbalancer_pool_read(id=pool.uuid))
        member.uuid = own
        member.set_loadbalancer_member_properties(
            vnc_api.LoadbalancerMemberType(protocol_port=port, weight=1, admin_state=True, address=address)
        )
        for key, value in annotations.items():
            member.add_annotations(vnc_api.KeyValuePair(key, value))
        self.vnc.loadbalancer_member_create(member)
        return member

    def endpoints(self, made: Balancer, service: str, pods: list[Pod], port: int) -> dict[str, Any]:
        """A member for each pod in the first pool: by the pod's uid."""
        members = {}
        for pod in pods:
            members[pod.uid] = self.member(made.pools[0], port, vmi=pod.interface.uuid, vm=pod.uid)
            found = self.vnc.virtual_machine_interface_read(id=pod.interface.uuid)
            self.cluster.firewall.tag_object(found, {f"{CLUSTER}-svc": service})
        return members

    def delete_endpoint(self, member: Any, pod: Pod) -> None:
        found = self.vnc.virtual_machine_interface_read(id=pod.interface.uuid)
        self.vnc.unset_tag(found, f"{CLUSTER}-svc")
        self.vnc.loadbalancer_member_delete(id=member.uuid)

    def ingress(self, namespace: str, name: str, service: str, address: str, port: int) -> Balancer:
        """One path, to the cluster's address of one service; its own address is the server's choice."""
        tags = {"ingress": f"{CLUSTER}-{namespace}-{name}", "namespace": namespace}
        for kind, value in tags.items():
            self.cluster.firewall.tag(kind, value)
        made = self.balancer("Ingress", "opencontrail", namespace, name, self.cluster.pods, None)
        self.cluster.firewall.tag_object(made.interface, tags)
        rule = self.cluster.firewall.rule(
            f"{CLUSTER}-Ingress-{namespace}-{name}-{service}",
            tagged({"ingress": tags["ingress"]}),
            tagged({f"{CLUSTER}-svc": service}),
        )
        self.cluster.firewall.add_rule(self.cluster.firewall.ingress, rule)
        made.rules.append(rule)
        self.listener(made, namespace, "HTTP", "80")
        self.member(made.pools[0], port, address, serviceName=service)
        return made

    def delete_ingress(self, namespace: str, name: str, made: Balancer) -> None:
        tag = self.vnc.tag_read([f"ingress={CLUSTER}-{namespace}-{name}"])
        for interface in tag.get_virtual_machine_interface_back_refs() or []:
            found = self.vnc.virtual_machine_interface_read(id=interface["uuid"])
            self.vnc.unset_tag(found, "ingress")
        for rule in made.rules:
            self.cluster.firewall.delete_rule(self.cluster.firewall.ingress, rule)
        self.delete_balancer(made)
        self.cluster.firewall.delete_tag("ingress", f"{CLUSTER}-{namespace}-{name}")

    def delete_service(self, name: str, made: Balancer) -> None:
        for external in self.external_addresses(made).values():
            self.vnc.floating_ip_delete(id=external)
        self.delete_balancer(made)
        self.cluster.firewall.delete_tag(f"{CLUSTER}-svc", name)

    def delete_balancer(self, made: Balancer) -> None:
        for listener, pool in zip(made.listeners, made.pools, strict=True):
            for member in self.vnc.loadbalancer_pool_read(id=pool.uuid).get_loadbalancer_members() or []:
                self.vnc.loadbalancer_member_delete(id=member["uuid"])
            self.vnc.loadbalancer_pool_delete(id=pool.uuid)
            self.vnc.loadbalancer_listener_delete(id=listener.uuid)
        below = self.vnc.instance_ip_read(id=made.instance_ip.uuid).get_floating_ips() or []
        self.vnc.loadbalancer_delete(id=made.loadbalancer.uuid)
        for floating_ip in below:
            with pytest.raises(vnc_api.NoIdError):  # the driver has taken it along
                self.vnc.floating_ip_delete(id=floating_ip["uuid"])
        self.vnc.instance_ip_delete(id=made.instance_ip.uuid)
        self.vnc.virtual_machine_interface_delete(id=made.interface.uuid)
