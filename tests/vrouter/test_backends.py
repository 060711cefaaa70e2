from importlib.metadata import EntryPoint

import pytest

from vrouter import backends
from vrouter.backends.protocol import BackendError, BackendSettings
from vrouter.backends.simulator import SimulatorBackend


def test_a_backend_is_found_by_name() -> None:
    assert isinstance(backends.load("simulator", BackendSettings("n1")), SimulatorBackend)


def test_an_unknown_name_lists_those_there_are() -> None:
    with pytest.raises(BackendError, match=r"no backend 'dpdk' \(there are: .*simulator") as caught:
        backends.load("dpdk", BackendSettings("n1"))
    assert caught.value.permanent


def test_one_that_cannot_be_imported_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    point = EntryPoint("broken", "vrouter.backends.no_such_module:Backend", backends.GROUP)
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: [point])
    with pytest.raises(BackendError, match=r"'broken' cannot be loaded: .*no_such_module"):
        backends.load("broken", BackendSettings("n1"))
