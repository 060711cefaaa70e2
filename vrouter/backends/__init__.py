"""Backends by name: what forwards packets is chosen at start, and may come from another package.

A backend is an entry point in the group `vaportrail.backends`; its value is a callable `(BackendSettings) -> Backend`
(`vrouter/backends/protocol.py`). It is imported only when it is asked for, so that a machine without the privilege or
the libraries of one backend can run another.
"""

from collections.abc import Callable

from vrouter.backends.protocol import Backend, BackendError, BackendSettings

GROUP = "vaportrail.backends"


def load(name: str, settings: BackendSettings) -> Backend:
    """The backend called `name`, not yet opened.

    BackendError (permanent): there is none of that name (the text lists those there are), or it cannot be imported.
    """
    from importlib.metadata import entry_points  # noqa: PLC0415  # slow; a program that is no agent loads none

    found = {point.name: point for point in entry_points(group=GROUP)}
    if name not in found:
        known = ", ".join(sorted(found)) or "none: the package is not installed"
        raise BackendError(f"There is no backend {name!r} (there are: {known})", permanent=True)
    try:
        make: Callable[[BackendSettings], Backend] = found[name].load()
    except (ImportError, AttributeError) as error:
        raise BackendError(f"Backend {name!r} cannot be loaded: {error}", permanent=True) from error
    return make(settings)
