"""The process that keeps an ordinary user's namespaces while no agent runs.

Network namespaces have names because they are mounted, and a mount lives in a mount namespace, which lives as long as
a process is in it. The holder is that process: detached from everybody (own session, no parent), asleep. It is found
again by its pid and start time, so a pid used anew is not mistaken for it.

It sees the host's file system as it changes (mounts propagate in, none out), with a tmpfs over the directory of names.
"""

import ctypes
import fcntl
import json
import os
import shutil
import signal
from pathlib import Path
from typing import Any, NoReturn

from vrouter.backends.protocol import BackendError

_CLONE_NEWNS, _CLONE_NEWUSER = 0x0002_0000, 0x1000_0000
_MS_REC, _MS_SLAVE = 0x4000, 0x8_0000

_libc = ctypes.CDLL(None, use_errno=True)

# Why the kernel may refuse user namespaces: file below /proc/sys -> (the value that forbids, what to do).
_FORBIDDING = {
    "user/max_user_namespaces": ("0", "sysctl -w user.max_user_namespaces=10000"),
    "kernel/unprivileged_userns_clone": ("0", "sysctl -w kernel.unprivileged_userns_clone=1"),
    "kernel/apparmor_restrict_unprivileged_userns": ("1", "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"),
}


def directory() -> Path:
    """Where the namespaces have names, in the holder's mount namespace."""
    return _state() / "netns"


def enter(*, create: bool = True) -> None:
    """Move this process, which has one thread, into the holder's user and mount namespaces.

    Raises BackendError (permanent) that says why it is not possible.
    """
    if len(os.listdir("/proc/self/task")) != 1:  # noqa: PTH208  names only
        raise BackendError("A process with several threads cannot enter a user namespace", permanent=True)
    state = _state()
    try:
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (state / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            handles = _handles(_find())
            if not handles:
                if not create:
                    raise BackendError("No agent of this user has made namespaces here (one of root's needs root)")
                handles = _handles(_start())
        _join(handles)
    except OSError as error:
        raise BackendError(f"Namespaces of this user cannot be entered: {error}", permanent=True) from error


def end() -> list[str]:
    """End the holder; what it held goes when the last process has left."""
    pid = _find()
    if pid is None:
        return []
    os.kill(pid, signal.SIGTERM)
    (_state() / "holder.json").unlink(missing_ok=True)
    return [f"holder of the namespaces (process {pid})"]


def _state() -> Path:
    if runtime := os.environ.get("XDG_RUNTIME_DIR"):
        return Path(runtime) / "vaportrail"
    home = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(home) / "vaportrail"


def _find() -> int | None:
    try:
        known = json.loads((_state() / "holder.json").read_text())
        alive = bool(known == _identity(known["pid"]))
    except (FileNotFoundError, ProcessLookupError, ValueError, KeyError, TypeError):
        return None
    return int(known["pid"]) if alive else None


def _identity(pid: int) -> dict[str, Any]:
    """The process and when it started, in clock ticks after which boot. FileNotFoundError if there is none."""
    # the name, second, is in parentheses and may hold anything; the start is the 22nd field
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return {"pid": pid, "start": int(fields[19]), "boot": boot}


def _start() -> int:
    """Fork a holder off and wait until its namespaces stand."""
    directory().mkdir(mode=0o700, exist_ok=True)
    reader, writer = os.pipe2(os.O_CLOEXEC)
    child = os.fork()
    if child == 0:
        os.setsid()
        if os.fork() != 0:
            os._exit(0)
        _hold(writer)
    os.close(writer)
    os.waitpid(child, 0)
    with os.fdopen(reader) as answers:
        report = json.loads(answers.read() or '{"error": "the holder died"}')
    if "error" in report:
        raise BackendError(_explain(report["error"]), permanent=True)
    pid = int(report["pid"])
    (_state() / "holder.json").write_text(json.dumps(_identity(pid)))
    return pid


def _hold(writer: int) -> NoReturn:
    """The holder's life: make the namespaces, say so, sleep as a program of a few hundred kilobytes."""
    try:
        user, group = os.geteuid(), os.getegid()
        _check(_libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNS))
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"0 {user} 1")
        Path("/proc/self/gid_map").write_text(f"0 {group} 1")
        _check(_libc.mount(b"none", b"/", None, _MS_REC | _MS_SLAVE, None))
        _check(_libc.mount(b"vaportrail", bytes(directory()), b"tmpfs", 0, b"mode=0700"))
        sleep = shutil.which("sleep") or "/bin/sleep"
        null = os.open(os.devnull, os.O_RDWR)
        for stream in range(3):
            os.dup2(null, stream)
        os.chdir("/")
        os.write(writer, json.dumps({"pid": os.getpid()}).encode())
        os.closerange(3, os.sysconf("SC_OPEN_MAX"))
        os.execv(sleep, ["sleep", "infinity"])  # noqa: S606  a list of words, and no shell
    except OSError as error:
        os.write(writer, json.dumps({"error": os.strerror(error.errno or 0)}).encode())
    finally:
        os._exit(1)


def _handles(pid: int | None) -> dict[int, int]:
    """Kind of namespace -> a file descriptor of the holder's, in the order to enter them; none if it is dead."""
    if pid is None:
        return {}
    try:
        return {
            flag: os.open(f"/proc/{pid}/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC)
            for kind, flag in (("user", _CLONE_NEWUSER), ("mnt", _CLONE_NEWNS))
        }
    except FileNotFoundError:  # a zombie: dead, but nobody has asked how
        return {}


def _join(handles: dict[int, int]) -> None:
    here = Path.cwd()
    for kind, handle in handles.items():
        _check(_libc.setns(handle, kind))
        os.close(handle)
    os.chdir(here)  # entering a mount namespace leads to its root


def _explain(error: str) -> str:
    text = f"Without root this needs user namespaces, and the kernel refuses them ({error})"
    for name, (forbids, remedy) in _FORBIDDING.items():
        file = Path("/proc/sys") / name
        if file.exists() and file.read_text().strip() == forbids:
            return f"{text}: {name.replace('/', '.')} is {forbids}. As root: {remedy}"
    return f"{text}; in a container its seccomp profile may forbid them. Run as root, or use the simulator"


def _check(result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
