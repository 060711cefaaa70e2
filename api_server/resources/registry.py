"""Which types are special, and how: the one list of hooks. A type that is not here is plain create, read, update,
delete."""

from collections.abc import Mapping, Sequence

from api_server.resources.addresses import FloatingIpPool, InstanceIp, PooledIp
from api_server.resources.bgp import SUB_CLUSTER_IDS, BgpAsAService, BgpRouter, SubCluster
from api_server.resources.bindings import Bindings
from api_server.resources.devices import Fabric, LogicalInterface, PhysicalInterface, PhysicalRouter
from api_server.resources.dns import VirtualDns, VirtualDnsRecord
from api_server.resources.firewall import ApplicationPolicySet, FirewallObject, FirewallRule, ServiceGroup
from api_server.resources.hooks import Hook, Ranges, Registry
from api_server.resources.interfaces import VirtualMachineInterface
from api_server.resources.ipam import NetworkIpam
from api_server.resources.loadbalancing import KEYS, NATIVE, ServiceApplianceSet
from api_server.resources.logical_router import LogicalRouter
from api_server.resources.monitoring import Alarm
from api_server.resources.networking import NETWORK_IDS, BridgeDomain, ProviderNetwork, VirtualNetwork
from api_server.resources.port_profiles import PortProfile, StormControlProfile
from api_server.resources.qos import ForwardingClass, QosConfig
from api_server.resources.routed_networks import RoutedNetwork
from api_server.resources.routing import RouteTarget, RoutingInstance
from api_server.resources.routing_policy import RoutingPolicy
from api_server.resources.security import GROUP_IDS, NetworkPolicy, SecurityGroup
from api_server.resources.service_chaining import HostBasedService, RouteAggregate
from api_server.resources.system import GlobalSystemConfig, GlobalVrouterConfig
from api_server.resources.tags import CHOSEN_IDS, TYPE_IDS, VALUE_IDS, Tag, TagType, value_pools
from api_server.resources.tenancy import Domain, Project, ServiceTemplate
from api_server.resources.virtual_router import VirtualRouter

TYPES: dict[str, Sequence[Hook]] = {
    "address-group": (FirewallObject(),),
    "alarm": (Alarm(),),
    "alias-ip": (PooledIp("alias_ip"),),
    "application-policy-set": (ApplicationPolicySet(),),
    "bgp-as-a-service": (BgpAsAService(),),
    "bgp-router": (BgpRouter(),),
    "bridge-domain": (BridgeDomain(),),
    "domain": (Domain(),),
    "fabric": (Fabric(),),
    "firewall-policy": (FirewallObject(),),
    "firewall-rule": (FirewallRule(),),
    "floating-ip": (PooledIp("floating_ip"),),
    "floating-ip-pool": (FloatingIpPool(),),
    "forwarding-class": (ForwardingClass(),),
    "global-system-config": (GlobalSystemConfig(),),
    "global-vrouter-config": (GlobalVrouterConfig(),),
    "host-based-service": (HostBasedService(),),
    "instance-ip": (InstanceIp(),),
    "logical-interface": (LogicalInterface(),),
    "logical-router": (LogicalRouter(),),
    "network-ipam": (NetworkIpam(),),
    "network-policy": (NetworkPolicy(),),
    "physical-interface": (PhysicalInterface(),),
    "physical-router": (PhysicalRouter(),),
    "port-profile": (PortProfile(),),
    "project": (Project(),),
    "qos-config": (QosConfig(),),
    "route-aggregate": (RouteAggregate(),),
    "route-target": (RouteTarget(),),
    "routing-instance": (RoutingInstance(),),
    "routing-policy": (RoutingPolicy(),),
    "security-group": (SecurityGroup(),),
    "service-appliance-set": (ServiceApplianceSet(),),
    "service-group": (ServiceGroup(),),
    "service-template": (ServiceTemplate(),),
    "storm-control-profile": (StormControlProfile(),),
    "sub-cluster": (SubCluster(),),
    "tag": (Tag(),),
    "tag-type": (TagType(),),
    "virtual-DNS": (VirtualDns(),),
    "virtual-DNS-record": (VirtualDnsRecord(),),
    "virtual-machine-interface": (VirtualMachineInterface(), Bindings()),
    "virtual-network": (VirtualNetwork(), ProviderNetwork(), RoutedNetwork()),
    "virtual-router": (VirtualRouter(),),
}


POOLS: Mapping[str, Ranges] = dict(
    [
        NETWORK_IDS,
        GROUP_IDS,
        SUB_CLUSTER_IDS,
        TYPE_IDS,
        (f"{TYPE_IDS[0]}:chosen", CHOSEN_IDS),
        *zip(value_pools(""), (VALUE_IDS, CHOSEN_IDS), strict=True),
    ]
)
"""What the pools of numbers are made of that belong to no object, by name; where that ends with a colon, all that begin
with it."""


def registry(*, native_driver: bool = True) -> Registry:
    """native_driver: False leaves linking load balancers to their back-ends to a svc-monitor."""
    parts = [TYPES, KEYS, NATIVE] if native_driver else [TYPES, KEYS]
    names = {name for part in parts for name in part}
    return {name: [hook for part in parts for hook in part.get(name, ())] for name in sorted(names)}


REGISTRY: Registry = registry()
