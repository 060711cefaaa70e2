"""`vaportrail rm`: what is in the way is said, shown and asked about; it all goes, or none of it."""

import os
import pty
import subprocess

import httpx
import pytest
from cli_runs import Shell

from cli.demo.programs import ENVIRONMENT, VAPORTRAIL
from cli.objects import commands


@pytest.fixture
def web(shell: Shell) -> str:
    shell.pod("a")
    shell.service("web", "--port", "80", "--backend", f"{shell.short}-a")
    return f"loadbalancer/{shell.name('web')}"


def test_one_object(shell: Shell) -> None:
    path = f"loadbalancer/{shell.name('lb')}"
    shell.run("create", path)
    assert shell.run("rm", path) == "1 object deleted\n"
    assert "there is no loadbalancer" in shell.refused("rm", path)


def test_what_is_in_the_way_is_named(shell: Shell, web: str) -> None:
    told = shell.refused("rm", web)
    own = shell.name("web-TCP-80")
    assert told == (
        f"{web} is still in use by loadbalancer-listener/{own}, loadbalancer-pool/{own}, loadbalancer-member/{own}:a; "
        "`vaportrail rm -r` deletes these as well"
    )


def test_several_at_once_in_any_order(shell: Shell, web: str) -> None:
    own = shell.name("web-TCP-80")
    parts = [web, f"loadbalancer-pool/{own}", f"loadbalancer-member/{own}:a", f"loadbalancer-listener/{own}"]
    before = shell.revision()
    assert shell.run("rm", *parts) == "4 objects deleted\n"
    assert shell.revision() == before + 1  # one transaction


def test_nobody_to_ask_means_no(shell: Shell, web: str) -> None:
    done = shell.ask("rm", "-r", web)
    assert done.status == 2
    assert done.err == "vaportrail: nobody is there to be asked; say -y to do it all the same\n"
    assert done.out.splitlines()[-1] == web
    assert shell.read(web)


@pytest.mark.parametrize(("answer", "status"), [("n", 1), ("y", 0)])
def test_it_asks(shell: Shell, web: str, answer: str, status: int) -> None:
    parent, child = pty.openpty()
    command = [*VAPORTRAIL, "rm", "-r", web]
    environment = {**ENVIRONMENT, "VAPORTRAIL_API": shell.url}
    with subprocess.Popen(command, stdin=child, stdout=subprocess.PIPE, text=True, env=environment) as program:
        os.write(parent, f"{answer}\n".encode())
        told, _ = program.communicate(timeout=60)
    os.close(parent)
    os.close(child)
    assert program.returncode == status
    assert "Delete these 4?" in told
    assert shell.ask("cat", web).status == 1 - status


def test_a_whole_project_and_nothing_else(shell: Shell, web: str) -> None:
    """The driver's floating-ip, the routing-instance and the default policy set go by themselves."""
    machines = shell.run("ls", "virtual-machine")
    order = shell.run("rm", "-r", "-y", f"project/{shell.project}").splitlines()
    assert order[-2:] == [f"project/{shell.project}", "10 objects deleted"]
    assert not [line for line in order if line.startswith(("floating-ip/", "routing-instance/", "application-policy"))]
    assert shell.run("ls", "virtual-machine") == machines
    assert shell.project not in shell.run("ls", "project")
    assert f"{shell.short}-a" not in shell.run("ls", "instance-ip")


def test_all_or_none(shell: Shell, web: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody else adds a member after the look: the server refuses, and nothing is gone."""
    pool = shell.read(f"loadbalancer-pool/{shell.name('web-TCP-80')}")

    def meanwhile(question: str, yes: bool) -> None:
        member = {"fq_name": [*pool["fq_name"], "late"], "parent_type": "loadbalancer-pool"}
        httpx.post(f"{shell.url}/loadbalancer-members", json={"loadbalancer-member": member}, trust_env=False)

    monkeypatch.setattr(commands, "confirm", meanwhile)
    told = shell.ask("rm", "-r", web).err
    assert told.startswith(f"vaportrail: loadbalancer-pool/{shell.name('web-TCP-80')} cannot be deleted: ")
    assert told.endswith("; nothing has changed\n")
    assert len(shell.read(f"loadbalancer-pool/{shell.name('web-TCP-80')}")["loadbalancer_members"]) == 2
