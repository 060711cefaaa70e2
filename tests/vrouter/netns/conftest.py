import os
import shutil
from collections.abc import Callable, Iterator, Sequence

import pytest
from mortal import Clock
from netns_node import Conversation, Node

from vrouter.backends.netns.netlink import Message, Socket


@pytest.fixture(scope="session")
def root() -> None:
    if os.geteuid() != 0:
        pytest.skip("namespaces need root here")
    if shutil.which("nft") is None:
        pytest.skip("there is no nft")


@pytest.fixture
def node(root: None) -> Iterator[Node]:
    node = Node()
    yield node
    node.close()


@pytest.fixture
def new_node(root: None) -> Iterator[Callable[..., Node]]:
    nodes: list[Node] = []

    def make(*, create_workloads: bool = True) -> Node:
        nodes.append(Node(create_workloads=create_workloads))
        return nodes[-1]

    yield make
    for each in nodes:
        each.close()


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> Conversation:
    """What is said to the kernel from here on."""
    said = Conversation()
    send, send_whole, dump = Socket.send, Socket.send_whole, Socket.dump

    def record(self: Socket, messages: Sequence[Message]) -> None:
        said.changes += messages
        said.sends += bool(messages)
        send(self, messages)

    def record_whole(self: Socket, begin: Message, messages: Sequence[Message], end: Message) -> None:
        said.changes += messages
        said.sends += 1
        send_whole(self, begin, messages, end)

    def record_dump(self: Socket, message: Message) -> list[bytes]:
        said.dumps += 1
        return dump(self, message)

    monkeypatch.setattr(Socket, "send", record)
    monkeypatch.setattr(Socket, "send_whole", record_whole)
    monkeypatch.setattr(Socket, "dump", record_dump)
    return said


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """A signal reaches a process between two system calls: what is sent as one is done as one."""
    clock, send, send_whole = Clock(), Socket.send, Socket.send_whole

    def mortal_send(self: Socket, part: list[Message]) -> None:
        clock.tick()
        send(self, part)

    def mortal_send_whole(self: Socket, begin: Message, part: list[Message], end: Message) -> None:
        clock.tick()
        send_whole(self, begin, part, end)

    monkeypatch.setattr(Socket, "send", mortal_send)
    monkeypatch.setattr(Socket, "send_whole", mortal_send_whole)
    return clock
