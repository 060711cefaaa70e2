"""`vaportrail apply`: any order, twice the same, all or nothing."""

import json
import random

import pytest
from cli_runs import Shell

from cli import notation

LAB = """
type: network-policy
fq_name: {p}:np
network_policy_entries:
  policy_rule:
    - direction: <>
      protocol: any
      src_addresses: [{{virtual_network: any}}]
      dst_addresses: [{{virtual_network: any}}]
      src_ports: [{{start_port: -1, end_port: -1}}]
      dst_ports: [{{start_port: -1, end_port: -1}}]
      action_list: {{simple_action: pass}}
---
type: network-ipam
fq_name: {p}:ipam
---
type: virtual-network
fq_name: {p}:net
network_ipam_refs:
  - to: {p}:ipam
    attr: {{ipam_subnets: [{{subnet: {{ip_prefix: 10.20.0.0, ip_prefix_len: 24}}}}]}}
network_policy_refs: [{p}:np]
---
type: virtual-machine-interface
fq_name: {p}:vip
virtual_network_refs: [{p}:net]
---
type: instance-ip
fq_name: {q}-vip
virtual_network_refs: [{p}:net]
virtual_machine_interface_refs: [{p}:vip]
---
type: loadbalancer
fq_name: {p}:lb
loadbalancer_provider: native
loadbalancer_properties: {{admin_state: true}}
virtual_machine_interface_refs: [{p}:vip]
---
type: loadbalancer-listener
fq_name: {p}:li
loadbalancer_listener_properties: {{protocol: TCP, protocol_port: 80}}
loadbalancer_refs: [{p}:lb]
---
type: loadbalancer-pool
fq_name: {p}:po
loadbalancer_pool_properties: {{protocol: TCP, loadbalancer_method: ROUND_ROBIN}}
loadbalancer_listener_refs: [{p}:li]
---
type: loadbalancer-member
fq_name: {p}:po:m
loadbalancer_member_properties: {{address: 10.20.0.9, protocol_port: 80}}
"""


@pytest.fixture
def lab(shell: Shell) -> list[str]:
    """A load balancer as documents, in the order in which they need each other; the project is there."""
    return LAB.format(p=shell.project, q=shell.short).split("---\n")


def apply(shell: Shell, documents: list[str], *options: str) -> str:
    """The last line: how many of which kind."""
    return shell.run("apply", "-f", "-", *options, given="---\n".join(documents)).splitlines()[-1]


def test_any_order_and_a_second_time_nothing(shell: Shell, lab: list[str]) -> None:
    random.Random(shell.short).shuffle(lab)
    before = shell.revision()
    assert apply(shell, lab) == "9 created, 0 updated, 0 unchanged, 0 deleted"
    assert shell.revision() == before + 1  # one transaction
    for _ in range(2):
        assert apply(shell, lab) == "0 created, 0 updated, 9 unchanged, 0 deleted"
    assert shell.revision() == before + 1


def test_only_what_differs_is_written(shell: Shell, lab: list[str]) -> None:
    apply(shell, lab)
    shell.run("set", f"loadbalancer/{shell.name('lb')}", "display_name=mine", "annotations.a=1")
    told = shell.run("apply", "-f", "-", given="---\n".join(lab).replace("protocol_port: 80}", "protocol_port: 81}"))
    assert f"updated    loadbalancer-listener/{shell.name('li')}  (loadbalancer_listener_properties)" in told
    assert told.splitlines()[-1] == "0 created, 2 updated, 7 unchanged, 0 deleted"
    found = shell.read(f"loadbalancer/{shell.name('lb')}")
    assert (found["display_name"], found["annotations"]["key_value_pair"][0]["key"]) == ("mine", "a")
    assert shell.read(f"loadbalancer-listener/{shell.name('li')}")["loadbalancer_listener_properties"] == {
        "protocol": "TCP", "protocol_port": 81,
    }  # fmt: skip


def test_all_or_nothing_and_the_object_is_named(shell: Shell, lab: list[str]) -> None:
    lab[-1] = lab[-1].replace("loadbalancer_member_properties", "tag_refs: [nothing]\nloadbalancer_member_properties")
    before = shell.revision()
    told = shell.refused("apply", "-f", "-", given="---\n".join(lab))
    assert told.startswith(f"loadbalancer-member/{shell.name('po', 'm')} cannot be created: ")
    assert told.endswith("; nothing has changed")
    assert shell.revision() == before
    assert shell.project not in shell.run("ls", "loadbalancer")


def test_a_dry_run_changes_nothing_but_asks_the_server(shell: Shell, lab: list[str]) -> None:
    before = shell.revision()
    told = apply(shell, lab, "--dry-run")
    assert told == "9 created, 0 updated, 0 unchanged, 0 deleted (dry run: nothing has changed)"
    wrong = [each.replace("ip_prefix_len: 24", "ip_prefix_len: 77") for each in lab]
    assert "77" in shell.refused("apply", "-f", "-", "--dry-run", given="---\n".join(wrong))
    assert shell.revision() == before


def test_pruning_deletes_what_the_owner_no_longer_declares(shell: Shell, lab: list[str]) -> None:
    owner = ("--owner", f"of-{shell.short}")
    shell.run("create", f"loadbalancer/{shell.name('other')}")
    apply(shell, lab, *owner)
    assert apply(shell, lab, *owner, "--prune") == "0 created, 0 updated, 9 unchanged, 0 deleted"
    network = shell.read(f"virtual-network/{shell.name('net')}")
    assert network["annotations"]["key_value_pair"] == [{"key": "vaportrail/apply", "value": f"of-{shell.short}"}]
    before = shell.revision()
    told = shell.run("apply", "-f", "-", *owner, "--prune", given="---\n".join(lab[:5]))
    deleted = [line.split()[1] for line in told.splitlines() if line.startswith("deleted")]
    assert deleted == [
        f"loadbalancer-member/{shell.name('po', 'm')}", f"loadbalancer-pool/{shell.name('po')}",
        f"loadbalancer-listener/{shell.name('li')}", f"loadbalancer/{shell.name('lb')}",
    ]  # fmt: skip
    assert told.splitlines()[-1] == "0 created, 0 updated, 5 unchanged, 4 deleted"
    assert shell.revision() == before + 1
    assert shell.read(f"loadbalancer/{shell.name('other')}")
    told = apply(shell, ["type: project\nfq_name: " + shell.project + "\n"], "--owner", "somebody-else", "--prune")
    assert told == "0 created, 1 updated, 0 unchanged, 0 deleted"


def test_pruning_does_not_touch_what_is_in_use_elsewhere(shell: Shell, lab: list[str]) -> None:
    owner = ("--owner", f"of-{shell.short}")
    apply(shell, lab, *owner)
    shell.run("create", f"loadbalancer-member/{shell.name('po', 'late')}")
    before = shell.revision()
    told = shell.refused("apply", "-f", "-", *owner, "--prune", given="---\n".join(lab[:5]))
    assert told.startswith(f"loadbalancer-pool/{shell.name('po')} cannot be deleted: ")
    assert shell.revision() == before


def test_what_one_server_prints_another_takes(shell: Shell, lab: list[str]) -> None:
    """Printed, deleted, applied again: the same objects with the same uuids."""
    apply(shell, lab)
    names = ("lb", "li", "po")
    paths = [f"{kind}/{shell.name(name)}" for kind, name in zip(
        ("loadbalancer", "loadbalancer-listener", "loadbalancer-pool"), names, strict=True)]  # fmt: skip
    paths.append(f"loadbalancer-member/{shell.name('po', 'm')}")
    before = [shell.read(path) for path in paths]
    text = shell.run("cat", *reversed(paths))
    shell.run("rm", *paths)
    assert shell.run("apply", "-f", "-", given=text).endswith("\n4 created, 0 updated, 0 unchanged, 0 deleted\n")
    for path, was in zip(paths, before, strict=True):
        now = shell.read(path)
        assert {**now, "id_perms": 0} == {**was, "id_perms": 0}
    other = notation.load(text, "cat")[0] | {"uuid": "11111111-2222-4333-8444-555555555556"}
    assert "has the uuid" in shell.refused("apply", "-f", "-", given=json.dumps(other))


def test_a_whole_project_deleted_and_applied_again(shell: Shell, lab: list[str]) -> None:
    """With all that the server made of itself: numbers, routing-instances, the project's policy set."""
    apply(shell, lab)
    paths = shell.ask("rm", "-r", f"project/{shell.project}").out.split()  # only shown: nobody is there to be asked
    before = [shell.read(path)["uuid"] for path in paths]
    text = shell.run("cat", *paths)
    assert apply(shell, [text]) == f"0 created, 0 updated, {len(paths)} unchanged, 0 deleted"
    shell.run("rm", "-r", "-y", f"project/{shell.project}")
    assert apply(shell, [text]) == f"{len(paths)} created, 0 updated, 0 unchanged, 0 deleted"
    assert apply(shell, [text]) == f"0 created, 0 updated, {len(paths)} unchanged, 0 deleted"
    assert [shell.read(path)["uuid"] for path in paths] == before


def test_names_that_no_list_can_ask_for(shell: Shell) -> None:
    names = [f"type: route-target\nfq_name: target:64513:{shell.short[1:]}\n",
             f"type: loadbalancer\nfq_name: {shell.name('a,b')}\n"]  # fmt: skip
    for count in ("2 created, 0 updated, 0 unchanged", "0 created, 0 updated, 2 unchanged"):
        assert apply(shell, names) == f"{count}, 0 deleted"


def test_what_it_did_as_json(shell: Shell, lab: list[str]) -> None:
    rows = json.loads(shell.run("apply", "-f", "-", "-o", "json", given=lab[0]))
    assert rows == [
        {"verb": "created", "type": "network-policy", "fq_name": [*shell.project.split(":"), "np"], "fields": []}
    ]


def test_used_wrongly(shell: Shell) -> None:
    told = shell.refused("apply", "-f", "-", "--owner", "me", "--prune", given="")
    assert told.startswith("nothing is declared, so that --prune would delete all there is")
    assert "--prune needs --owner" in shell.refused("apply", "-f", "-", "--prune", status=2, given="")
    assert "no such file" in shell.refused("apply", "-f", str(shell.folder / "none")).lower()
    (shell.folder / "latin").write_bytes(b"\xe4")
    assert "is no text in UTF-8" in shell.refused("apply", "-f", str(shell.folder / "latin"))
    assert "no type called 'x'" in shell.refused("apply", "-f", "-", given="type: x", status=2)
    assert shell.run("apply", "-f", "-", given="") == "0 created, 0 updated, 0 unchanged, 0 deleted\n"
    assert "no virtual-machine or project or virtual-router called" in shell.refused(
        "apply", "-f", "-", given="type: virtual-machine-interface\nfq_name: default-domain:nobody:x"
    )
