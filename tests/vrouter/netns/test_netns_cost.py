"""What a change says to the kernel: a number of messages that is the same however much stands beside it, and no
question for everything."""

import subprocess
from collections.abc import Callable
from dataclasses import replace

import pytest
from netns_node import VIP, Conversation, Node, service

from vrouter.backends.netns import fib
from vrouter.backends.protocol import Delete, Operation, Put
from vrouter.state import Interface, Vip

OTHER = VIP - 1  # a service that comes and goes
SEVERAL = VIP - 2  # a service with three listeners

Change = Callable[[Node, list[Interface]], Operation]

# From three pods, services with the first two of them and one with all: the messages that change something, and the
# sends they go in.
CHANGES: dict[str, tuple[Change, int, int]] = {
    "a member comes": (lambda node, pods: Put(service(80, pods=pods)), 1, 1),
    "a member goes": (lambda node, pods: Put(service(80, pods=pods[:1])), 1, 1),
    "a member has another weight": (lambda node, pods: Put(weighted(service(80, pods=pods[:2]))), 1, 1),
    # that this is not the others' port, and the endpoint's id, address and port
    "a member comes with a port that its pod never had": (lambda node, pods: Put(moved(service(80, pods=pods))), 5, 2),
    # a group for each listener, and that of the VIP
    "a member of three listeners goes": (lambda node, pods: Put(three(pods[:2])), 4, 1),
    "a service comes": (lambda node, pods: Put(service(80, pods=pods[:2], vip=OTHER)), 8, 2),
    "a service goes": (lambda node, pods: Delete(service(80, pods=pods[:2])), 7, 2),
    "a pod comes": (lambda node, pods: Put(node.new_pod()), 17, 5),
    "a pod goes": (lambda node, pods: Delete(pods[2]), 6, 2),
}


@pytest.mark.parametrize("services", [1, 200])
@pytest.mark.parametrize("what", CHANGES)
def test_a_change_is_a_constant_number_of_messages(node: Node, said: Conversation, what: str, services: int) -> None:
    change, messages, sends = CHANGES[what]
    pods = node.pods(3)
    node.apply(*(service(80, pods=pods[:2], vip=VIP + number) for number in range(services)), three(pods))
    operation = change(node, pods)
    said.forget()
    assert node.backend.apply([operation]) == [None]
    assert (len(said.changes), said.sends, said.dumps) == (messages, sends, 0)


def test_many_services_come_in_a_few_sends(node: Node, said: Conversation) -> None:
    pods = node.pods(3)
    said.forget()
    node.apply(*(service(80, pods=pods, vip=VIP + number) for number in range(256)))
    assert said.sends <= 4
    assert said.dumps == 0


def test_a_service_that_cannot_be_made_keeps_none_of_its_batch_from_standing(node: Node) -> None:
    pods = node.pods(2)
    good = [service(80, pods=pods, vip=VIP + number) for number in range(3)]
    taken = replace(good[1], address=pods[0].address)
    absent = replace(service(80, pods=[*pods, node.new_pod()], vip=VIP + 3))
    operations = [Put(unit) for unit in (good[0], taken, good[1], absent, good[2])]
    answers = node.backend.apply(operations)
    assert [str(answer)[:3] if answer else None for answer in answers] == [None, "VIP", None, "VIP", None]
    standing = {unit.address: unit for unit in node.backend.observe() if isinstance(unit, Vip)}
    assert standing == {unit.address: unit for unit in (*good, service(80, pods=pods, vip=VIP + 3))}


def test_a_batch_that_the_kernel_refuses_is_done_one_by_one(node: Node, said: Conversation) -> None:
    pods = node.pods(2)
    old = [service(80, pods=pods, vip=VIP + number) for number in range(2)]
    node.apply(*old)
    network = f"vt-{node.settings.node}-{old[0].vrf}"
    flush = ["nft", "delete", "element", "ip", "vaportrail", "vip", f"{{ {old[0].address} }}"]
    subprocess.run(["ip", "netns", "exec", network, *flush], check=True)
    new = service(80, pods=pods, vip=VIP + 2)
    said.forget()
    assert node.backend.apply([Delete(old[0]), Put(new), Delete(old[1])]) == [None] * 3
    assert said.dumps > 0  # what stands was read anew
    assert [unit for unit in node.backend.observe() if isinstance(unit, Vip)] == [new]


def weighted(unit: Vip) -> Vip:
    """The first member of its listener with another weight."""
    (listener,) = unit.listeners
    first, *others = listener.members
    return replace(unit, listeners=(listener._replace(members=(first._replace(weight=7), *others)),))


def moved(unit: Vip) -> Vip:
    """The last member, as its uuid has it, at another port."""
    (listener,) = unit.listeners
    *others, last = listener.members
    return replace(unit, listeners=(listener._replace(members=(*others, last._replace(port=8080))),))


def three(pods: list[Interface]) -> Vip:
    return service(80, 443, 8443, pods=pods, vip=SEVERAL)


def test_many_services_are_told_without_their_members(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the kernel goes through all routes for each group that changes."""
    monkeypatch.setattr(fib, "MANY", 3)
    pods = node.pods(2)
    units = [service(80, pods=pods, vip=VIP + number) for number in range(4)]

    def shown() -> str:
        command = ["ip", "-n", f"vt-{node.settings.node}-{units[0].vrf}", "route", "show", str(VIP)]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    node.apply(*units[:3])
    assert all(str(pod.address) in shown() for pod in pods)
    node.apply(units[3])
    assert "nhid" in shown()
    assert not any(str(pod.address) in shown() for pod in pods)
    assert {unit.address: unit for unit in node.backend.observe() if isinstance(unit, Vip)} == {
        unit.address: unit for unit in units
    }
