"""The compose file, as far as it can be held without an engine: its very commands start and work together."""

import os
import re
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from cli.demo.programs import Program

ROOT = Path(__file__).parent.parent
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES = COMPOSE["services"]


def test_every_command_is_one_of_the_image() -> None:
    entrypoint = re.search(r'^ENTRYPOINT \["(\w+)"\]', (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert entrypoint
    assert entrypoint[1] == "vaportrail"
    for service in SERVICES.values():
        for network in service.get("networks", ()):
            assert network in COMPOSE["networks"]
        for needed in service.get("depends_on", ()):
            assert needed in SERVICES


def test_the_api_is_published_on_loopback_only() -> None:
    published = [port for service in SERVICES.values() for port in service.get("ports", ())]
    assert published
    assert all(port.startswith("127.0.0.1:") for port in published)


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[Callable[[Sequence[str]], str]]:
    """Starts haproxy with the file that `api` has, before servers at these URLs; gives its URL."""
    program = shutil.which("haproxy", path=f"{os.environ['PATH']}:/usr/sbin")
    if not program:
        pytest.skip("no haproxy here")
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    started = []

    def start(servers: Sequence[str]) -> str:
        (mounted,) = SERVICES["api"]["volumes"]
        text = (ROOT / mounted.split(":")[0]).read_text().replace("bind :8082", f"bind {address}")
        for number, url in enumerate(servers, 1):
            text = text.replace(f"server-{number}:8082", url.removeprefix("http://"))
        assert ":8082" not in text
        file = tmp_path / "haproxy.cfg"
        file.write_text(text)
        subprocess.run([program, "-c", "-f", file], check=True, capture_output=True)
        started.append(subprocess.Popen([program, "-db", "-f", file]))
        return f"http://{address}"

    yield start
    for process in started:
        process.terminate()
        process.wait()


@pytest.mark.slow
def test_the_commands_work_together(empty_postgres_url: str, proxy: Callable[[Sequence[str]], str]) -> None:
    """The servers with their environment on a real PostgreSQL, the proxy with its file, `vrouter` through it; only the
    addresses are this machine's. A server may die: who asks and who watches goes on at the other one."""
    server, other, vrouter = SERVICES["server-1"], SERVICES["server-2"], SERVICES["vrouter"]
    assert server == other
    assert set(server["environment"]) == {"VAPORTRAIL_DATABASE"}
    assert server["environment"]["VAPORTRAIL_DATABASE"].startswith("postgresql://")
    serve = [{"0.0.0.0": "127.0.0.1", "8082": "0"}.get(word, word) for word in server["command"]]
    database = {"VAPORTRAIL_DATABASE": empty_postgres_url}
    with Program(*serve, environment=database) as one, Program(*serve, environment=database) as two:
        url = proxy([one.wait_ready(60), two.wait_ready(60)])
        command = [{"http://api:8082": url}.get(word, word) for word in vrouter["command"]]
        with (
            Program(*command, "--backend", "simulator", "--introspect-port", "0") as agent,
            httpx.Client(base_url=url, timeout=30) as client,
        ):
            introspect = agent.wait_ready(60)
            applied(introspect, create(client, "before"))
            with client.stream("GET", "/watch?resource_type=loadbalancer") as answer:
                lines = answer.iter_lines()
                assert next(lines) == "event: init"
                revision = create(client, "seen")
                assert f"id: {revision}" in lines
            one.kill()
            applied(introspect, create(client, "after"))
            assert {client.get("/loadbalancers").status_code for _ in range(10)} == {200}


def create(client: httpx.Client, name: str) -> int:
    """Its revision. One whose fate is unknown, because its server has died, is 502 and not made twice."""
    body = {"loadbalancer": {"fq_name": ["default-domain", "default-project", name]}}
    answer = client.post("/loadbalancers", json=body)
    while answer.status_code in (502, 503):
        answer = client.post("/loadbalancers", json=body)
    assert answer.status_code == 200, answer.text
    return int(answer.headers["x-revision"])


def applied(introspect: str, revision: int) -> None:
    """By the agent."""
    assert httpx.get(f"{introspect}/wait?revision={revision}&timeout=20", timeout=25).json()["reached"]
