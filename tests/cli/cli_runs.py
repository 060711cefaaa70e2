"""Commands run as a person runs them, in this process."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from typer.testing import CliRunner

from cli.main import app


@dataclass(frozen=True)
class Done:
    status: int
    out: str
    err: str


@dataclass(frozen=True)
class Shell:
    """url: of the server. short: the project's own name. folder: for files."""

    url: str
    short: str
    folder: Path

    @property
    def project(self) -> str:
        return f"default-domain:{self.short}"

    def name(self, *parts: str) -> str:
        """Of an object in the project."""
        return ":".join((self.project, *parts))

    def ask(self, *words: str, given: str | None = None, **environment: str) -> Done:
        done = CliRunner().invoke(app, words, input=given, env={"VAPORTRAIL_API": self.url, **environment})
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        return Done(done.exit_code, done.stdout, done.stderr)

    def run(self, *words: str, given: str | None = None, **environment: str) -> str:
        """What it prints. It must succeed."""
        done = self.ask(*words, given=given, **environment)
        assert done.status == 0, (words, done)
        return done.out

    def refused(self, *words: str, status: int = 1, given: str | None = None, **environment: str) -> str:
        """Its sentence on standard error. It must fail with this status."""
        done = self.ask(*words, given=given, **environment)
        assert done.status == status, (words, done)
        assert done.err.startswith("vaportrail: "), done.err
        assert done.err.count("\n") == 1, done.err
        return done.err.removeprefix("vaportrail: ").strip()

    def read(self, path: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.run("cat", path, "-o", "json"))
        return found

    def pod(self, name: str) -> str:
        """A virtual-machine with an interface and an address, which is returned."""
        interface = f"virtual-machine-interface/{self.name(name)}"
        self.run("create", f"virtual-machine/{self.short}-{name}")
        network = f"virtual_network_refs={self.name('vn')}"
        self.run("create", interface, network, f"virtual_machine_refs={self.short}-{name}")
        instance_ip = f"instance-ip/{self.short}-{name}"
        self.run("create", instance_ip, network, f"virtual_machine_interface_refs={self.name(name)}")
        return str(self.read(instance_ip)["instance_ip_address"])

    def service(self, name: str, *options: str) -> str:
        return self.run("service", "create", name, "--network", self.name("vn"), *options)

    def revision(self) -> int:
        """The server's newest: the same as before if nothing was written since."""
        return int(httpx.get(f"{self.url}/domains", trust_env=False).headers["X-Revision"])
