"""`vaportrail log`: what people and programs read of the change log."""

import json
import os
import signal
import subprocess
import sys
from typing import Any

from cli_runs import Shell

from cli.history import told

FOLLOW = [sys.executable, "-c", "from cli.main import main; main()", "log", "-f"]


def changes(shell: Shell, *words: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(shell.run("log", *words, "-o", "json"))
    return found


def test_an_object_by_path_and_by_uuid_also_when_it_is_gone(shell: Shell) -> None:
    path = f"virtual-machine/{shell.short}-vm"
    uuid = shell.run("create", path).split()[1]
    shell.run("set", path, "display_name=new")
    lines = shell.run("log", path).splitlines()
    assert [line.split("  ")[2:4] for line in lines[:2]] == [["create", path], ["update", path]]
    assert lines[2:] == [f'    display_name: "{shell.short}-vm" -> "new"']
    shell.run("rm", "-y", path)
    for name in (path, uuid):
        found = changes(shell, name)
        assert [change["operation"] for change in found] == ["create", "update", "delete"]
    assert "there is no virtual-machine" in shell.refused("log", f"virtual-machine/{shell.short}-none")


def test_the_last_ones_and_those_after_a_revision(shell: Shell) -> None:
    start = shell.revision()
    for number in range(3):
        shell.run("create", f"virtual-machine/{shell.short}-{number}")
    names = [f"{shell.short}-{number}" for number in range(3)]
    assert [change["fq_name"][-1] for change in changes(shell, "-n", "2", "--type", "virtual_machine")] == names[1:]
    assert [change["fq_name"][-1] for change in changes(shell, "--since", str(start))] == names
    assert changes(shell, "--since", str(start), "--user", "nobody") == []
    (one,) = changes(shell, "--since", str(start), "--request", changes(shell, "-n", "1")[0]["request_id"])
    assert one["fq_name"][-1] == names[2]
    assert "say one of them" in shell.refused("log", "--since", "1", "-n", "1", status=2)
    assert "newest" in shell.refused("log", "--since", "99999999")


def test_following_prints_each_change_as_a_line(shell: Shell) -> None:
    start, path = shell.revision(), f"virtual-machine/{shell.short}-vm"
    command = [*FOLLOW, "--since", str(start), "-o", "json", "--api", shell.url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ) as following:
        try:
            assert following.stdout is not None
            shell.run("create", path)
            assert json.loads(following.stdout.readline())["operation"] == "create"
            shell.run("rm", "-y", path)
            assert json.loads(following.stdout.readline())["operation"] == "delete"
            following.send_signal(signal.SIGINT)
            assert following.communicate(timeout=20) == ("", None)
        finally:
            following.kill()
    assert following.returncode == 0


def test_members_and_elements_that_differ() -> None:
    change = {
        "time": "2026-01-31T12:00:00.123456Z", "revision": 7, "operation": "update", "type": "loadbalancer-member",
        "fq_name": ["d", "m"], "user": "eve", "request_id": "req-1",
        "fields": {
            "properties": {"old": {"weight": 1, "address": "a"}, "new": {"weight": 2, "address": "a"}},
            "virtual_network_refs": {"old": None, "new": [{"to": ["d", "vn"], "uuid": "u", "attr": None}]},
            "tags": {"old": [1, 2], "new": [2, 1]},
            "long": {"new": "x" * 1000},
        },
    }  # fmt: skip
    lines = told(change).splitlines()
    assert lines[0] == "2026-01-31T12:00:00Z  7  update  loadbalancer-member/d:m  by eve  req-1"
    assert [line.strip() for line in lines[1:4]] == [
        "properties.weight: 1 -> 2", "virtual_network_refs: + d:vn", "tags: in another order",
    ]  # fmt: skip
    assert lines[4].startswith("    long: ? -> ")
    assert len(lines[4]) < 250
