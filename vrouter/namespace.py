"""Network namespaces by name, as root or as an ordinary user.

As root they are where `ip netns` has them. An ordinary user gets the same in a user and a mount namespace of their own
(`vrouter/holder.py`), on a tmpfs that nobody else sees; the network namespace stays the host's, or the API on its
loopback would be out of reach. `enter` moves the process there and must come first: a process changes its user
namespace only while it has one thread.

A thread that enters a network namespace does its work and ends (`inside`); it never comes back, so no other code can
find itself in the wrong one. A socket stays in the namespace it was opened in.
"""

import ctypes
import os
import re
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NoReturn, TypeVar

from vrouter import holder
from vrouter.backends.protocol import BackendError

T = TypeVar("T")

NAME = re.compile(r"[A-Za-z0-9_.-]{1,128}")
ROOT_DIRECTORY = Path("/run/netns")

CLONE_NEWNET = 0x4000_0000
MS_BIND, MS_REC, MS_SHARED, MNT_DETACH = 0x1000, 0x4000, 0x10_0000, 2
_CAP_NET_ADMIN, _CAP_SYS_ADMIN = 12, 21

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class Mode:
    """root: privileged on this machine. user: in the holder's namespaces. directory: where namespaces have names."""

    name: Literal["root", "user"]
    directory: Path


def mode() -> Mode:
    """Where this process is now. The holder's tmpfs is a mount point only in its own mount namespace."""
    directory = holder.directory()
    return Mode("user", directory) if directory.is_mount() else Mode("root", ROOT_DIRECTORY)


def enter(*, create: bool = True) -> Mode:
    """Be where namespaces can be made: nothing to do for root, else enter the holder's namespaces.

    create: start a holder if there is none. Raises BackendError (permanent) that says why it is not possible.
    """
    if is_privileged():
        return mode()
    holder.enter(create=create)
    return mode()


def execute(workload: str, argv: Sequence[str]) -> NoReturn:
    """Become the command `argv` in the workload's network namespace.

    Raises BackendError if there is no such workload, FileNotFoundError if there is no such command.
    """
    enter(create=False)
    handle = open_handle(workload)
    _check(_libc.setns(handle, CLONE_NEWNET))
    os.close(handle)
    os.execvp(argv[0], list(argv))  # noqa: S606  a list of words, and no shell


def is_privileged() -> bool:
    """Whether this process may make and configure namespaces, by its effective capabilities."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapEff:"):
            effective = int(line.split()[1], 16)
            return all(effective >> capability & 1 for capability in (_CAP_NET_ADMIN, _CAP_SYS_ADMIN))
    return False


def names() -> list[str]:
    """The network namespaces that have a name here."""
    directory = mode().directory
    return sorted(path.name for path in directory.iterdir() if _is_namespace(path)) if directory.is_dir() else []


def exists(name: str) -> bool:
    return _is_namespace(_path(name))


def create(name: str, prepare: Callable[[], object] = lambda: None) -> None:
    """Make a network namespace. `prepare` runs in it before it has its name: whoever sees it finds it whole.

    Raises FileExistsError if the name is taken; OSError.
    """
    path = _path(name)
    _share(path.parent)
    try:
        path.touch(0o444, exist_ok=False)
    except FileExistsError:
        if path.is_symlink() or not path.is_file() or _is_namespace(path):
            raise
        # an empty file: whoever made it died before it had a namespace

    def make() -> None:
        _check(_libc.unshare(CLONE_NEWNET))
        prepare()
        _check(_libc.mount(b"/proc/thread-self/ns/net", bytes(path), b"none", MS_BIND, None))

    try:
        _in_thread(make)
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def remove(name: str) -> None:
    """Take the name away; the namespace lives as long as a process or socket is in it. Absent already: done."""
    path = _path(name)
    if _is_namespace(path):
        _check(_libc.umount2(bytes(path), MNT_DETACH))
    path.unlink(missing_ok=True)


def has_name(name: str, handle: int) -> bool:
    """Whether that is the name of the namespace of the file descriptor."""
    path = _path(name)
    return _is_namespace(path) and os.path.samestat(path.stat(), os.fstat(handle))


def restore(name: str, handle: int) -> None:
    """Give the namespace of the file descriptor a name (again). Raises FileExistsError if another has it; OSError."""
    path = _path(name)
    _share(path.parent)
    if _is_namespace(path):
        raise FileExistsError(f"{name} is the name of another namespace")
    path.touch(0o444)
    try:
        _check(_libc.mount(f"/proc/self/fd/{handle}".encode(), bytes(path), b"none", MS_BIND, None))
    except OSError:
        path.unlink(missing_ok=True)
        raise


def inside(name: str, action: Callable[[], T]) -> T:
    """What `action` returns (or raises) when it runs in that namespace, in a thread of its own."""
    return inside_handle(open_handle(name), action)


def inside_handle(handle: int, action: Callable[[], T]) -> T:
    """The same for the namespace of a file descriptor, which is closed."""

    def enter_and_act() -> T:
        _check(_libc.setns(handle, CLONE_NEWNET))
        return action()

    try:
        return _in_thread(enter_and_act)
    finally:
        os.close(handle)


def move(name: str) -> None:
    """Move the calling thread into that namespace. For a thread that does nothing else but open sockets: it is in the
    wrong one for everything else from now on. BackendError, OSError."""
    handle = open_handle(name)
    try:
        _check(_libc.setns(handle, CLONE_NEWNET))
    finally:
        os.close(handle)


def scratch(action: Callable[[], T]) -> T:
    """What `action` returns when it runs in a network namespace that is gone afterwards."""

    def enter_and_act() -> T:
        _check(_libc.unshare(CLONE_NEWNET))
        return action()

    return _in_thread(enter_and_act)


def open_handle(name: str) -> int:
    """A file descriptor of the namespace. Raises BackendError that names it, if there is none."""
    path = _path(name)
    if not _is_namespace(path):
        raise BackendError(f"There is no network namespace {name} in {path.parent}")
    return os.open(path, os.O_RDONLY | os.O_CLOEXEC)


def release() -> list[str]:
    """End the holder if no namespace has a name any more. Says what it ended."""
    if mode().name == "user" and not names():
        return holder.end()
    return []


def _in_thread(action: Callable[[], T]) -> T:
    results: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(action())
        except BaseException as error:  # noqa: BLE001  raised again in the caller's thread
            errors.append(error)

    thread = threading.Thread(target=run, name="network namespace")
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]


def _path(name: str) -> Path:
    if not NAME.fullmatch(name) or name in (".", ".."):
        raise BackendError(f"{name!r} is no name for a network namespace", permanent=True)
    return mode().directory / name


def _is_namespace(path: Path) -> bool:
    """Whether something is mounted there: a namespace's device is nsfs, not its directory's."""
    try:
        return not path.is_symlink() and path.stat().st_dev != path.parent.stat().st_dev
    except FileNotFoundError:
        return False


def _share(directory: Path) -> None:
    """Make the directory as `ip netns` does: shared, so that every mount namespace sees what is added and removed."""
    directory.mkdir(parents=True, exist_ok=True)
    target = bytes(directory)
    if _libc.mount(b"", target, b"none", MS_SHARED | MS_REC, None) != 0:
        _check(_libc.mount(target, target, b"none", MS_BIND | MS_REC, None))
        _check(_libc.mount(b"", target, b"none", MS_SHARED | MS_REC, None))


def _check(result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
