"""Probes of members, from inside their VRF: the source is the gateway's address, or the VRF's own one where the member
is on another node (`vxlan.py`); the way is that of any packet.

A probe ends its connection with a reset, so none stays behind in TIME_WAIT.

A TLS connection is used for up to `USES` probes, if the server lets it stand: to begin one costs some five times what
it costs to ask over one that stands. Each that begins one shows that the member still takes connections, and one that
has gone meanwhile, or was closed, is begun anew in the same probe.
"""

import asyncio
import errno
import os
import random
import re
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable
from contextlib import suppress

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from vrouter.backends.netns.encrypted import Encrypted
from vrouter.backends.netns.idle import IdleConnections, Where
from vrouter.backends.netns.sockets import Socket, Sockets
from vrouter.backends.protocol import BackendError
from vrouter.state import Address, Check, Monitor

STATUS_LINE = 1024  # bytes of an answer that are read at most
USES = 10  # probes over one TLS connection at most
KEPT_FOR = 30  # seconds between two probes at most; with a longer delay there is little to save
REST, REST_WITHIN = 65536, 0.1  # bytes and seconds that the rest of an answer may have, for its connection to be kept
_STATUS = re.compile(rb"HTTP/\d\.\d (\d{3})\b")
# ENOSPC: this user watches as many files by epoll as there may be (epoll(7), max_user_watches)
_OWN_TROUBLE = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.ENOSPC)
_RESET = struct.pack("ii", 1, 0)  # struct linger: on, 0 seconds
_ECHO = {4: (socket.IPPROTO_ICMP, 8, 0), 6: (socket.IPPROTO_ICMPV6, 128, 129)}  # protocol, request, reply
_ICMP = struct.Struct(">BBH")  # type, code, checksum


class Prober:
    """Probes members in the namespaces of this process. Use on one event loop."""

    def __init__(self) -> None:
        self._idle = IdleConnections()
        self._sockets = Sockets()
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._tls.check_hostname = False  # as Octavia: it is asked whether it serves, not who it is
        self._tls.verify_mode = ssl.CERT_NONE
        self._number = 0

    def leave(self, network: str) -> None:
        """That namespace is about to go. May be called from any thread."""
        self._idle.leave(network)

    def close(self) -> None:
        self._idle.close()
        self._sockets.close()

    async def probe(self, network: str, check: Check, monitor: Monitor) -> str | None:
        """As `Backend.probe`; network: the namespace of the check's VRF."""
        try:
            async with asyncio.timeout(monitor.timeout):
                if monitor.kind == "ping":
                    return await self._ping(network, check.address)
                return await self._connect(network, check, monitor)
        except TimeoutError:
            return f"no answer within {monitor.timeout} s"
        except BackendError as error:
            return str(error)
        except OSError as error:
            if error.errno in _OWN_TROUBLE:
                raise
            return _words(error)

    async def _connect(self, network: str, check: Check, monitor: Monitor) -> str | None:
        if monitor.kind == "https":
            return await self._encrypted(network, check, monitor)
        connection = await self._connected(network, check)
        try:
            if monitor.kind == "tcp":
                return None
            await connection.send(_request(check, monitor))
            return _judge(await _status_line(connection.receive), monitor)
        finally:
            connection.close()

    async def _encrypted(self, network: str, check: Check, monitor: Monitor) -> str | None:
        where = (network, check.member, check.address, check.port, monitor.uuid)
        kept = self._idle.take(where)
        if kept is not None and kept.left:
            with suppress(OSError):
                if answer := await self._exchange(where, kept, check, monitor):
                    return _judge(answer, monitor)
        elif kept is not None:
            kept.close()
        # those that begin together are not to be renewed together
        uses = random.randint(1, USES) if kept is None else USES  # noqa: S311
        begun = Encrypted(self._tls, await self._connected(network, check), uses)
        return _judge(await self._exchange(where, begun, check, monitor), monitor)

    async def _exchange(self, where: Where, connection: Encrypted, check: Check, monitor: Monitor) -> bytes:
        """The answer's beginning. The connection is kept, or closed."""
        keep = monitor.method == "GET" and monitor.delay <= KEPT_FOR
        try:
            await connection.ask(_request(check, monitor, keep=keep))
            answer = await _status_line(connection.read)
            keep = keep and _judge(answer, monitor) is None and await _ends(answer, connection.read)
        except BaseException:
            keep = False
            raise
        finally:
            if keep:
                self._idle.keep(where, connection, 2 * monitor.delay)
            else:
                connection.close()
        return answer

    async def _connected(self, network: str, check: Check) -> Socket:
        connection = await self._open(network, check.address, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        try:
            connection.option(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            await connection.connect(str(check.address), check.port)
        except BaseException:
            connection.close()
            raise
        return connection

    async def _ping(self, network: str, address: Address) -> str | None:
        """One echo; what else the socket hears (it is raw) is somebody else's."""
        protocol, request, reply = _ECHO[address.version]
        self._number = (self._number + 1) & 0xFFFF_FFFF
        token = struct.pack(">I", self._number)  # identifier and sequence
        echo = await self._open(network, address, socket.SOCK_RAW, protocol)
        try:
            await echo.connect(str(address), 0)  # sends nothing
            message = _ICMP.pack(request, 0, 0) + token
            if address.version == 4:  # of ICMPv6 the kernel makes the checksum
                message = _ICMP.pack(request, 0, _checksum(message)) + token
            await echo.send(message)
            while True:
                heard = await echo.receive(2048)
                header = (heard[0] & 0xF) * 4 if address.version == 4 else 0
                if heard[header : header + 1] == bytes((reply,)) and heard[header + 4 : header + 8] == token:
                    return None
        finally:
            echo.close()

    async def _open(self, network: str, address: Address, kind: int, protocol: int) -> Socket:
        family = socket.AF_INET if address.version == 4 else socket.AF_INET6
        return await self._sockets.open(network, family, kind, protocol)


def _request(check: Check, monitor: Monitor, *, keep: bool = False) -> bytes:
    host = f"[{check.address}]" if check.address.version == 6 else str(check.address)
    lines = (f"{monitor.method} {monitor.path} HTTP/1.1", f"Host: {host}:{check.port}", "User-Agent: vaportrail",
             "Accept: */*", f"Connection: {'keep-alive' if keep else 'close'}", "", "")  # fmt: skip
    return "\r\n".join(lines).encode()


async def _status_line(read: Callable[[int], Awaitable[bytes]]) -> bytes:
    """The first line, as far as it comes."""
    answer = b""
    while b"\n" not in answer and len(answer) < STATUS_LINE and (part := await read(STATUS_LINE)):
        answer += part
    return answer


class _Answer:
    """What a parser tells of. begun, ended: messages. stands: whether the connection does, after the last."""

    def __init__(self) -> None:
        self.begun = self.ended = 0
        self.stands = False
        self.parser = HttpResponseParser(self)

    def on_message_begin(self) -> None:
        self.begun += 1

    def on_message_complete(self) -> None:
        self.ended += 1
        self.stands = self.parser.should_keep_alive()


async def _ends(beginning: bytes, read: Callable[[int], Awaitable[bytes]]) -> bool:
    """Whether the answer that begins so comes to its end soon, and its server takes another request then."""
    answer, length = _Answer(), len(beginning)
    try:
        answer.parser.feed_data(beginning)
        if not answer.ended:
            async with asyncio.timeout(REST_WITHIN):
                while not answer.ended and length < REST and (part := await read(REST)):
                    answer.parser.feed_data(part)
                    length += len(part)
    except (OSError, HttpParserError, HttpParserUpgrade):  # a TimeoutError is an OSError
        return False
    finally:
        del answer.parser  # which has the answer
    return answer.stands and answer.begun == answer.ended == 1


def _judge(answer: bytes, monitor: Monitor) -> str | None:
    if not answer:
        return "closed the connection without an answer"
    status = _STATUS.match(answer)
    if status is None:
        return "answers, but not in HTTP"
    code = int(status[1])
    if any(low <= code <= high for low, high in monitor.codes):
        return None
    expected = ", ".join(str(low) if low == high else f"{low}-{high}" for low, high in monitor.codes)
    return f"HTTP status {code}, expected {expected}"


def _words(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return f"TLS: {(error.reason or str(error)).replace('_', ' ').lower()}"
    text = os.strerror(error.errno) if error.errno else str(error)
    return text[:1].lower() + text[1:]


def _checksum(message: bytes) -> int:
    """RFC 1071."""
    total: int = sum(struct.unpack(f">{len(message) // 2}H", message))
    total = (total >> 16) + (total & 0xFFFF)
    return ~(total + (total >> 16)) & 0xFFFF
