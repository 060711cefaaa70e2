"""A server for the commands of the object tree, and a project per test."""

from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest
from cli_runs import Shell

from cli.demo.programs import Program

_NUMBERS = count(1)


@pytest.fixture(scope="session")
def api(new_database: Callable[[], str]) -> Iterator[str]:
    """URL of a server; what a test makes there stands in its own project."""
    with Program("serve", "--port", "0", "--database", new_database()) as server:
        yield server.wait_ready()


@pytest.fixture
def shell(api: str, tmp_path: Path) -> Shell:
    """With a new project and a network of 62 addresses."""
    number = next(_NUMBERS)
    shell = Shell(api, f"p{number}", tmp_path)
    shell.run("create", f"project/{shell.project}")
    subnet = f'{{"subnet": {{"ip_prefix": "10.9.{number}.0", "ip_prefix_len": 26}}}}'
    ipam = (
        '{"to": ["default-domain", "default-project", "default-network-ipam"], "attr": {"ipam_subnets": ['
        + subnet
        + "]}}"
    )
    shell.run("create", f"virtual-network/{shell.name('vn')}", f"network_ipam_refs=[{ipam}]")
    return shell
