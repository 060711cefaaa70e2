"""The objects that exist from the first start (contract 5.12), and the service-appliance-sets of Contrail's
svc-monitor.

The singletons carry the default values of the model's properties, which objects of clients never get, and no
display_name. That holds too for what the hooks of some bring along: routing instances, a project's
application-policy-set.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import schema
from api_server.resources import standard
from api_server.resources.hooks import Registry, perform
from api_server.resources.registry import REGISTRY
from api_server.resources.tags import PREDEFINED
from api_server.store.objects import Create, Object, Reference, Update
from api_server.store.transaction import Transaction

SYSTEM = "default-global-system-config"
DOMAIN = "default-domain"
PROJECT = (DOMAIN, "default-project")
POLICIES = "default-policy-management"
VROUTERS = (SYSTEM, "default-global-vrouter-config")

READABLE = {"perms2": {"global_access": 5}}
"""Everybody may read it and refer to it."""

TOO_LARGE = {
    "alarm_severity": 1, "uve_keys": {"uve_key": ["config-node"]},
    "alarm_rules": {"or_list": [{"and_list": [
        {"operand1": "UveConfigReq.err_info.*.", "operation": "==", "operand2": {"json_value": "true"}}
    ]}]},
    "id_perms": {"description": "Bottle request size limit exceeded."},
}  # fmt: skip
"""The alarm of Contrail's API server about requests over its size limit. Nothing here raises it."""

DRIVERS = {
    "opencontrail": "svc_monitor.services.loadbalancer.drivers.ha_proxy.driver.OpencontrailLoadbalancerDriver",
    "native": "svc_monitor.services.loadbalancer.drivers.native.driver.OpencontrailLoadbalancerDriver",
}
"""Named as Contrail's svc-monitor names them, because one that runs beside this server loads them by these paths."""


@dataclass(frozen=True, slots=True)
class Default:
    """parent: type, None for a root object. references: (type, fq_name) of targets listed before."""

    type: str
    fq_name: tuple[str, ...]
    parent: str | None = None
    properties: dict[str, Any] = field(default_factory=dict)
    references: tuple[tuple[str, tuple[str, ...]], ...] = ()
    singleton: bool = True


def defaults() -> Iterator[Default]:
    """In an order in which parents, references and network ids (1 to 4) come out right."""
    yield Default("global-system-config", (SYSTEM,), None, {"autonomous_system": 64512, "config_version": "1.0"})
    yield Default("global-vrouter-config", VROUTERS, "global-system-config")
    yield Default("fabric", (SYSTEM, "default-fabric"), "global-system-config")
    yield Default("global-qos-config", (SYSTEM, "default-global-qos-config"), "global-system-config")
    yield Default("alarm", (SYSTEM, "system-defined-bottle-request-size-limit"), "global-system-config", TOO_LARGE)
    yield Default("domain", (DOMAIN,))
    yield Default("namespace", (DOMAIN, "default-namespace"), "domain")
    yield Default("project", PROJECT, "domain", {"quota": {"defaults": -1}})
    yield Default("application-policy-set", (*PROJECT, "default-application-policy-set"), "project")
    yield Default("network-ipam", (*PROJECT, "default-network-ipam"), "project", READABLE)
    yield Default(
        "network-ipam", (*PROJECT, "service-chain-flat-ipam"), "project", {"ipam_subnet_method": "flat-subnet"}
    )
    yield Default("virtual-network", (*PROJECT, "default-virtual-network"), "project")
    yield Default("virtual-network", (*PROJECT, "ip-fabric"), "project", {"is_provider_network": True})
    yield Default("virtual-network", (*PROJECT, "__link_local__"), "project")
    yield Default("virtual-network", (*PROJECT, "dci-network"), "project")
    for network in ("default-virtual-network", "ip-fabric", "__link_local__", "dci-network"):
        yield Default("routing-instance", (*PROJECT, network, network), "virtual-network")
    for network in ("ip-fabric", "dci-network"):
        yield Default("routing-instance", (*PROJECT, network, "__default__"), "virtual-network")
    yield Default("security-group", (*PROJECT, "__no_rule__"), "project", READABLE)
    yield Default("policy-management", (POLICIES,))
    yield Default("application-policy-set", (POLICIES, "default-application-policy-set"), "policy-management",
                  {"all_applications": True}, (("global-vrouter-config", VROUTERS),))  # fmt: skip
    yield Default("discovery-service-assignment", ("default-discovery-service-assignment",))
    for name in PREDEFINED:
        yield Default("tag-type", (name,), None, {"id_perms": {"user_visible": False}})
    for name, driver in DRIVERS.items():
        yield Default("service-appliance-set", (SYSTEM, name), "global-system-config",
                      {"service_appliance_driver": driver} | READABLE, singleton=False)  # fmt: skip


def ensure_defaults(tx: Transaction, registry: Registry = REGISTRY) -> None:
    """Make those that are missing; those that stand stay as they are, whatever has become of them."""
    made: set[str] = set()
    for default in defaults():
        standing = tx.get(tx.find(default.type, default.fq_name) or "")
        if standing is None:
            missing = _object(tx, default)
            perform(tx, registry, Create(missing))
            made.add(missing.uuid)
        elif standing.parent_uuid in made:  # its parent's hook has just made it
            after = standing.copy()
            _make_singleton(after)
            perform(tx, registry, Update(standing, after))


def _object(tx: Transaction, default: Default) -> Object:
    parent = tx.find(default.parent, default.fq_name[:-1]) if default.parent is not None else None
    result = Object(default.type, "", default.fq_name, default.parent, parent, dict(default.properties))
    for kind, name in default.references:
        target = tx.find(kind, name)
        assert target is not None
        result.references.setdefault(f"{kind.replace('-', '_')}_refs", []).append(Reference(kind, target, name))
    standard.complete(tx, result)
    if default.singleton:
        _make_singleton(result)
    return result


def _make_singleton(object: Object) -> None:
    """In place: what Contrail's own objects have that those of clients do not, and the other way round."""
    del object.properties["display_name"]
    for member in schema.load().types[object.type].properties.values():
        if member.default is not None:
            object.properties.setdefault(member.name, member.default)
