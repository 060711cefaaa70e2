"""What it costs an agent to probe a thousand members: its own time on a core, with real sockets into real VRFs."""

import asyncio
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import time
from ipaddress import IPv4Address
from pathlib import Path
from uuid import UUID

import structlog

from vrouter.backends.netns import NetnsBackend
from vrouter.backends.protocol import BackendSettings, Put
from vrouter.health import HealthChecks
from vrouter.state import Check, HostAddress, Interface, Monitor, MonitorKind, Vrf

PODS, PORTS = 10, range(8000, 8100)  # a thousand members
DELAY = 5  # seconds
CLOSING = "https, a connection each"  # with servers that close after each answer
KINDS = ("tcp", "http", "https", CLOSING, "ping")

# Listens on all ports of a range, and answers whatever comes like a web server in good health, with what it is told;
# with TLS if it is told of a file with a key and a certificate.
_SERVER = """
import selectors, socket, ssl, sys
answer = f"HTTP/1.1 200 OK\\r\\nContent-Length: 0\\r\\nConnection: {sys.argv[3]}\\r\\n\\r\\n".encode()
tls = None
if len(sys.argv) > 4:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(sys.argv[4])
selector = selectors.DefaultSelector()
for port in range(int(sys.argv[1]), int(sys.argv[2])):
    selector.register(socket.create_server(("", port)), selectors.EVENT_READ, True)
print(flush=True)
while True:
    for key, _ in selector.select():
        if key.data:
            accepted = key.fileobj.accept()[0]
            if tls:
                accepted.setblocking(False)
                try:
                    accepted = tls.wrap_socket(accepted, server_side=True, do_handshake_on_connect=False)
                except OSError:  # gone already
                    continue
            selector.register(accepted, selectors.EVENT_READ, False)
            continue
        try:
            if key.fileobj.recv(4096):  # with TLS, it does what is left of the handshake
                key.fileobj.sendall(answer)
                continue
        except ssl.SSLWantReadError:
            continue
        except OSError:
            pass
        selector.unregister(key.fileobj)
        key.fileobj.close()
"""


def measure(what: str, seconds: float) -> tuple[float, int]:
    """(share of a core, probes) of so many seconds in which a thousand members are probed every `DELAY`. what: one of
    `KINDS`."""
    kind: MonitorKind = "https" if what == CLOSING else what  # type: ignore[assignment]  # of `KINDS`
    after = "close" if what == CLOSING else "keep-alive"
    node = f"bench{os.getpid()}"
    backend = NetnsBackend(BackendSettings(node, create_workloads=True))
    backend.open()
    folder = Path(tempfile.mkdtemp())
    certificate = [_certificate(folder)] if kind == "https" else []
    pods = [_pod(node, number) for number in range(1, PODS + 1)]
    servers = []
    try:
        for error in backend.apply([Put(Vrf(1, "bench")), *map(Put, pods)]):
            if error is not None:
                raise error
        for pod in pods:
            ports = [str(PORTS.start), str(PORTS.stop)]
            words = ["ip", "netns", "exec", pod.workload, sys.executable, "-c", _SERVER, *ports, after, *certificate]
            servers.append(subprocess.Popen(words, stdout=subprocess.PIPE))
        for server in servers:
            assert server.stdout
            server.stdout.readline()
        return asyncio.run(_probe(backend, pods, kind, seconds))
    finally:
        for server in servers:
            server.kill()
            server.communicate()
        backend.cleanup()
        backend.close()
        shutil.rmtree(folder)


def _certificate(folder: Path) -> str:
    """A file with a key and a certificate, as most servers have them: RSA of 2 048 bits."""
    key, certificate, both = folder / "key.pem", folder / "certificate.pem", folder / "both.pem"
    words = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=bench", "-keyout", str(key)]
    subprocess.run([*words, "-out", str(certificate)], check=True, capture_output=True)
    both.write_text(key.read_text() + certificate.read_text())
    return str(both)


def _pod(node: str, number: int) -> Interface:
    mac = f"02:00:00:00:00:{number:02x}"
    address, gateway = IPv4Address("10.0.0.0") + number, IPv4Address("10.0.0.254")
    stands = (HostAddress(address, gateway),)
    return Interface(str(UUID(int=number << 96)), f"{node}-{number}", 1, f"{node}-{number}", mac, stands)


async def _probe(backend: NetnsBackend, pods: list[Interface], kind: MonitorKind, seconds: float) -> tuple[float, int]:
    monitor = Monitor("hm", "hm", kind, DELAY, DELAY, 3, "GET", "/", ((200, 200),))
    checks = {
        f"{pod.uuid}-{port}": Check(f"{pod.uuid}-{port}", pod.uuid, 1, pod.address, port, (monitor,))
        for pod in pods for port in PORTS
    }  # fmt: skip
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING)
    )  # not a line for each member
    health = HealthChecks(backend.probe, lambda _: False, lambda _: None)
    health.follow(checks, checks)
    health.start()
    await asyncio.sleep(2 * DELAY)  # they have spread
    before, bad = sum(health.answers.values()), health.answers[False]
    start, used = time.perf_counter(), time.process_time()
    await asyncio.sleep(seconds)
    share = (time.process_time() - used) / (time.perf_counter() - start)
    probes = sum(health.answers.values()) - before
    # a server may be late on a machine that does something else, too; but what is measured is answers
    assert 100 * (health.answers[False] - bad) <= probes, "servers of the benchmark do not answer"
    await health.close()
    return share, probes
