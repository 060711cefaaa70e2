"""The compose file, as far as it can be held without an engine: its very commands start and work together."""

import json
import re
import urllib.request
from pathlib import Path
from typing import Any

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


def test_the_commands_work_together(postgres_url: str) -> None:
    """`api` with its environment on a real PostgreSQL, `vrouter` against it; only the addresses are this machine's."""
    api, vrouter = SERVICES["api"], SERVICES["vrouter"]
    assert set(api["environment"]) == {"VAPORTRAIL_DATABASE"}
    assert api["environment"]["VAPORTRAIL_DATABASE"].startswith("postgresql://")
    serve = [{"0.0.0.0": "127.0.0.1", "8082": "0"}.get(word, word) for word in api["command"]]
    with Program(*serve, environment={"VAPORTRAIL_DATABASE": postgres_url}) as server:
        url = server.wait_ready()
        command = [{"http://api:8082": url}.get(word, word) for word in vrouter["command"]]
        with Program(*command, "--backend", "simulator", "--introspect-port", "0") as agent:
            introspect = agent.wait_ready()
            with urllib.request.urlopen(f"{introspect}/wait?revision=1&timeout=10", timeout=15) as answer:
                assert json.load(answer)["reached"]
