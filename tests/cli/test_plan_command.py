"""`vaportrail plan`: server and agent asked together."""

import json
from collections.abc import Iterator

import pytest
from cli_runs import Done, Shell

from cli.demo.programs import Program

MEMBER = """
type: loadbalancer-member
fq_name: {pool}:{name}
loadbalancer_member_properties: {{address: {address}, protocol_port: 8080, weight: {weight}}}
"""


class Planner:
    """pool: of the service `web`, which has member a. addresses: of pods a and b, by name."""

    def __init__(self, shell: Shell, agent: str) -> None:
        self.shell = shell
        self.agent = agent
        self.node = f"node-{shell.short}"
        self.addresses = {name: shell.pod(name) for name in "ab"}
        machines = ",".join(f"{shell.short}-{name}" for name in "ab")
        shell.run(
            "create", f"virtual-router/default-global-system-config:{self.node}", f"virtual_machine_refs={machines}"
        )
        shell.service("web", "--port", "80:8080", "--backend", f"{shell.short}-a")
        self.pool = shell.name("web-TCP-80")
        self.vip = f"VRF {shell.name('vn', 'vn')}, service {shell.name('web')}"

    def member(self, name: str, address: str, weight: int = 1) -> str:
        return MEMBER.format(pool=self.pool, name=name, address=address, weight=weight)

    def ask(self, *words: str, given: str | None = None) -> Done:
        return self.shell.ask("plan", *words, "--introspect", self.agent, given=given)

    def plan(self, *words: str, given: str | None = None) -> str:
        done = self.ask(*words, given=given)
        assert done.status == 0, done
        return done.out


@pytest.fixture
def planner(shell: Shell) -> Iterator[Planner]:
    options = ("--backend", "simulator", "--api", shell.url, "--node", f"node-{shell.short}", "--introspect-port", "0")
    with Program("vrouter", *options) as agent:
        yield Planner(shell, agent.wait_ready())


def test_a_plan_in_words_and_nothing_done(planner: Planner) -> None:
    shell, before = planner.shell, planner.shell.revision()
    text = planner.member("b", planner.addresses["b"], 3) + "---" + planner.member("c", "10.255.0.9")
    (shell.folder / "plan.yaml").write_text(text)
    told = planner.plan(str(shell.folder / "plan.yaml"))
    assert "objects: 2 created, 1 updated\n  by the server itself: floating-ip/" in told
    assert (
        f"{planner.vip} changes\n  ~ tcp port 80: 2 members instead of 1\n    + {planner.addresses['b']}:8080 (" in told
    )
    assert "weight 3: 75 % of new connections\n" in told
    assert f"member c: address 10.255.0.9 belongs to no interface of project {shell.short}\n" in told
    assert told.endswith(f"1 unit of node {planner.node} would change; no open connection ends\n")
    assert shell.revision() == before
    assert planner.plan("-", given=text) == told


def test_what_was_planned_is_what_comes(planner: Planner) -> None:
    text = planner.member("b", planner.addresses["b"])
    (unit,) = json.loads(planner.plan("-", "-o", "json", given=text))["units"]
    planner.shell.run("apply", "-f", "-", given=text)
    page = json.loads(planner.plan("-", "-o", "json", given=text))
    assert (page["units"], page["objects"]) == ([], [])
    assert page["revision"]["base"] == page["revision"]["seen"]
    reverse = planner.plan("-", "-o", "json", given=planner.member("b", planner.addresses["b"], 0))
    assert json.loads(reverse)["units"][0]["before"]["listeners"] == unit["after"]["listeners"]
    told = planner.plan("-", given=text)
    assert told == f"objects: nothing differs\nnothing on node {planner.node} would change\n"


def test_deleting(planner: Planner) -> None:
    told = planner.plan("--delete", f"loadbalancer/{planner.shell.name('web')}")
    assert f"{planner.vip} goes\n  ! tcp port 80: connections open to it end, new ones are refused\n" in told
    assert told.endswith("open connections end where marked !\n")
    assert "  by the server itself: floating-ip/" in told


def test_an_owners_objects_that_are_no_longer_in_the_file(planner: Planner) -> None:
    text, owner = planner.member("b", planner.addresses["b"]), ("--owner", planner.shell.short)
    planner.shell.run("apply", "-f", "-", *owner, given=text + "---" + planner.member("z", "10.255.0.9"))
    told = planner.plan("-", *owner, "--prune", given=planner.member("z", "10.255.0.9"))
    assert (
        f"    - {planner.addresses['b']}:8080 ({planner.shell.name('b')}): no new connections; its open ones go on"
        in told
    )


def test_what_the_server_refuses(planner: Planner) -> None:
    network = planner.shell.name("vn")
    text = f"type: instance-ip\nfq_name: {planner.shell.short}-again\nvirtual_network_refs: [{network}]\n"
    done = planner.ask("-", given=text + f"instance_ip_address: {planner.addresses['a']}\n")
    assert done.status == 1
    refusal = "cannot be created: IP address already in use; nothing has changed"
    assert done.err == f"vaportrail: instance-ip/{planner.shell.short}-again {refusal}\n"


def test_used_wrongly(shell: Shell) -> None:
    assert shell.refused("plan", status=2) == "a FILE is needed, or --delete TYPE/NAME"
    assert shell.refused("plan", "-", "--prune", status=2, given="").startswith("--prune needs --owner NAME")
    assert shell.refused("plan", "no/such/file") == "no/such/file: No such file or directory"
    told = shell.refused("plan", "-", "--introspect", "http://127.0.0.1:1", given="")
    assert told.startswith("no vRouter agent at http://127.0.0.1:1 (")
