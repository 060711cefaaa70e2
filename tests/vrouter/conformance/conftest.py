"""Every test of this folder runs on each lab with the addresses of each family; one that this machine cannot run is
skipped with its reason. `--lab FILE.py:CLASS` (or `MODULE:CLASS`) puts labs of others in place of those of the tree;
docs/backends.md tells of it.
"""

import sys
from collections.abc import Iterator, Mapping
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest
from lab import Lab
from netns_lab import NetnsLab
from scenery import Network
from simulator_lab import SimulatorLab

from vrouter.state import FAMILIES, Family

LABS: dict[str, type[Lab]] = {"simulator": SimulatorLab, "netns": NetnsLab}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--lab", action="append", help="FILE.py:CLASS or MODULE:CLASS of a lab; may be repeated.")


def labs(config: pytest.Config) -> Mapping[str, type[Lab]]:
    given = config.getoption("--lab", default=None)
    return LABS if not given else {lab.name: lab for lab in map(imported, given)}


def imported(text: str) -> type[Lab]:
    place, _, name = text.rpartition(":")
    if not place.endswith(".py"):
        return getattr(import_module(place), name)
    path = Path(place).resolve()
    spec = spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None or not path.exists():
        raise pytest.UsageError(f"--lab: there is no file {place}")
    module = sys.modules[path.stem] = module_from_spec(spec)
    spec.loader.exec_module(module)
    return getattr(module, name)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Of labs of others nothing is asked that is not asked of a lab."""
    if config.getoption("--lab", default=None):
        asked = {"lab_type", "other_lab"}
        others = [one for one in items if not (isinstance(one, pytest.Function) and asked & set(one.fixturenames))]
        config.hook.pytest_deselected(items=others)
        items[:] = [one for one in items if one not in others]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """lab_type: each lab. other_lab: each but the simulator's, with which they are compared."""
    found = labs(metafunc.config)
    if "lab_type" in metafunc.fixturenames:
        metafunc.parametrize("lab_type", found.values(), ids=found.keys(), indirect=True)
    if "other_lab" in metafunc.fixturenames:
        others = {name: lab for name, lab in found.items() if lab is not SimulatorLab}
        metafunc.parametrize("other_lab", others.values(), ids=others.keys(), indirect=True)


@pytest.fixture
def other_lab(request: pytest.FixtureRequest) -> type[Lab]:
    return available(request.param)


@pytest.fixture
def lab_type(request: pytest.FixtureRequest) -> type[Lab]:
    return available(request.param)


def available(lab: type[Lab]) -> type[Lab]:
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
