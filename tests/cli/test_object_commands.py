"""`vaportrail ls | cat | tree | create | set | ln` on a server."""

import json

from cli_runs import Shell

from cli import notation


def test_ls_lists_types_by_family(shell: Shell) -> None:
    rows = [line.split() for line in shell.run("ls").splitlines()]
    assert rows[0] == ["Family", "Type"]
    assert len(rows) == 127
    assert ["load-balancing", "loadbalancer-pool"] in rows
    (projects,) = [line for line in shell.run("ls", "-l").splitlines() if line.split()[1] == "project"]
    assert int(projects.split()[2]) >= 2


def test_ls_of_a_type_prints_paths(shell: Shell) -> None:
    path = f"project/{shell.project}"
    assert path in shell.run("ls", "project").splitlines()
    (line,) = [line for line in shell.run("ls", "project", "-l").splitlines() if line.endswith(path)]
    uuid, changed, _ = line.split()
    assert shell.read(f"project/{uuid}")["id_perms"]["last_modified"] == changed
    rows = json.loads(shell.run("ls", "project", "-o", "json"))
    assert {"type": "project", "fq_name": ["default-domain", shell.short], "uuid": uuid} in rows
    assert shell.run("ls", "bgpvpn") == ""


def test_ls_of_an_object_prints_what_it_is_related_to(shell: Shell) -> None:
    shell.pod("a")
    told = shell.run("ls", f"virtual-machine-interface/{shell.name('a')}", "-l")
    kinds = {tuple(line.split()[::2][:2]) for line in told.splitlines()[1:]}
    assert ("ref", f"virtual-network/{shell.name('vn')}") in kinds
    assert ("ref", f"virtual-machine/{shell.short}-a") in kinds
    assert ("back-ref", f"instance-ip/{shell.short}-a") in kinds
    below = [line.split() for line in shell.run("ls", f"project/{shell.project}").splitlines()]
    assert ["child", f"virtual-machine-interface/{shell.name('a')}"] in below


def test_a_name_is_long_short_or_a_uuid(shell: Shell) -> None:
    whole = shell.read(f"project/{shell.project}")
    for name in (shell.short, whole["uuid"]):
        assert shell.read(f"project/{name}") == whole
    assert shell.read(f"{shell.url}/project/{whole['uuid']}") == whole
    shell.run("create", f"loadbalancer/{shell.name('same')}")
    shell.run("create", "project/default-domain:other-" + shell.short)
    shell.run("create", f"loadbalancer/default-domain:other-{shell.short}:same")
    assert "2 objects of type loadbalancer are called 'same': " in shell.refused("cat", "loadbalancer/same")
    assert shell.read(f"loadbalancer/{shell.short}:same")["fq_name"][1] == shell.short
    shell.run("rm", "-r", "-y", f"project/default-domain:other-{shell.short}")


def test_a_name_may_contain_colons_slashes_and_blanks(shell: Shell) -> None:
    number = int(shell.short[1:])
    shell.run("create", f"route-target/target:64512:{number}")
    assert shell.read(f"route-target/target:64512:{number}")["fq_name"] == [f"target:64512:{number}"]
    shell.run("create", f"loadbalancer/{shell.name('a/b c')}")
    assert shell.read("loadbalancer/a/b c")["fq_name"][-1] == "a/b c"
    uuid = "11111111-2222-4333-8444-555555555555"
    shell.run("create", f"loadbalancer/{shell.name(uuid)}")
    assert shell.read(f"loadbalancer/{uuid}")["fq_name"][-1] == uuid


def test_what_is_not_there_is_said_in_a_sentence(shell: Shell) -> None:
    assert shell.refused("cat", f"project/{shell.short}x").startswith("there is no project called")
    assert shell.refused("tree", "project/0b2e9b7b-0000-4000-8000-000000000000").startswith(
        "there is no project called"
    )
    project = shell.read(f"project/{shell.project}")["uuid"]
    assert shell.refused("cat", f"domain/{project}") == f"{project} is project/{shell.project}, not a domain"
    assert "no type called 'projekt' (did you mean 'project'?)" in shell.refused("ls", "projekt", status=2)
    assert "no answer from http://127.0.0.1:1" in shell.refused("ls", "project", "--api", "http://127.0.0.1:1")
    assert shell.ask("ls", "--nonsense").status == 2


def test_cat_prints_what_can_be_read_and_applied_again(shell: Shell) -> None:
    path = f"virtual-network/{shell.name('vn')}"
    (document,) = notation.load(shell.run("cat", path), "cat")
    assert document == shell.read(path)
    assert list(document)[:3] == ["type", "fq_name", "uuid"]
    assert "href" not in json.dumps(document)
    before = shell.revision()
    told = shell.run("apply", "-f", "-", given=shell.run("cat", path, f"project/{shell.short}"))
    assert told.splitlines()[-1] == "0 created, 0 updated, 2 unchanged, 0 deleted"
    assert shell.revision() == before
    table = shell.run("cat", path, "-o", "table")
    assert f"fq_name{' ' * 50}" in table
    assert "network_ipam_refs[0].attr.ipam_subnets[0].subnet.ip_prefix_len" in table


def test_tree_shows_what_stands_below(shell: Shell) -> None:
    shell.pod("a")
    shell.service("web", "--port", "8888:80", "--port", "53/udp", "--backend", f"{shell.short}-a", "--vip", "auto")
    web = shell.read(f"loadbalancer/{shell.name('web')}")
    address = shell.read(f"instance-ip/{shell.short}-a")["instance_ip_address"]
    assert shell.run("tree", f"loadbalancer/{shell.name('web')}").splitlines() == [
        f"loadbalancer/{shell.name('web')}  {web['loadbalancer_properties']['vip_address']}",
        "├── loadbalancer-listener/web-TCP-8888  TCP 8888",
        "│   └── loadbalancer-pool/web-TCP-8888  ROUND_ROBIN",
        f"│       └── loadbalancer-member/a  {address}:80",
        "└── loadbalancer-listener/web-UDP-53  UDP 53",
        "    └── loadbalancer-pool/web-UDP-53  ROUND_ROBIN",
        f"        └── loadbalancer-member/a  {address}:53",
    ]
    whole = shell.run("tree", f"project/{shell.project}")
    assert whole.count("loadbalancer-pool/") == 2
    assert "│       ├── loadbalancer-pool/" not in whole
    assert shell.run("tree", f"project/{shell.project}", "-L", "0").splitlines() == [f"project/{shell.project}"]
    (document,) = json.loads(shell.run("tree", f"loadbalancer/{shell.name('web')}", "-L", "1", "-o", "json"))
    assert [each["fq_name"][-1] for each in document["below"]] == ["web-TCP-8888", "web-UDP-53"]
    assert document["below"][0]["below"] == []
    assert f"project/{shell.short}" in shell.run("tree")


def test_create_takes_fields_from_words_and_from_files(shell: Shell) -> None:
    path = f"loadbalancer/{shell.name('lb')}"
    file = shell.folder / "lb.yaml"
    file.write_text("loadbalancer_provider: native\nloadbalancer_properties: {vip_address: 10.0.0.1}\n")
    told = shell.run("create", path, "-f", str(file), "loadbalancer_properties.admin_state=true", "display_name=LB")
    made = shell.read(path)
    assert told.split() == [path, made["uuid"]]
    assert made["loadbalancer_properties"] == {"vip_address": "10.0.0.1", "admin_state": True}
    assert (made["display_name"], made["loadbalancer_provider"]) == ("LB", "native")
    assert "already exists" in shell.refused("create", path)
    envelope = '{"loadbalancer": {"display_name": "other"}}'
    shell.run("create", f"{path}2", "-f", "-", "uuid=11111111-2222-4333-8444-0000000000ab", given=envelope)
    assert shell.read("loadbalancer/11111111-2222-4333-8444-0000000000ab")["display_name"] == "other"
    assert "no such file" in shell.refused("create", f"{path}3", "-f", str(shell.folder / "none")).lower()
    assert "must hold the fields of one loadbalancer" in shell.refused("create", f"{path}3", "-f", "-", given="[]")


def test_create_finds_the_parent(shell: Shell) -> None:
    network = f"virtual_network_refs={shell.name('vn')}"
    shell.run("create", f"virtual-machine-interface/{shell.name('i')}", network)
    assert shell.read(f"virtual-machine-interface/{shell.name('i')}")["parent_type"] == "project"
    shell.run("create", f"virtual-machine/{shell.short}-m")
    shell.run("create", f"virtual-machine-interface/{shell.short}-m:i", network)
    assert shell.read(f"virtual-machine-interface/{shell.short}-m:i")["parent_type"] == "virtual-machine"
    refused = shell.refused("create", "virtual-machine-interface/default-domain:nobody:i", network)
    assert refused == "there is no virtual-machine or project or virtual-router called 'default-domain:nobody'"
    assert "no virtual-network called 'nothing'" in shell.refused(
        "create", "instance-ip/x", "virtual_network_refs=nothing"
    )


def test_set_changes_one_value_and_leaves_the_rest(shell: Shell) -> None:
    path = f"loadbalancer/{shell.name('lb')}"
    shell.run("create", path, "loadbalancer_properties.vip_address=10.0.0.1", "annotations.a=1")
    told = shell.run("set", path, "loadbalancer_properties.admin_state=false", "annotations.b=2", "annotations.a-")
    assert told == f"{path}  loadbalancer_properties, annotations\n"
    found = shell.read(path)
    assert found["loadbalancer_properties"] == {"vip_address": "10.0.0.1", "admin_state": False}
    assert found["annotations"] == {"key_value_pair": [{"key": "b", "value": "2"}]}
    before = shell.revision()
    assert shell.run("set", path, "loadbalancer_properties.admin_state=false") == f"{path}  unchanged\n"
    assert shell.revision() == before
    shell.run("set", path, "annotations-")
    assert "annotations" not in shell.read(path)
    assert "is true or false" in shell.refused("set", path, "loadbalancer_properties.admin_state=2", status=2)


def test_set_replaces_references_by_name(shell: Shell) -> None:
    for name in ("a", "b"):
        shell.run("create", f"network-policy/{shell.name(name)}")
    path = f"virtual-network/{shell.name('vn')}"
    shell.run("set", path, f"network_policy_refs={shell.name('a')}")
    shell.run(
        "ln", path, f"network-policy/{shell.name('a')}", "--attr", "sequence.major=1", "--attr", "sequence.minor=2"
    )
    shell.run("set", path, f"network_policy_refs={shell.name('b')},{shell.name('a')}")
    policies = {each["to"][-1]: each["attr"] for each in shell.read(path)["network_policy_refs"]}
    assert policies == {"a": {"sequence": {"major": 1, "minor": 2}}, "b": None}
    shell.run("set", path, "network_policy_refs=")
    assert "network_policy_refs" not in shell.read(path)


def test_ln_links_and_unlinks(shell: Shell) -> None:
    policy, network = f"network-policy/{shell.name('a')}", f"virtual-network/{shell.name('vn')}"
    shell.run("create", policy)
    assert shell.run("ln", network, policy, "--attr", '{"sequence": {"major": 3}}') == f"{network} -> {policy}\n"
    assert shell.read(network)["network_policy_refs"][0]["attr"] == {"sequence": {"major": 3}}
    assert "no longer refers to" in shell.run("ln", "-d", network, policy)
    assert "network_policy_refs" not in shell.read(network)
    assert "it is the other way round" in shell.refused("ln", policy, network, status=2)
    assert "but to: " in shell.refused("ln", network, f"project/{shell.project}", status=2)
    assert "is a number, not 'x'" in shell.refused("ln", network, policy, "--attr", "sequence.major=x", status=2)
