"""What the shell is offered at Tab, by the protocol that the completion scripts speak."""

import socket

import pytest
from cli_runs import Shell
from typer.testing import CliRunner

from cli.main import app
from cli.objects import completion


def offered(api: str, line: str) -> list[str]:
    environment = {
        "VAPORTRAIL_API": api, "_VAPORTRAIL_COMPLETE": "complete_bash",
        "COMP_WORDS": line, "COMP_CWORD": str(line.count(" ")),
    }  # fmt: skip
    done = CliRunner().invoke(app, [], prog_name="vaportrail", env=environment)
    assert done.stderr == ""
    return [line for line in done.stdout.splitlines() if line]


def test_types_and_names(shell: Shell) -> None:
    shell.run("create", f"loadbalancer/{shell.name('unique')}")
    assert {"loadbalancer", "loadbalancer-pool"} <= set(offered(shell.url, "vaportrail ls loadb"))
    assert "loadbalancer/unique" in offered(shell.url, "vaportrail ls loadbalancer/")
    assert offered(shell.url, "vaportrail set loadbalancer/uni") == ["loadbalancer/unique"]
    assert shell.short in offered(shell.url, "vaportrail service create x --project ")


def test_one_type_left_brings_its_objects(shell: Shell) -> None:
    shell.run("create", f"virtual-network/{shell.name('single')}")
    kind, *objects = offered(shell.url, "vaportrail cat virtual-n")
    assert kind == "virtual-network"
    assert "virtual-network/single" in objects
    assert f"virtual-network/{shell.name('vn')}" in objects or "virtual-network/vn" in objects


def test_keys_of_the_type(api: str) -> None:
    keys = offered(api, "vaportrail set loadbalancer/x loadbalancer_properties.a")
    assert keys == ["loadbalancer_properties.admin_state="]
    assert "virtual_machine_interface_refs=" in offered(api, "vaportrail create loadbalancer/x v")


def test_without_a_server_it_is_quick_and_quiet() -> None:
    with socket.socket() as silent:  # accepts and never answers
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        for url in ("http://127.0.0.1:1", f"http://127.0.0.1:{silent.getsockname()[1]}", "nonsense"):
            assert offered(url, "vaportrail ls loadbalancer-p") == ["loadbalancer-pool"]
    assert offered("http://127.0.0.1:1", "vaportrail set nonsense/x a") == []


@pytest.mark.parametrize(
    ("names", "short"),
    [
        ([["d", "p", "a"], ["d", "p", "b"]], ["a", "b"]),
        ([["d", "p", "a"], ["d", "q", "a"], ["d", "q", "b"]], ["d:p:a", "d:q:a", "b"]),
        ([], []),
    ],
)
def test_a_name_is_short_where_it_may_be(names: list[list[str]], short: list[str]) -> None:
    assert [value for value, _ in completion.short_names(names)] == short
