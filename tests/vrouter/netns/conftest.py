import os
import shutil
from collections.abc import Callable, Iterator

import pytest
from netns_node import Node


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
