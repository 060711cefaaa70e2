"""`vaportrail service create | show | delete`."""

import json

import pytest
from cli_runs import Shell

from cli.output import Misuse
from cli.service import declaration
from cli.service.declaration import Port


@pytest.mark.parametrize(
    ("text", "port"),
    [("80", Port(80, 80, "TCP")), ("8888:80", Port(8888, 80, "TCP")), ("53/udp", Port(53, 53, "UDP")),
     ("53:5353/UDP", Port(53, 5353, "UDP")), ("1:65535/tcp", Port(1, 65535, "TCP"))],
)  # fmt: skip
def test_ports(text: str, port: Port) -> None:
    assert declaration.port(text) == port


@pytest.mark.parametrize("text", ["", "http", "0", "65536", "80:", ":80", "80:80:80", "80/sctp", "-1", "٨٠"])
def test_what_is_no_port(text: str) -> None:
    with pytest.raises(Misuse, match="8888:80"):
        declaration.port(text)


def test_a_whole_load_balancer_in_one_line(shell: Shell) -> None:
    addresses = {name: shell.pod(name) for name in ("a", "b")}
    pods = [f"--backend={shell.short}-{name}" for name in addresses]
    before = shell.revision()
    words = ("--port", "8888:80", "--port", "53/udp", *pods, "--backend", "10.200.0.1")
    told = shell.service("web", *words)
    assert shell.revision() == before + 1  # one transaction; asking for the address changed nothing
    *_, counts, vip = told.splitlines()
    assert counts == "13 created, 0 updated, 0 unchanged, 0 deleted"
    balancer = shell.read(f"loadbalancer/{shell.name('web')}")
    address = balancer["loadbalancer_properties"]["vip_address"]
    assert vip == f"VIP {address}"
    assert shell.read(f"instance-ip/default-domain__{shell.short}__web-vip")["instance_ip_address"] == address

    shown = json.loads(shell.run("service", "show", shell.name("web"), "-o", "json"))
    assert (shown["vip"], shown["members"], shown["linked"]) == (address, 6, 4)
    assert [(each["protocol"], each["port"]) for each in shown["listeners"]] == [("UDP", 53), ("TCP", 8888)]
    members = {each["name"]: each for each in shown["listeners"][1]["pools"][0]["members"]}
    assert [(name, each["address"], each["port"], each["linked"]) for name, each in sorted(members.items())] == [
        ("10.200.0.1", "10.200.0.1", 80, False), ("a", addresses["a"], 80, True), ("b", addresses["b"], 80, True),
    ]  # fmt: skip
    table = shell.run("service", "show", shell.name("web"))
    assert table.startswith(f"{shell.name('web')}  VIP {address}  provider native\n\nListener ")
    assert table.endswith("\n6 members, 4 linked\n")

    revision = shell.revision()
    assert shell.service("web", *words).splitlines()[-2] == "0 created, 0 updated, 13 unchanged, 0 deleted"
    assert shell.revision() == revision


def test_more_of_it_later(shell: Shell) -> None:
    """A second line with another port and back-end adds what is missing and takes nothing away."""
    for name in ("a", "b"):
        shell.pod(name)
    shell.service("web", "--port", "80", "--backend", f"{shell.short}-a")
    told = shell.service("web", "--port", "80", "--port", "81", "--backend", f"{shell.short}-b")
    assert told.splitlines()[-2] == "4 created, 0 updated, 5 unchanged, 0 deleted"
    members = json.loads(shell.run("service", "show", shell.name("web"), "-o", "json"))["members"]
    assert members == 3


def test_a_vip_of_ones_own_and_a_backend_by_its_interface_or_address(shell: Shell) -> None:
    addresses = {name: shell.pod(name) for name in ("a", "b")}
    vip = f"10.9.{shell.short[1:]}.20"
    told = shell.service("web", "--vip", vip, "--port", "80", "--backend",
                         f"virtual-machine-interface/{shell.name('a')}", "--backend", addresses["b"])  # fmt: skip
    assert told.endswith(f"VIP {vip}\n")
    shown = json.loads(shell.run("service", "show", shell.name("web"), "-o", "json"))
    assert (shown["vip"], shown["linked"]) == (vip, 2)
    other = ("service", "create", "web", "--network", shell.name("vn"), "--port", "80", "--vip", f"{vip}1")
    assert shell.refused(*other).startswith(f"the VIP of web is {vip}, and stays so")
    shell.run("set", f"loadbalancer-member/{shell.name('web-TCP-80', 'a')}",
              "loadbalancer_member_properties.admin_state=false")  # fmt: skip
    table = shell.run("service", "show", shell.name("web"))
    (line,) = [line for line in table.splitlines() if "a (down)" in line]
    assert line.split()[-1] == "no"
    assert table.endswith("\n2 members, 1 linked\n")


def test_delete_takes_all_of_it(shell: Shell) -> None:
    shell.pod("a")
    before = shell.run("tree", f"project/{shell.project}"), shell.run("ls", "instance-ip")
    shell.service("web", "--port", "80", "--port", "81", "--backend", f"{shell.short}-a")
    done = shell.ask("service", "delete", shell.name("web"))
    assert done.status == 2
    assert "nobody is there to be asked" in done.err
    revision = shell.revision()
    told = shell.run("service", "delete", shell.name("web"), "-y")
    assert told.splitlines()[-1] == "9 objects deleted"
    assert shell.revision() == revision + 1
    assert (shell.run("tree", f"project/{shell.project}"), shell.run("ls", "instance-ip")) == before


def test_an_interface_that_something_else_uses_stays(shell: Shell) -> None:
    shell.service("web", "--port", "80")
    interface = shell.name("web-vip")
    shell.run("create", f"loadbalancer/{shell.name('second')}", f"virtual_machine_interface_refs={interface}")
    told = shell.run("service", "delete", shell.name("web"), "-y")
    assert told.splitlines()[-1] == "3 objects deleted"
    assert shell.read(f"virtual-machine-interface/{interface}")


def test_in_another_project(shell: Shell) -> None:
    other = f"default-domain:{shell.short}-other"
    shell.run("create", f"project/{other}")
    shell.service("web", "--port", "80", "--project", other)
    assert shell.read(f"loadbalancer/{other}:web")["parent_type"] == "project"


@pytest.mark.parametrize(
    ("options", "status", "says"),
    [
        (["--vip", "nonsense"], 2, "--vip nonsense: an address or 'auto' was expected"),
        (["--vip", "192.0.2.1"], 1, "cannot be created: "),
        (["--backend", "nobody"], 1, "--backend nobody: no pod of this name has an interface, and there is no"),
        (["--network", "nothing"], 1, "there is no virtual-network called 'nothing'"),
        (["--project", "nothing"], 1, "there is no project called 'nothing'"),
        (["--port", "x"], 2, "--port x: "),
    ],
)
def test_what_is_wrong_changes_nothing(shell: Shell, options: list[str], status: int, says: str) -> None:
    before = shell.revision()
    words = ("service", "create", "web", "--network", shell.name("vn"), "--port", "80", *options)
    assert says in shell.refused(*words, status=status)
    assert shell.revision() == before


def test_a_pod_without_an_address_or_with_several_interfaces(shell: Shell) -> None:
    network = f"virtual_network_refs={shell.name('vn')}"
    machine = f"{shell.short}-m"
    shell.run("create", f"virtual-machine/{machine}")
    shell.run("create", f"virtual-machine-interface/{shell.name('i')}", network, f"virtual_machine_refs={machine}")
    words = ("service", "create", "web", "--network", shell.name("vn"), "--port", "80", "--backend", machine)
    assert "has no instance-ip with an address" in shell.refused(*words)
    shell.run("create", f"virtual-machine-interface/{shell.name('j')}", network, f"virtual_machine_refs={machine}")
    assert "the pod has 2 interfaces; name one" in shell.refused(*words)


def test_a_loadbalancer_that_somebody_else_made_is_left_alone(shell: Shell) -> None:
    shell.pod("a")
    shell.run("create", f"loadbalancer/{shell.name('web')}", f"virtual_machine_interface_refs={shell.name('a')}")
    words = ("service", "create", "web", "--network", shell.name("vn"), "--port", "80")
    assert "was not made by `vaportrail service create`" in shell.refused(*words)
