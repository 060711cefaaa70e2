"""Back-ends by name: what is found, and what is said of those that are of no use."""

from collections.abc import Callable
from importlib.metadata import EntryPoint, PathDistribution
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.main import app
from vrouter import backends
from vrouter.backends.protocol import BackendError, BackendSettings
from vrouter.backends.simulator import SimulatorBackend

Provide = Callable[..., None]

SETTINGS = BackendSettings("n1")


@pytest.fixture
def provide(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Provide:
    """Write a module and install it as a back-end called `mine`, by a package of that name."""
    monkeypatch.syspath_prepend(tmp_path)

    def install(source: str, value: str, package: str = "mine") -> None:
        (tmp_path / f"{value.partition(':')[0]}.py").write_text(source)
        metadata = tmp_path / f"{package}-1.0.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        (metadata / "entry_points.txt").write_text(f"[{backends.GROUP}]\nmine = {value}\n")
        assert isinstance(PathDistribution(metadata).entry_points["mine"], EntryPoint)

    return install


def refused(name: str = "mine") -> str:
    with pytest.raises(BackendError) as caught:
        backends.load(name, SETTINGS)
    assert caught.value.permanent
    return str(caught.value)


def test_a_backend_is_found_by_name() -> None:
    assert isinstance(backends.load("simulator", SETTINGS), SimulatorBackend)


def test_one_of_another_package_is_asked_to_enter_before_it_is_made(provide: Provide) -> None:
    source = """
from vrouter.backends.simulator import SimulatorBackend
class Other(SimulatorBackend):
    order = []
    @classmethod
    def enter(cls): cls.order.append("enter")
    def __init__(self, settings):
        self.order.append(settings.node)
        super().__init__(settings)
"""
    provide(source, "backend_other:Other")
    assert backends.load("mine", SETTINGS).order == ["enter", "n1"]  # type: ignore[attr-defined]


def test_an_unknown_name_lists_those_there_are(provide: Provide) -> None:
    provide("", "backend_empty:Other")
    assert refused("dpdk").startswith("There is no backend 'dpdk' (there are: mine, netns, simulator")


@pytest.mark.parametrize(
    ("source", "value", "text"),
    [
        (
            "import no_such_module",
            "backend_import:B",
            "cannot be loaded: ModuleNotFoundError: No module named 'no_such",
        ),
        ("def (", "backend_syntax:B", "cannot be loaded: SyntaxError: "),
        ("1 / 0", "backend_zero:B", "cannot be loaded: ZeroDivisionError: division by zero"),
        ("", "backend_lacking:B", "cannot be loaded: AttributeError: module 'backend_lacking' has no attribute 'B'"),
        ("B = 7", "backend_seven:B", "cannot be made: backend_seven:B is not callable"),
        ("class B: pass", "backend_plain:B", "cannot be made: TypeError: B() takes no arguments"),
        ("B = lambda settings: 1 / 0", "backend_make:B", "cannot be made: ZeroDivisionError: division by zero"),
        ("B = lambda settings: None", "backend_none:B", "is none: it lacks problems, open, observe, apply, "),
    ],
)
def test_one_that_is_of_no_use_says_why(provide: Provide, source: str, value: str, text: str) -> None:
    provide(source, value)
    assert refused().startswith(f"Backend 'mine' {text}")


def test_one_that_lacks_methods_is_told_which(provide: Provide) -> None:
    source = """
from vrouter.backends.simulator import SimulatorBackend
class Partial:
    def __init__(self, settings): self._over = SimulatorBackend(settings)
    def __getattr__(self, name):
        if name in ("drift", "counts"): raise AttributeError(name)
        return getattr(self._over, name)
"""
    provide(source, "backend_partial:Partial")
    assert refused() == "Backend 'mine' is none: it lacks counts, drift (docs/backends.md)"


def test_a_name_in_two_packages_is_nobodys(provide: Provide) -> None:
    provide("", "backend_one:B", "one")
    provide("", "backend_two:B", "two")
    assert refused() == "Backend 'mine' is in several packages: one and two"


def test_the_command_says_it_in_a_sentence(provide: Provide, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cli.log.configure", lambda *_: None)  # it would log to a file of the runner's, for good
    provide("1 / 0", "backend_fault:B")
    for name, text in (("dpdk", "There is no backend 'dpdk'"), ("mine", "Backend 'mine' cannot be loaded")):
        done = CliRunner().invoke(app, ["vrouter", "--backend", name])
        assert (done.exit_code, done.stderr.splitlines()[-1][: 12 + len(text)]) == (1, f"vaportrail: {text}")
