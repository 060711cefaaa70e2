"""Every test of this folder runs on each lab with the addresses of each family; one that this machine cannot run is
skipped with its reason.
"""

from collections.abc import Iterator

import pytest
from lab import Lab
from netns_lab import NetnsLab
from scenery import Network
from simulator_lab import SimulatorLab

from vrouter.state import FAMILIES, Family

LABS: dict[str, type[Lab]] = {"simulator": SimulatorLab, "netns": NetnsLab}


@pytest.fixture(params=list(LABS))
def lab_type(request: pytest.FixtureRequest) -> type[Lab]:
    lab = LABS[request.param]
    if reason := lab.unavailable():
        pytest.skip(reason)
    return lab


@pytest.fixture(params=FAMILIES, ids=["ipv4", "ipv6"])
def family(request: pytest.FixtureRequest) -> Family:
    return request.param


@pytest.fixture
def lab(lab_type: type[Lab], family: Family) -> Iterator[Lab]:
    lab = lab_type(family)
    try:
        yield lab
    finally:
        lab.close()


@pytest.fixture
def network(lab: Lab) -> Network:
    """One VRF, empty."""
    return Network(lab)
