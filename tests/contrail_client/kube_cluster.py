"""Contrail's kube-manager, as far as the API server can tell: what it writes and reads for each object of Kubernetes,
call by call and in its order, with Contrail's own client. Its caches are left out: it is told what it would look up.

This is the cluster: its networks, its namespaces, its pods.
"""

import json
import uuid
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pytest
from kube_firewall import Firewall
from kube_names import CLUSTER, DOMAIN, MANAGEMENT, annotate
from vnc_api import vnc_api


@dataclass
class Pod:
    """A pod's virtual-machine, interface and address."""

    uid: str
    interface: Any
    instance_ip: Any
    tags: dict[str, str]


class Cluster:
    def __init__(self, vnc: Any) -> None:
        """What a cluster stands on: projects, flat ipams, two networks and their policies, the firewall policies. They
        may stand already: kube-manager has been restarted."""
        self.vnc = vnc
        self.vnc.domain_read([DOMAIN])
        project = self.project("default")
        self.default_group(project, "default", [])
        with pytest.raises(vnc_api.RefsExistError):
            self.vnc.policy_management_create(vnc_api.PolicyManagement(*MANAGEMENT))
        self.translate_ports()
        self.fabric = self.vnc.virtual_network_read([DOMAIN, "default-project", "ip-fabric"])
        self.project("kube-system")

        self.flat_ipam(project, "ip-fabric-ipam", "10.64.0.0", 12)
        pods = self.flat_ipam(project, "pod-ipam", "10.32.0.0", 12)
        self.pods = self.flat_network(project, "default-pod-network", pods)
        services = self.flat_ipam(project, "service-ipam", "10.96.0.0", 12)
        self.services = self.flat_network(project, "default-service-network", services)
        to_fabric = self.policy(project, "default-ip-fabric-np", None, self.fabric)
        to_services = self.policy(project, "default-service-np", None, self.services)
        pods_to_services = self.policy(project, "default-pod-service-np", self.pods, self.services)
        self.attach(self.fabric, to_fabric)
        self.attach(self.pods, to_fabric, pods_to_services)
        self.attach(self.services, to_fabric, to_services, pods_to_services)

        self.firewall = Firewall(self.vnc)

    def project(self, namespace: str) -> Any:
        project = vnc_api.Project(f"{CLUSTER}-{namespace}", vnc_api.Domain(DOMAIN))
        annotate(project, "Namespace", namespace, isolated="False")
        with suppress(vnc_api.RefsExistError):
            self.vnc.project_create(project)
        return self.vnc.project_read(project.get_fq_name())

    def translate_ports(self) -> None:
        config = self.vnc.global_vrouter_config_read(["default-global-system-config", "default-global-vrouter-config"])
        pools = [
            vnc_api.PortTranslationPool(protocol=protocol, port_range=vnc_api.PortType(first, last))
            for protocol, first, last in (("tcp", 56000, 57023), ("udp", 57024, 58047))
        ]
        config.set_port_translation_pools(vnc_api.PortTranslationPools(pools))
        self.vnc.global_vrouter_config_update(config)

    def flat_ipam(self, project: Any, name: str, prefix: str, length: int) -> Any:
        subnet = vnc_api.IpamSubnetType(subnet=vnc_api.SubnetType(prefix, length))
        ipam = vnc_api.NetworkIpam(
            f"{CLUSTER}-{name}", project, ipam_subnet_method="flat-subnet", ipam_subnets=vnc_api.IpamSubnets([subnet])
        )
        with suppress(vnc_api.RefsExistError):
            self.vnc.network_ipam_create(ipam)
        return self.vnc.network_ipam_read(ipam.get_fq_name())

    def flat_network(self, project: Any, name: str, ipam: Any) -> Any:
        network = vnc_api.VirtualNetwork(f"{CLUSTER}-{name}", project, address_allocation_mode="flat-subnet-only")
        try:
            network = self.vnc.virtual_network_read(network.get_fq_name())
            store = self.vnc.virtual_network_update
        except vnc_api.NoIdError:
            network.add_network_ipam(ipam, vnc_api.VnSubnetsType([]))
            store = self.vnc.virtual_network_create
        network.set_virtual_network_properties(vnc_api.VirtualNetworkType(forwarding_mode="l3"))
        network.set_fabric_snat(False)
        store(network)
        return self.vnc.virtual_network_read(network.get_fq_name())

    def subnet(self, network: Any) -> str:
        """Of a flat network: kube-manager takes its addresses from it by name."""
        (ipam,) = self.vnc.virtual_network_read(id=network.uuid).get_network_ipam_refs()
        (subnet,) = ipam["attr"].ipam_subnets
        return str(subnet.subnet_uuid)

    def policy(self, project: Any, name: str, source: Any, target: Any) -> Any:
        """From a network, or whatever has the policy, to another."""
        policy = vnc_api.NetworkPolicy(f"{CLUSTER}-{name}", project)
        itself = vnc_api.AddressType(network_policy=policy.get_fq_name_str())
        rule = vnc_api.PolicyRuleType(
            direction="<>",
            protocol="any",
            action_list=vnc_api.ActionListType(simple_action="pass"),
            src_addresses=[vnc_api.AddressType(virtual_network=source.get_fq_name_str()) if source else itself],
            src_ports=[vnc_api.PortType(-1, -1)],
            dst_addresses=[vnc_api.AddressType(virtual_network=target.get_fq_name_str())],
            dst_ports=[vnc_api.PortType(-1, -1)],
        )
        try:
            found = self.vnc.network_policy_read(policy.get_fq_name())
        except vnc_api.NoIdError:
            policy.set_network_policy_entries(vnc_api.PolicyEntriesType([rule]))
            self.vnc.network_policy_create(policy)
            return policy
        self.vnc.network_policy_update(policy)  # of an object that has nothing but its name
        return found

    def attach(self, network: Any, *policies: Any) -> None:
        for policy in policies:
            network.add_network_policy(policy, vnc_api.VirtualNetworkPolicyType(vnc_api.SequenceType(0, 0)))
        self.vnc.virtual_network_update(network)
        for policy in policies:
            self.vnc.ref_relax_for_delete(network.uuid, policy.uuid)

    def namespace(self, name: str) -> None:
        self.firewall.tag("namespace", name)
        project = self.project(name)
        self.share(project.uuid, add=True)
        self.default_group(project, name, open_rules())
        self.namespace_rules = self.firewall.open_namespace(name)

    def share(self, project: str, *, add: bool) -> None:
        """Of the cluster's two networks with a namespace's project."""
        for network in (self.pods, self.services):
            found = self.vnc.virtual_network_read(network.get_fq_name())
            perms = found.perms2
            perms.share = [one for one in perms.share if one.tenant != project]
            if add:
                perms.share.append(vnc_api.ShareType(tenant=project, tenant_access=4))
            found.perms2 = perms
            self.vnc.virtual_network_update(found)

    def default_group(self, project: Any, namespace: str, rules: list[Any]) -> None:
        group = vnc_api.SecurityGroup(
            f"{CLUSTER}-{namespace}-default-sg",
            project,
            id_perms=vnc_api.IdPermsType(enable=True, description="Default security group"),
            security_group_entries=vnc_api.PolicyEntriesType(rules),
        )
        with suppress(vnc_api.RefsExistError):
            self.vnc.security_group_create(group)
            self.vnc.chown(group.uuid, project.uuid)

    def delete_namespace(self, name: str) -> None:
        for rule in self.namespace_rules:
            self.firewall.delete_rule(self.firewall.allow, rule)
        project = self.vnc.project_read([DOMAIN, f"{CLUSTER}-{name}"])
        self.share(project.uuid, add=False)
        group = self.vnc.security_group_read([*project.fq_name, f"{CLUSTER}-{name}-default-sg"])
        for interface in group.get_virtual_machine_interface_back_refs() or []:
            self.vnc.ref_update(
                "virtual-machine-interface", interface["uuid"], "security-group", group.uuid, None, "DELETE"
            )
        self.vnc.security_group_delete(id=group.uuid)
        self.vnc.project_delete(fq_name=project.fq_name)
        self.firewall.delete_tag("namespace", name)

    def pod(self, namespace: str, name: str, node: str, labels: dict[str, str], network: Any = None) -> Pod:
        """In the cluster's network of pods, or in another of the flat ones."""
        tags = labels | {"namespace": namespace}
        for kind, value in tags.items():
            self.firewall.tag(kind, value)
        network = self.vnc.virtual_network_read((network or self.pods).get_fq_name())
        project = self.vnc.project_read([DOMAIN, f"{CLUSTER}-{namespace}"])
        owner = vnc_api.PermType2(owner=project.uuid, owner_access=7)
        uid = str(uuid.uuid4())
        machine = vnc_api.VirtualMachine(f"{CLUSTER}__{namespace}__{name}", perms2=owner, server_type="container")
        machine.uuid = uid
        annotate(machine, "Pod", namespace, name=name, k8s_uuid=uid, labels=json.dumps(labels))
        self.vnc.virtual_machine_create(machine)

        own = str(uuid.uuid1())
        interface = vnc_api.VirtualMachineInterface(f"{name}__{own}", project, port_security_enabled=True)
        interface.uuid = own
        interface.set_virtual_network(network)
        interface.set_virtual_machine(machine)
        interface.add_security_group(vnc_api.SecurityGroup(f"{CLUSTER}-{namespace}-default-sg", project))
        annotate(interface, "Pod", namespace, name=name, index="0/1", network="default")
        self.vnc.virtual_machine_interface_create(interface)

        found = self.vnc.virtual_machine_interface_read(interface.get_fq_name())
        own = str(uuid.uuid1())
        address = vnc_api.InstanceIp(f"{name}__{own}", subnet_uuid=self.subnet(network), perms2=owner)
        address.uuid = own
        address.add_virtual_network(network)
        address.add_virtual_machine_interface(found)
        annotate(address, "Pod", namespace, name=name)
        self.vnc.instance_ip_create(address)
        router = self.vnc.virtual_router_read(["default-global-system-config", node])
        self.vnc.ref_update("virtual-router", router.uuid, "virtual-machine", uid, None, "ADD")
        self.firewall.tag_object(found, tags)
        return Pod(
            uid,
            self.vnc.virtual_machine_interface_read(id=interface.uuid),
            self.vnc.instance_ip_read(id=address.uuid),
            tags,
        )

    def delete_pod(self, pod: Pod) -> None:
        machine = self.vnc.virtual_machine_read(id=pod.uid)
        for router in machine.get_virtual_router_back_refs() or []:
            self.vnc.ref_update("virtual-router", router["uuid"], "virtual-machine", pod.uid, None, "DELETE")
        for kind in pod.tags:
            self.vnc.unset_tag(pod.interface, kind)
        found = self.vnc.virtual_machine_interface_read(id=pod.interface.uuid)
        self.vnc.instance_ip_delete(id=pod.instance_ip.uuid)
        for floating_ip in found.get_floating_ip_back_refs() or []:
            self.vnc.ref_update(
                "floating-ip", floating_ip["uuid"], "virtual-machine-interface", found.uuid, None, "DELETE"
            )
        self.vnc.virtual_machine_interface_delete(id=found.uuid)
        self.vnc.virtual_machine_delete(id=pod.uid)
        for kind, value in pod.tags.items():
            self.firewall.delete_tag(kind, value)


def open_rules() -> list[Any]:
    """From everywhere and to everywhere, in both families."""
    rules, group = [], vnc_api.AddressType(security_group="local")
    for prefix, ethertype in (("0.0.0.0", "IPv4"), ("::", "IPv6")):
        anywhere = vnc_api.AddressType(subnet=vnc_api.SubnetType(prefix, 0))
        rules += [security_rule(anywhere, group, ethertype), security_rule(group, anywhere, ethertype)]
    return rules


def security_rule(source: Any, target: Any, ethertype: str) -> Any:
    ports = [vnc_api.PortType(0, 65535)]
    return vnc_api.PolicyRuleType(
        rule_uuid=str(uuid.uuid4()), direction=">", protocol="any", src_addresses=[source], src_ports=ports,
        dst_addresses=[target], dst_ports=ports, ethertype=ethertype,
    )  # fmt: skip
