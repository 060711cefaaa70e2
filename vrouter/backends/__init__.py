"""Backends by name: what forwards packets is chosen at start, and may come from another package.

A backend is an entry point in the group `vaportrail.backends`; its value is a callable `(BackendSettings) -> Backend`
(`vrouter/backends/protocol.py`; docs/backends.md tells how to write one). It is imported only when it is asked for, so
that a machine without the privilege or the libraries of one backend can run another.
"""

from typing import TYPE_CHECKING, Any

from vrouter.backends.protocol import Backend, BackendError, BackendSettings

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP = "vaportrail.backends"

PARTS = tuple(name for name in vars(Backend) if not name.startswith("_"))
"""What a backend has, by the protocol."""


def load(name: str, settings: BackendSettings) -> Backend:
    """The backend called `name`, not yet opened. If it has to move the process (to another user namespace, say), it
    does so now: its `enter`, if it has one, is called before anything else of it, and no thread exists yet.

    BackendError (permanent): there is none of that name (the text lists those there are), or several packages have one,
    or it cannot be imported or made, or what is made lacks something of the protocol.
    """
    make = _imported(_point(name))
    if hasattr(make, "enter"):
        make.enter()
    try:
        backend = make(settings)
    except BackendError:
        raise
    except Exception as error:
        _log(name)
        raise _unusable(name, f"cannot be made: {type(error).__name__}: {error}") from error
    if missing := [part for part in PARTS if not hasattr(backend, part)]:
        raise _unusable(name, f"is none: it lacks {', '.join(missing)} (docs/backends.md)")
    found: Backend = backend
    return found


def _point(name: str) -> "EntryPoint":
    from importlib.metadata import entry_points  # noqa: PLC0415  # slow; a program that is no agent loads none

    points = list(entry_points(group=GROUP))
    found = [point for point in points if point.name == name]
    if not found:
        known = ", ".join(sorted({point.name for point in points})) or "none: the package is not installed"
        raise BackendError(f"There is no backend {name!r} (there are: {known})", permanent=True)
    if len({point.value for point in found}) > 1:
        packages = " and ".join(sorted(point.dist.name if point.dist else "?" for point in found))
        raise _unusable(name, f"is in several packages: {packages}")
    return found[0]


def _imported(point: "EntryPoint") -> Any:
    """What stands behind the entry point, which may be anything."""
    try:
        make = point.load()
    except Exception as error:
        if not isinstance(error, ImportError | AttributeError):
            _log(point.name)
        raise _unusable(point.name, f"cannot be loaded: {type(error).__name__}: {error}") from error
    if not callable(make):
        raise _unusable(point.name, f"cannot be made: {point.value} is not callable")
    return make


def _log(name: str) -> None:
    """Where in the backend's code its fault is."""
    import structlog  # noqa: PLC0415  # as above

    structlog.get_logger(__name__).exception("the backend has a fault", backend=name)


def _unusable(name: str, why: str) -> BackendError:
    return BackendError(f"Backend {name!r} {why}", permanent=True)
