"""A TCP proxy before a PostgreSQL server that reads the protocol: it fails a connection at a chosen moment.

    with PgProxy(postgres.url("test_1")) as proxy:       # any URL of the server, unix socket or TCP
        store = await Store.open(proxy.url)              # the same database, through the proxy
        proxy.at_commit(Commit.UNSENT)                   # the next COMMIT of a transaction that writes; once
        proxy.cut()                                      # every connection there is, both ways
        proxy.end_answers()                              # every client sees the end; the server hears of nothing
        proxy.delay = 0.05                               # seconds each way, from now on
        proxy.refusing = True                            # new connections are ended at once, until it is False
        proxy.server = another.url("test_1")             # where new connections go: a failover

What may become of a COMMIT (`Commit`): UNSENT, the client's connection is cut before the server sees it; UNANSWERED,
the server has done it, its answer is lost; LATE, the client's connection is cut, and the server sees the COMMIT only
when `deliver` is called; HELD, nothing is cut, the COMMIT waits for `deliver`. `proxy.struck` is an event: that COMMIT
has come. `proxy.prepared` counts the statements that were. Its threads end with it. Connections are without TLS.
"""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from enum import Enum, auto
from typing import Self

import sqlalchemy as sa

PATIENCE = 30  # seconds in which a COMMIT's answer comes, or `deliver` is called
COMMITTED = b"C\x00\x00\x00\x0bCOMMIT\x00"


class Commit(Enum):
    UNSENT = auto()
    UNANSWERED = auto()
    LATE = auto()
    HELD = auto()


class PgProxy:
    def __init__(self, server: str) -> None:
        self.server = server
        self.delay = 0.0
        self.refusing = False
        self.prepared = 0
        self.struck = threading.Event()
        self._fate: Commit | None = None
        self._deliver = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._connections: set[_Connection] = set()
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    @property
    def url(self) -> str:
        """The server's URL, through here."""
        host, port = self._listener.getsockname()
        plain = {"sslmode": "disable", "gssencmode": "disable"}
        return sa.make_url(self.server).set(host=host, port=port, query=plain).render_as_string(hide_password=False)

    def at_commit(self, fate: Commit | None) -> None:
        self.struck.clear()
        self._deliver.clear()
        self._fate = fate

    def deliver(self) -> None:
        """The COMMIT that waits."""
        self._deliver.set()

    def cut(self) -> None:
        for one in list(self._connections):
            one.close()

    def end_answers(self) -> None:
        for one in list(self._connections):
            one.end_answers()

    def close(self) -> None:
        self._deliver.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._threads[0].join()
        self.cut()
        for thread in self._threads[1:]:
            thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self.refusing:
                client.close()
                continue
            try:
                server = _reach(self.server)
            except OSError:
                client.close()
                continue
            connection = _Connection(self, client, server)
            self._connections.add(connection)
            for pump in (connection.ask, connection.answer):
                thread = threading.Thread(target=pump, daemon=True)
                self._threads.append(thread)
                thread.start()

    def strike(self) -> Commit | None:
        """A COMMIT has come: what becomes of it. For the connections."""
        fate, self._fate = self._fate, None
        if fate is not None:
            self.struck.set()
        return fate

    def wait(self) -> None:
        self._deliver.wait(PATIENCE)

    def forget(self, connection: "_Connection") -> None:
        self._connections.discard(connection)


class _Connection:
    def __init__(self, proxy: PgProxy, client: socket.socket, server: socket.socket) -> None:
        self._proxy = proxy
        self._client = client
        self._server = server
        self._answers = True  # reach the client
        self._lingers = False  # the server's side, when the client's ends
        self._committed = threading.Event()
        self._statements: dict[bytes, bytes] = {}  # by name
        self._writes = False  # the present transaction may

    def close(self) -> None:
        for side in (self._client, self._server):
            _end(side)
        self._committed.set()
        self._proxy.forget(self)

    def end_answers(self) -> None:
        self._answers, self._lingers = False, True
        with contextlib.suppress(OSError):
            self._client.shutdown(socket.SHUT_WR)

    def answer(self) -> None:
        """What the server says."""
        seen = b""
        with contextlib.suppress(OSError):
            while data := self._server.recv(65536):
                if not self._answers:
                    seen += data
                    if COMMITTED in seen:
                        self._committed.set()
                    continue
                time.sleep(self._proxy.delay)
                self._client.sendall(data)
        if self._answers:
            self.close()
        self._committed.set()

    def ask(self) -> None:
        """What the client says, message by message."""
        with contextlib.suppress(OSError):
            self._ask(_messages(self._client))
        if self._lingers:
            _end(self._client)
        else:
            self.close()

    def _ask(self, messages: Iterator[bytes]) -> None:
        for message in messages:
            time.sleep(self._proxy.delay)
            fate = self._proxy.strike() if self._commits(message) else None
            if fate is Commit.UNSENT:
                return
            if fate is Commit.LATE:
                rest = _rest(message, messages)
                self._answers = False
                _end(self._client)
                self._proxy.wait()
                self._server.sendall(message + rest)
                self._committed.wait(PATIENCE)
                return
            if fate is Commit.UNANSWERED:
                self._answers = False
                self._server.sendall(message + _rest(message, messages))
                self._committed.wait(PATIENCE)
                return
            if fate is Commit.HELD:
                self._proxy.wait()
            self._server.sendall(message)

    def _commits(self, message: bytes) -> bool:
        """Whether a message ends a transaction that writes."""
        kind, rest = message[:1], message[5:]
        match kind:
            case b"Q":
                text = rest.rstrip(b"\0")
            case b"P":  # Parse: name, text
                name, text, *_ = rest.split(b"\0", 2)
                self._statements[name] = text
                self._proxy.prepared += 1
                return False
            case b"B":  # Bind: portal, name of the statement
                text = self._statements.get(rest.split(b"\0", 2)[1], b"")
            case _:
                return False
        words = text.partition(b";")[0].lower().split()
        if words[:1] == [b"begin"]:
            self._writes = b"only" not in words
        return words == [b"commit"] and self._writes


def _messages(client: socket.socket) -> Iterator[bytes]:
    """Whole ones. The first has no type."""
    data, typed = b"", 0
    while more := client.recv(65536):
        data += more
        while len(data) >= typed + 4:
            length = typed + int.from_bytes(data[typed : typed + 4])
            if len(data) < length:
                break
            yield data[:length]
            data, typed = data[length:], 1


def _rest(message: bytes, messages: Iterator[bytes]) -> bytes:
    """What follows a statement up to its Sync; a simple query is whole."""
    found = b""
    for more in messages if message[:1] != b"Q" else ():
        found += more
        if more[:1] == b"S":
            break
    return found


def _reach(url: str) -> socket.socket:
    """A connection to the server at a URL, by its socket's directory or by TCP."""
    parsed = sa.make_url(url)
    port = parsed.port or 5432
    host = parsed.host or parsed.query.get("host")
    assert isinstance(host, str)
    if host.startswith("/"):
        found = socket.socket(socket.AF_UNIX)
        try:
            found.connect(f"{host}/.s.PGSQL.{port}")
        except OSError:
            found.close()
            raise
        return found
    return socket.create_connection((host, port))


def _end(side: socket.socket) -> None:
    with contextlib.suppress(OSError):
        side.shutdown(socket.SHUT_RDWR)
    side.close()
