"""What kube-manager does with tags, firewall policies and the network policies of Kubernetes."""

from contextlib import suppress
from typing import Any

from kube_names import CLUSTER, MANAGEMENT, annotate
from vnc_api import vnc_api

ANYWHERE = vnc_api.FirewallRuleEndpointType(any=True)


class Firewall:
    """Tags, and the cluster's application-policy-set: ingresses, then what users write, then deny, then allow."""

    def __init__(self, vnc: Any) -> None:
        self.vnc = vnc
        self.management = vnc.policy_management_read(MANAGEMENT)
        self.policy_set = vnc_api.ApplicationPolicySet(CLUSTER, self.management)
        try:
            vnc.application_policy_set_create(self.policy_set)
        except vnc_api.RefsExistError:
            vnc.application_policy_set_update(self.policy_set)
        self.deny = self.policy("denyall", tail="True")
        self.allow = self.policy("allowall", after_tail="True")
        self.ingress = self.policy("Ingress")
        for number, policy in enumerate([self.ingress, self.deny, self.allow], start=1):
            self.add_to_set(policy, number)
        self.tag("application", CLUSTER)
        self.tag_object(self.policy_set, {"application": CLUSTER})

    def tag(self, kind: str, value: str) -> None:
        tag = vnc_api.Tag(f"{kind}={value}", tag_type_name=kind, tag_value=value)
        with suppress(vnc_api.RefsExistError):
            self.vnc.tag_create(tag)
        self.vnc.tag_read(tag.get_fq_name())

    def tag_object(self, target: Any, tags: dict[str, str]) -> None:
        self.vnc.set_tags(target, {kind: {"is_global": True, "value": value} for kind, value in tags.items()})

    def delete_tag(self, kind: str, value: str) -> None:
        """It stays while it is used; it may be gone already, with another object that had it."""
        with suppress(vnc_api.RefsExistError, vnc_api.NoIdError):
            self.vnc.tag_delete([f"{kind}={value}"])

    def policy(self, name: str, rules: list[Any] | None = None, **annotations: str) -> Any:
        policy = vnc_api.FirewallPolicy(f"{CLUSTER}-{name}", self.management)
        for number, rule in enumerate(rules or []):
            policy.add_firewall_rule(rule, sequence(number))
        annotate(policy, "VncSecurityPolicy", None, name=name, **annotations)
        with suppress(vnc_api.RefsExistError):
            self.vnc.firewall_policy_create(policy)
        return self.vnc.firewall_policy_read(policy.get_fq_name())

    def add_to_set(self, policy: Any, number: int) -> None:
        """To the cluster's application-policy-set; again with another number moves it there."""
        policies = self.vnc.application_policy_set_read(id=self.policy_set.uuid)
        policies.add_firewall_policy(policy, sequence(number))
        self.vnc.application_policy_set_update(policies)

    def rule(self, name: str, source: Any, target: Any, action: str = "pass", **ports: Any) -> Any:
        ports = ports or {"protocol": "any", "dst_ports": vnc_api.PortType("0", "65535")}
        rule = vnc_api.FirewallRule(
            name,
            self.management,
            action_list=vnc_api.ActionListType(simple_action=action),
            service=vnc_api.FirewallServiceType(**ports),
            endpoint_1=source,
            endpoint_2=target,
            direction=">",
        )
        self.vnc.firewall_rule_create(rule)
        return self.vnc.firewall_rule_read(id=rule.uuid)

    def add_rule(self, policy: Any, rule: Any) -> None:
        found = self.vnc.firewall_policy_read(id=policy.uuid)
        found.add_firewall_rule(rule, sequence(1 + len(found.get_firewall_rule_refs() or [])))
        self.vnc.firewall_policy_update(found)

    def open_namespace(self, name: str) -> list[Any]:
        """Its pods reach and are reached unless a network policy says otherwise."""
        rules = [
            self.rule(f"{CLUSTER}-Namespace-{name}-ingress", ANYWHERE, tagged({"namespace": name})),
            self.rule(f"{CLUSTER}-Namespace-{name}-egress", tagged({"namespace": name}), ANYWHERE),
        ]
        for rule in rules:
            self.add_rule(self.allow, rule)
        return rules

    def delete_rule(self, policy: Any, rule: Any) -> None:
        found, rule = self.vnc.firewall_policy_read(id=policy.uuid), self.vnc.firewall_rule_read(id=rule.uuid)
        groups = rule.get_address_group_refs()
        found.del_firewall_rule(rule)
        self.vnc.firewall_policy_update(found)
        self.vnc.firewall_rule_delete(id=rule.uuid)
        for group in groups or []:
            self.vnc.address_group_delete(id=group["uuid"])

    def network_policy(self, namespace: str, name: str, selector: dict[str, str], cidr: str, port: int) -> list[Any]:
        """Pods of a selector may be reached from one block of addresses at one port, and from nowhere else."""
        pods = tagged(selector | {"namespace": namespace})
        prefix, length = cidr.split("/")
        group = vnc_api.AddressGroup(
            cidr, self.management, address_group_prefix=vnc_api.SubnetListType([vnc_api.SubnetType(prefix, length)])
        )
        self.vnc.address_group_create(group)
        block = vnc_api.FirewallRuleEndpointType(address_group=":".join(group.get_fq_name()))
        ports = vnc_api.PortType(port, port)
        rule = self.rule(f"{namespace}-ingress-{name}", block, pods, protocol="tcp", dst_ports=ports)
        deny = self.rule(f"{namespace}-ingress-{name}-denyall", ANYWHERE, pods, "deny")
        self.add_rule(self.deny, deny)
        policy = self.policy(f"{namespace}-{name}", [rule], deny_all_rule_uuid=deny.uuid)
        for number, later in enumerate([self.deny, self.allow], start=3):
            self.add_to_set(later, number)
        self.add_to_set(policy, 2)
        return [policy, rule, deny]

    def delete_network_policy(self, policy: Any, rule: Any, deny: Any) -> None:
        self.delete_rule(self.deny, deny)
        self.delete_rule(policy, rule)
        policies = self.vnc.application_policy_set_read(id=self.policy_set.uuid)
        policies.del_firewall_policy(policy)
        self.vnc.application_policy_set_update(policies)
        self.vnc.firewall_policy_delete(id=policy.uuid)


def tagged(tags: dict[str, str]) -> Any:
    """The end of a firewall rule."""
    return vnc_api.FirewallRuleEndpointType(tags=[f"{kind}={value}" for kind, value in tags.items()])


def sequence(number: int) -> Any:
    return vnc_api.FirewallSequence(sequence=f"{number:05}.0")
