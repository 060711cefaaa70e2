"""Probes from inside a VRF, of servers that are well or not."""

import asyncio
import resource
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from ipaddress import IPv6Address
from pathlib import Path

import pytest
from netns_node import VRF, Node

from vrouter import namespace
from vrouter.backends.netns import health
from vrouter.backends.netns.health import USES
from vrouter.backends.protocol import Delete
from vrouter.state import Address, Check, HostAddress, Interface, Monitor

PORT = 8080


def monitor(kind: str = "tcp", **fields: object) -> Monitor:
    http = {"method": "GET", "path": "/ready", "codes": ((200, 204),)} if kind.startswith("http") else {}
    return Monitor("hm", "hm", kind, 5, 1, 3, **{**http, **fields})  # type: ignore[arg-type]  # words of tests


def probe(node: Node, pod: Interface, how: Monitor, address: Address | None = None) -> str | None:
    check = Check("m", pod.uuid, VRF.index, address or pod.address, PORT, (how,))
    return asyncio.run(node.backend.probe(check, how))


@contextmanager
def serving(
    pod: Interface, answer: Callable[[socket.socket], None], tls: ssl.SSLContext | None = None
) -> Iterator[None]:
    """A server in the pod that treats every connection so."""
    listener = namespace.inside(
        pod.workload, lambda: socket.create_server(("::", PORT), family=socket.AF_INET6, dualstack_ipv6=True)
    )

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with suppress(OSError), connection:
                if tls is None:
                    answer(connection)
                    continue
                with tls.wrap_socket(connection, server_side=True) as encrypted:
                    answer(encrypted)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


def saying(text: str, heard: list[str] | None = None) -> Callable[[socket.socket], None]:
    def answer(connection: socket.socket) -> None:
        request = connection.recv(4096)
        if heard is not None:
            heard.append(request.decode())
        connection.sendall(text.encode())

    return answer


@contextmanager
def hanging(pod: Interface) -> Iterator[None]:
    """A server whose kernel takes connections, and that never looks at them."""
    listener = namespace.inside(pod.workload, lambda: socket.create_server(("0.0.0.0", PORT), backlog=100))
    with listener:
        yield


def silent(connection: socket.socket) -> None:
    while connection.recv(4096):
        pass


@pytest.fixture
def pod(node: Node) -> Interface:
    return node.pods(1)[0]


def test_tcp(node: Node, pod: Interface) -> None:
    assert probe(node, pod, monitor()) == "connection refused"
    with serving(pod, lambda _: None):
        assert probe(node, pod, monitor()) is None


def test_a_probe_leaves_no_connection_behind(node: Node, pod: Interface) -> None:
    with serving(pod, lambda connection: connection.settimeout(1)):
        for _ in range(20):
            assert probe(node, pod, monitor()) is None
    network = f"vt-{node.settings.node}-{VRF.index}"
    table = namespace.inside(network, lambda: Path("/proc/thread-self/net/tcp").read_text())
    assert len(table.splitlines()) == 1  # its head


def test_ping(node: Node, pod: Interface) -> None:
    assert probe(node, pod, monitor("ping")) is None
    _sysctl(pod, "net.ipv4.icmp_echo_ignore_all=1")
    assert probe(node, pod, monitor("ping")) == "no answer within 1 s"


def test_many_pings_at_once(node: Node) -> None:
    pods = node.pods(3)

    async def ask() -> list[str | None]:
        how = monitor("ping")
        checks = [Check("m", pod.uuid, VRF.index, pod.address, PORT, (how,)) for pod in pods * 20]
        return await asyncio.gather(*[node.backend.probe(check, how) for check in checks])

    assert set(asyncio.run(ask())) == {None}


def test_silence_is_an_answer_that_comes_too_late(node: Node, pod: Interface) -> None:
    with serving(pod, silent):
        assert probe(node, pod, monitor("http")) == "no answer within 1 s"


@pytest.mark.parametrize(("answer", "expected"), [
    ("HTTP/1.1 200 OK\r\n\r\n", None),
    ("HTTP/1.0 204\r\n\r\n", None),
    ("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n", "HTTP status 503, expected 200-204"),
    ("", "closed the connection without an answer"),
    ("SSH-2.0-OpenSSH_9.2\r\n", "answers, but not in HTTP"),
    ("x" * 5000, "answers, but not in HTTP"),
])  # fmt: skip
def test_http(node: Node, pod: Interface, answer: str, expected: str | None) -> None:
    heard: list[str] = []
    with serving(pod, saying(answer, heard)):
        assert probe(node, pod, monitor("http", method="HEAD")) == expected
    head, _, rest = heard[0].partition("\r\n")
    assert head == "HEAD /ready HTTP/1.1"
    assert f"Host: {pod.address}:{PORT}\r\n" in rest


def test_https_asks_whether_it_serves_and_not_who_it_is(node: Node, pod: Interface, tmp_path: Path) -> None:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(_certificate(tmp_path))
    with serving(pod, saying("HTTP/1.1 200 OK\r\n\r\n"), tls):
        assert probe(node, pod, monitor("https")) is None
        assert probe(node, pod, monitor("https", codes=((201, 201),))) == "HTTP status 200, expected 201"
    with serving(pod, saying("HTTP/1.1 200 OK\r\n\r\n")):
        assert "TLS" in (probe(node, pod, monitor("https")) or "")
    with serving(pod, lambda connection: connection.recv(4096) and None):
        assert probe(node, pod, monitor("https")) == "TLS: unexpected eof while reading"
    with serving(pod, lambda encrypted: encrypted.recv(4096) and None, tls):
        assert probe(node, pod, monitor("https")) == "closed the connection without an answer"


def test_ipv6(node: Node, pod: Interface, tmp_path: Path) -> None:
    address = IPv6Address("fd47::1")
    both = replace(pod, addresses=(*pod.addresses, HostAddress(address, IPv6Address("fd47::ffff"))))
    node.apply(both)
    # an address of IPv6 answers a moment after it came: neighbours are asked whether it is theirs
    assert any(probe(node, both, monitor("ping"), address) is None for _ in range(10))
    assert probe(node, both, monitor(), address) == "connection refused"
    heard: list[str] = []
    with serving(pod, saying("HTTP/1.1 200 OK\r\n\r\n", heard)):
        for kind in ("tcp", "http"):
            assert probe(node, both, monitor(kind), address) is None
    assert "Host: [fd47::1]:8080\r\n" in heard[-1]
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(_certificate(tmp_path))
    with serving(pod, saying("HTTP/1.1 200 OK\r\n\r\n"), tls):
        assert probe(node, both, monitor("https"), address) is None


@pytest.mark.parametrize("kind", ["ping", "tcp"])
def test_an_interface_that_is_down_or_gone(node: Node, pod: Interface, kind: str) -> None:
    words = ["ip", "netns", "exec", pod.workload, "ip", "link", "set", "eth0", "down"]
    with serving(pod, lambda _: None):
        assert probe(node, pod, monitor(kind)) is None
        subprocess.run(words, check=True)
        assert probe(node, pod, monitor(kind)) is not None
    assert node.backend.apply([Delete(pod)]) == [None]
    assert probe(node, pod, monitor(kind)) is not None


def test_https_that_hangs_leaves_no_file_open(node: Node, pod: Interface) -> None:
    async def ask() -> tuple[set[str | None], int, int]:
        how = monitor("https")
        check = Check("m", pod.uuid, VRF.index, pod.address, PORT, (how,))
        await node.backend.probe(check, how)
        before = len(list(Path("/proc/self/fd").iterdir()))
        answers = await asyncio.gather(*[node.backend.probe(check, how) for _ in range(50)])
        await asyncio.sleep(0)
        return set(answers), before, len(list(Path("/proc/self/fd").iterdir()))

    with hanging(pod):
        answers, before, after = asyncio.run(ask())
    assert answers == {"no answer within 1 s"}
    assert after <= before


class Keeping:
    """A server over TLS that answers so again and again, until the client ends it or, for a second, asks nothing."""

    def __init__(self, answer: str) -> None:
        self.answer = answer
        self.requests: list[str] = []
        self.connections = 0
        self.ended = threading.Event()  # one of them

    def __call__(self, connection: socket.socket) -> None:
        self.connections += 1
        connection.settimeout(1)
        try:
            while request := connection.recv(4096):
                self.requests.append(request.decode())
                connection.sendall(self.answer.encode())
        finally:
            self.ended.set()


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(_certificate(tmp_path_factory.mktemp("tls")))
    return context


def probe_often(node: Node, pod: Interface, how: Monitor, times: int) -> list[str | None]:
    async def ask() -> list[str | None]:
        check = Check("m", pod.uuid, VRF.index, pod.address, PORT, (how,))
        return [await node.backend.probe(check, how) for _ in range(times)]

    return asyncio.run(ask())


@pytest.mark.parametrize("answer", [
    "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    f"HTTP/1.1 200 OK\r\nContent-Length: 30000\r\n\r\n{'x' * 30000}",
    "HTTP/1.1 204 No Content\r\n\r\n",
    "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n",
])  # fmt: skip
def test_probes_share_a_tls_connection_that_stands(
    node: Node, pod: Interface, tls: ssl.SSLContext, answer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "REST_WITHIN", 1)  # this server shares its processor with the probes and more
    server, times = Keeping(answer), 3 * USES
    with serving(pod, server, tls):
        assert probe_often(node, pod, monitor("https"), times) == [None] * times
    assert len(server.requests) == times
    assert server.connections in (3, 4)  # the first has been used before, as it were
    assert "Connection: keep-alive\r\n" in server.requests[0]


@pytest.mark.parametrize(("answer", "how"), [
    ("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok", {}),
    ("HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", {}),
    ("HTTP/1.1 200 OK\r\n\r\nends with the connection", {}),
    ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok, and more", {}),
    ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nHTTP/1.1 500 Not asked\r\n", {}),
    (f"HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\n{'x' * 300000}", {}),
    ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", {"delay": 60}),
    ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", {"method": "HEAD"}),
])  # fmt: skip
def test_others_have_one_each(
    node: Node, pod: Interface, tls: ssl.SSLContext, answer: str, how: dict[str, object]
) -> None:
    server = Keeping(answer)
    with serving(pod, server, tls):
        assert probe_often(node, pod, replace(monitor("https"), **how), 3) == [None] * 3
    assert server.connections == len(server.requests) == 3


def test_a_bad_answer_ends_the_connection(node: Node, pod: Interface, tls: ssl.SSLContext) -> None:
    server = Keeping("HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n")
    with serving(pod, server, tls):
        assert probe_often(node, pod, monitor("https"), 3) == ["HTTP status 503, expected 200-204"] * 3
    assert server.connections == 3


def test_a_connection_that_the_server_has_closed_is_no_bad_answer(
    node: Node, pod: Interface, tls: ssl.SSLContext
) -> None:
    with serving(pod, saying("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"), tls):  # and closes
        assert probe_often(node, pod, monitor("https"), USES) == [None] * USES
    assert probe(node, pod, monitor("https")) == "connection refused"


def test_a_server_that_hangs_is_one_on_a_kept_connection_too(
    node: Node, pod: Interface, tls: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health.random, "randint", lambda _, most: most)  # the first is used often enough

    def once(connection: socket.socket) -> None:
        saying("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")(connection)
        connection.recv(4096)
        silent(connection)

    with serving(pod, once, tls):
        assert probe_often(node, pod, monitor("https"), 2) == [None, "no answer within 1 s"]


def test_a_connection_that_no_probe_asks_for_is_closed(node: Node, pod: Interface, tls: ssl.SSLContext) -> None:
    server = Keeping("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    async def ask() -> None:
        how = replace(monitor("https"), delay=1)
        check = Check("m", pod.uuid, VRF.index, pod.address, PORT, (how,))
        before = _sockets()
        assert await node.backend.probe(check, how) is None
        assert len(_sockets()) > len(before)
        while not _sockets() <= before:
            await asyncio.sleep(0.05)

    with serving(pod, server, tls):
        asyncio.run(asyncio.wait_for(ask(), 20))


def test_no_connection_outlives_its_vrf(node: Node, pod: Interface, tls: ssl.SSLContext) -> None:
    """It would keep the namespace alive, and links and addresses in it."""
    before = _sockets()
    with serving(pod, Keeping("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"), tls):
        assert probe(node, pod, monitor("https")) is None
    assert len(_sockets() - before) == 1  # none of the server's any more
    assert node.backend.apply([Delete(pod), Delete(VRF)]) == [None, None]
    assert _sockets() <= before


def test_a_process_without_files_says_nothing_of_the_member(node: Node, pod: Interface) -> None:
    async def ask() -> None:
        how = monitor()
        check = Check("m", pod.uuid, VRF.index, pod.address, PORT, (how,))
        assert await node.backend.probe(check, how) == "connection refused"
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
        try:
            with pytest.raises(OSError, match="Too many open files"):
                await node.backend.probe(check, how)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    asyncio.run(ask())


def test_a_vrf_that_does_not_stand(node: Node, pod: Interface) -> None:
    check = Check("m", pod.uuid, 99, pod.address, PORT, (monitor(),))
    assert "There is no network namespace" in (asyncio.run(node.backend.probe(check, monitor())) or "")


def _sockets() -> set[str]:
    """What this process has open."""
    found = set()
    for file in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):
            found.add(str(file.readlink()))
    return {name for name in found if name.startswith("socket:")}


def _certificate(folder: Path) -> Path:
    """A key and a certificate of its own making, in one file."""
    if shutil.which("openssl") is None:
        pytest.skip("there is no openssl")
    both = folder / "server.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=somebody", "-keyout", str(both),
         "-out", str(folder / "certificate.pem")], check=True, capture_output=True,
    )  # fmt: skip
    both.write_text(both.read_text() + (folder / "certificate.pem").read_text())
    return both


def _sysctl(pod: Interface, setting: str) -> None:
    key, _, value = setting.partition("=")
    path = Path("/proc/sys") / key.replace(".", "/")
    namespace.inside(pod.workload, lambda: path.write_text(value))
