"""A private RabbitMQ broker on loopback, its files in a temporary directory, and an epmd of its own."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path

START_SECONDS = 60
SCRIPT = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")  # the one in PATH insists on the user rabbitmq
HEADER = b"AMQP\x00\x00\x09\x01"


class Unavailable(Exception):
    """Why there can be none here."""


def free_ports(number: int) -> list[int]:
    """Ports of the loopback that nobody listens on."""
    taken = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    try:
        return [one.getsockname()[1] for one in taken]
    finally:
        for one in taken:
            one.close()


class RabbitmqServer:
    """Started by its constructor. Keeps its port over `kill` and `start`, as a broker that is restarted does."""

    def __init__(self) -> None:
        epmd = shutil.which("epmd")
        if not SCRIPT.exists() or epmd is None:
            raise Unavailable(f"no RabbitMQ here: {SCRIPT} and epmd are needed")
        self.directory = Path(tempfile.mkdtemp(prefix="vaportrail-mq-"))
        self.log = self.directory / "log"
        self.port, distribution, names = free_ports(3)
        (self.directory / "plugins").write_text("[].\n")
        (self.directory / "rabbitmq.conf").write_text(
            f"listeners.tcp.1 = 127.0.0.1:{self.port}\nlog.file = false\nlog.console = true\n"
            "log.console.level = warning\nvm_memory_high_watermark.absolute = 512MB\ndisk_free_limit.absolute = 1MB\n"
        )
        self._environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.directory),  # the cookie is there
            "LANG": "C.UTF-8",
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_EPMD_PORT": str(names),
            "RABBITMQ_ALLOW_INPUT": "1",  # no shell between this process and the broker
            "RABBITMQ_NODENAME": f"test-{self.port}@localhost",
            "RABBITMQ_DIST_PORT": str(distribution),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-noinput -kernel inet_dist_use_interface {127,0,0,1} +S 1:1",
            "RABBITMQ_CONFIG_FILE": str(self.directory / "rabbitmq"),
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.directory / "plugins"),
            "RABBITMQ_MNESIA_BASE": str(self.directory / "mnesia"),
            "RABBITMQ_LOG_BASE": str(self.directory),
        }
        self._names = self._run([epmd, "-port", str(names), "-address", "127.0.0.1"])
        try:
            self.start()
        except BaseException:
            self.stop()
            raise

    @property
    def url(self) -> str:
        return f"amqp://guest:guest@127.0.0.1:{self.port}/"

    def start(self) -> None:
        self.launch()
        self.wait()

    def launch(self) -> None:
        """Without waiting. Not in a thread: a child that ends with its parent ends with the thread that made it."""
        self._broker = self._run([str(SCRIPT)])

    def wait(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if self._broker.poll() is not None or time.monotonic() > deadline:
                raise Unavailable(f"RabbitMQ does not start: {self.log.read_text()[-1000:]}")
            time.sleep(0.05)  # nothing tells us but another attempt

    def kill(self) -> None:
        """Away at once, connections and what it kept in memory included."""
        self._end(self._broker)

    def pause(self) -> None:
        """It keeps its connections and reads nothing."""
        os.killpg(self._broker.pid, signal.SIGSTOP)

    def proceed(self) -> None:
        os.killpg(self._broker.pid, signal.SIGCONT)

    def control(self, *words: str) -> None:
        """`rabbitmqctl`; takes seconds."""
        subprocess.run(
            [SCRIPT.with_name("rabbitmqctl"), *words], stdin=subprocess.DEVNULL, capture_output=True, check=True,
            cwd=self.directory, env=self._environment,
        )  # fmt: skip

    def stop(self) -> None:
        for process in (getattr(self, "_broker", None), self._names):
            if process is not None:
                self._end(process)
        shutil.rmtree(self.directory, ignore_errors=True)

    def _answers(self) -> bool:
        """Whether it begins to talk AMQP."""
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
            connection.sendall(HEADER)
            return connection.recv(1) == b"\x01"
        return False

    def _run(self, command: list[str]) -> subprocess.Popen[bytes]:
        # Its parent may be killed: it then ends as well. Erlang starts helpers: a session is all of them.
        bound = ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []
        with self.log.open("ab") as log:
            return subprocess.Popen(
                [*bound, *command], stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.directory,
                env=self._environment, start_new_session=True,
            )  # fmt: skip

    @staticmethod
    def _end(process: subprocess.Popen[bytes]) -> None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
