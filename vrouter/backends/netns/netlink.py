"""Netlink (RFC 3549): attributes, messages and a socket that lives in one network namespace.

Written here because the libraries lack what the data plane is made of (nexthop objects, elements with timeouts) and
because a socket of ours costs 30 microseconds, not a child process. Numbers are those of linux/netlink.h.
"""

import fcntl
import os
import socket
import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count

from vrouter import namespace

NETLINK_ROUTE, NETLINK_NETFILTER = 0, 12
NLM_F_REQUEST, NLM_F_ACK, NLM_F_DUMP = 0x1, 0x4, 0x300
NLM_F_REPLACE, NLM_F_EXCL, NLM_F_CREATE = 0x100, 0x200, 0x400
NLMSG_ERROR, NLMSG_DONE = 2, 3
NLA_F_NESTED, NLA_TYPE_MASK = 0x8000, 0x3FFF

_SIOCGSKNS = 0x894C  # linux/sockios.h
_SOL_NETLINK, _NETLINK_EXT_ACK, _NETLINK_CAP_ACK = 270, 11, 10
_SO_RCVBUFFORCE, _SO_SNDBUFFORCE = 33, 32
_BUFFER = 8 << 20  # bytes: the acknowledgements of a whole batch; less where this user is allowed less
_PATIENCE = 10  # seconds the kernel may take to answer
_RECEIVE = 1 << 18  # bytes; the kernel fills at most 32 KiB per dump message
_HEADER = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")


class NetlinkError(OSError):
    """The kernel's refusal. index: of the message among those sent, -1 if it is about the batch."""

    def __init__(self, number: int, index: int, text: str = "") -> None:
        super().__init__(number, f"{os.strerror(number)}{': ' if text else ''}{text}")
        self.index = index


@dataclass(frozen=True, slots=True)
class Message:
    type: int
    flags: int
    body: bytes


def attribute(kind: int, data: bytes) -> bytes:
    length = 4 + len(data)
    return _ATTRIBUTE.pack(length, kind) + data + bytes(-length % 4)


def nested(kind: int, *attributes: bytes) -> bytes:
    return attribute(kind | NLA_F_NESTED, b"".join(attributes))


def attributes(data: bytes, offset: int = 0) -> Iterator[tuple[int, bytes]]:
    """(kind, data) in order."""
    end = len(data)
    while offset + 4 <= end:
        length, kind = _ATTRIBUTE.unpack_from(data, offset)
        if length < 4:
            return
        yield kind & NLA_TYPE_MASK, data[offset + 4 : offset + length]
        offset += (length + 3) & ~3


class Socket:
    """One conversation with the kernel. Not for several threads at once. family: NETLINK_ROUTE or NETLINK_NETFILTER.

    network: name of the namespace it is opened in; None: where the calling thread is.
    """

    def __init__(self, family: int, network: str | None) -> None:
        def connect() -> socket.socket:
            return socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, family)

        self._socket = connect() if network is None else namespace.inside(network, connect)
        for forced, plain in ((_SO_RCVBUFFORCE, socket.SO_RCVBUF), (_SO_SNDBUFFORCE, socket.SO_SNDBUF)):
            try:
                self._socket.setsockopt(socket.SOL_SOCKET, forced, _BUFFER)
            except PermissionError:
                self._socket.setsockopt(socket.SOL_SOCKET, plain, _BUFFER)
        # the kernel refuses a message that is longer than the buffer, of which it keeps a little for itself
        self._limit = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) // 2
        self._socket.setsockopt(_SOL_NETLINK, _NETLINK_CAP_ACK, 1)
        self._socket.setsockopt(_SOL_NETLINK, _NETLINK_EXT_ACK, 1)
        self._socket.settimeout(_PATIENCE)
        self._socket.bind((0, 0))
        self._sequence = count(1)

    @property
    def port(self) -> int:
        """What the kernel calls it in what it tells others of its requests (`nlmsg_pid`)."""
        return int(self._socket.getsockname()[0])

    def open_namespace(self) -> int:
        """A file descriptor of the network namespace that it is in."""
        return fcntl.ioctl(self._socket, _SIOCGSKNS)

    def close(self) -> None:
        self._socket.close()

    def send(self, messages: Sequence[Message]) -> None:
        """Send in order and wait until the last is done. The kernel does all it can; raises the first NetlinkError."""
        first: NetlinkError | None = None
        for start, part in self._parts(messages):
            sent = [(message, next(self._sequence)) for message in part]
            ack = sent[-1][1]
            self._socket.send(b"".join(_frame(m, NLM_F_ACK if number == ack else 0, number) for m, number in sent))
            error = self._await(sent[0][1], ack)
            if error is not None and first is None:
                error.index += start
                first = error
        if first is not None:
            raise first

    def send_whole(self, begin: Message, messages: Sequence[Message], end: Message) -> None:
        """Send a transaction: all is done or nothing. Raises the first NetlinkError."""
        numbers = [next(self._sequence) for _ in range(len(messages) + 2)]
        last = len(messages) - 1
        frames = [_frame(begin, 0, numbers[0])]
        frames += [_frame(m, NLM_F_ACK if i == last else 0, numbers[i + 1]) for i, m in enumerate(messages)]
        frames.append(_frame(end, 0, numbers[-1]))
        self._socket.send(b"".join(frames))
        error = self._await(numbers[0], numbers[last + 1])
        if error is not None:
            error.index -= 1
            raise error

    def dump(self, message: Message) -> list[bytes]:
        """The bodies of all answers. Raises NetlinkError."""
        number = next(self._sequence)
        self._socket.send(_frame(message, NLM_F_DUMP, number))
        bodies: list[bytes] = []
        while True:
            for kind, _, sequence, body in self._receive():
                if sequence != number:
                    continue
                if kind in (NLMSG_DONE, NLMSG_ERROR):
                    if len(body) >= 4 and (code := struct.unpack_from("=i", body)[0]):
                        raise NetlinkError(-code, 0)
                    return bodies
                bodies.append(body)

    def get(self, message: Message) -> list[bytes]:
        """The bodies of the answers to a request for one object. Raises NetlinkError."""
        number = next(self._sequence)
        self._socket.send(_frame(message, NLM_F_ACK, number))
        bodies: list[bytes] = []
        while True:
            for kind, flags, sequence, body in self._receive():
                if sequence != number:
                    continue
                if kind == NLMSG_ERROR:
                    if code := struct.unpack_from("=i", body)[0]:
                        raise NetlinkError(-code, 0, _extended(flags, body))
                    return bodies
                bodies.append(body)

    def _parts(self, messages: Sequence[Message]) -> Iterator[tuple[int, Sequence[Message]]]:
        start, size = 0, 0
        for index, message in enumerate(messages):
            length = _HEADER.size + len(message.body)
            if size and size + length > self._limit:
                yield start, messages[start:index]
                start, size = index, 0
            size += length
        if start < len(messages):
            yield start, messages[start:]

    def _await(self, first: int, last: int) -> NetlinkError | None:
        """Until `last` is answered, or the first message if that is a batch's beginning: it ends the batch."""
        error: NetlinkError | None = None
        while True:
            for kind, flags, sequence, body in self._receive():
                if kind != NLMSG_ERROR or not first <= sequence <= last:
                    continue
                code = -struct.unpack_from("=i", body)[0]
                if code and error is None:
                    error = NetlinkError(code, sequence - first, _extended(flags, body))
                if sequence == last or (code and sequence == first and first != last and self._ends_batch(body)):
                    return error

    @staticmethod
    def _ends_batch(body: bytes) -> bool:
        """Whether the refused message is NFNL_MSG_BATCH_BEGIN."""
        return bool(struct.unpack_from("=H", body, 8)[0] == 0x10)

    def _receive(self) -> Iterable[tuple[int, int, int, bytes]]:
        data = self._socket.recv(_RECEIVE)
        offset = 0
        while offset + _HEADER.size <= len(data):
            length, kind, flags, sequence, _ = _HEADER.unpack_from(data, offset)
            yield kind, flags, sequence, data[offset + _HEADER.size : offset + length]
            offset += (length + 3) & ~3


def _frame(message: Message, flags: int, number: int) -> bytes:
    header = _HEADER.pack(
        _HEADER.size + len(message.body), message.type, message.flags | flags | NLM_F_REQUEST, number, 0
    )
    return header + message.body + bytes(-len(message.body) % 4)


def _extended(flags: int, body: bytes) -> str:
    """The sentence the kernel adds to an error (NLMSGERR_ATTR_MSG), if it does."""
    if not flags & 0x200:  # NLM_F_ACK_TLVS
        return ""
    # with NETLINK_CAP_ACK only the header of the refused message is repeated
    return next((data.rstrip(b"\0").decode(errors="replace") for kind, data in attributes(body, 20) if kind == 1), "")
