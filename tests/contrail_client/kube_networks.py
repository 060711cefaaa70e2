"""Networks that kube-manager makes for those who do not want the cluster's: an isolated namespace's, a user's own."""

from typing import Any

from kube_cluster import Cluster, Pod, open_rules
from kube_names import CLUSTER, DOMAIN
from vnc_api import vnc_api

DEFAULT = [DOMAIN, f"{CLUSTER}-default"]


class IsolatedNamespace:
    """Its two networks share the cluster's ipams; a policy of its own joins them."""

    def __init__(self, cluster: Cluster, name: str) -> None:
        self.cluster, self.vnc, self.name = cluster, cluster.vnc, name
        cluster.firewall.tag("namespace", name)
        self.project = cluster.project(name)
        self.pods = self._network("pod")
        self.services = self._network("service")
        self.policy = cluster.policy(self.project, f"{name}-pod-service-np", self.pods, self.services)
        to_services = self.vnc.network_policy_read([*DEFAULT, f"{CLUSTER}-default-service-np"])
        to_fabric = self.vnc.network_policy_read([*DEFAULT, f"{CLUSTER}-default-ip-fabric-np"])
        cluster.attach(self.pods, to_services, to_fabric, self.policy)
        cluster.attach(self.services, to_fabric, self.policy)
        cluster.default_group(self.project, name, open_rules())
        self.rules = cluster.firewall.open_namespace(name)

    def _network(self, kind: str) -> Any:
        ipam = self.vnc.network_ipam_read([*DEFAULT, f"{CLUSTER}-{kind}-ipam"])
        network = self.cluster.flat_network(self.project, f"{self.name}-{kind}-network", ipam)
        self.cluster.firewall.tag_object(network, {"application": CLUSTER})
        return network

    def delete(self) -> None:
        """The policy goes while the networks still have it: their references were relaxed."""
        for rule in self.rules:
            self.cluster.firewall.delete_rule(self.cluster.firewall.allow, rule)
        self.cluster.firewall.delete_tag("namespace", self.name)
        self.vnc.network_policy_delete(self.policy.get_fq_name())
        for network in (self.pods, self.services):
            self.vnc.virtual_network_delete(id=network.uuid)
        self.vnc.security_group_delete([*self.project.get_fq_name(), f"{CLUSTER}-{self.name}-default-sg"])
        self.vnc.project_delete(self.project.get_fq_name())


def custom_network(vnc: Any, project: Any, name: str, prefix: str, length: int, gateway: str, subnet: str) -> Any:
    """Of a NetworkAttachmentDefinition with a block of addresses: an ipam without any, a subnet of the network's."""
    ipam = vnc_api.NetworkIpam(f"{CLUSTER}-{name}-pod-ipam", project)
    vnc.network_ipam_create(ipam)
    network = vnc_api.VirtualNetwork(
        f"{CLUSTER}-{name}-pod-network", project, address_allocation_mode="user-defined-subnet-only"
    )
    block = vnc_api.IpamSubnetType(
        subnet=vnc_api.SubnetType(prefix, length), default_gateway=gateway, subnet_uuid=subnet
    )
    network.add_network_ipam(ipam, vnc_api.VnSubnetsType([block]))
    network.set_virtual_network_properties(vnc_api.VirtualNetworkType(forwarding_mode="l2_l3"))
    network.set_fabric_snat(False)
    vnc.virtual_network_create(network)
    return vnc.virtual_network_read(network.get_fq_name())


def delete_custom_network(vnc: Any, network: Any) -> None:
    """First the subnet: it says whether there are still addresses in use."""
    found = vnc.virtual_network_read(id=network.uuid)
    for reference in found.get_network_ipam_refs() or []:
        found.del_network_ipam(vnc.network_ipam_read(id=reference["uuid"]))
    vnc.virtual_network_update(found)
    vnc.virtual_network_delete(id=network.uuid)


def nest(vnc: Any, pod: Pod, machine: Any, vlan: int) -> Any:
    """An interface of a pod that runs in a virtual-machine: made with its VLAN, then tied to the machine's."""
    interface = vnc_api.VirtualMachineInterface(
        f"{pod.interface.name}-nested",
        vnc.project_read(pod.interface.get_fq_name()[:2]),
        virtual_machine_interface_properties=vnc_api.VirtualMachineInterfacePropertiesType(sub_interface_vlan_tag=vlan),
        port_security_enabled=True,
    )
    interface.set_virtual_network(vnc.virtual_network_read(id=pod.interface.get_virtual_network_refs()[0]["uuid"]))
    interface.set_virtual_machine(vnc.virtual_machine_read(id=pod.uid))
    vnc.virtual_machine_interface_create(interface)
    kind = "virtual-machine-interface"
    vnc.ref_update(kind, machine.uuid, kind, interface.uuid, None, "ADD")
    vnc.ref_update(kind, interface.uuid, kind, machine.uuid, None, "ADD")
    return vnc.virtual_machine_interface_read(id=interface.uuid)
