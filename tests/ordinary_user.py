"""Commands as an ordinary user, for tests that run as root: user nobody, no groups, no capabilities, a home of its own.

Where the interpreter or the repository lie below a folder that only root may enter, they are mounted at the same paths
in a mount namespace of the command, so that what is tested is what is installed and nothing on the machine changes.
"""

import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

NOBODY = 65534
ROOT = Path(__file__).parent.parent
NEEDED = {ROOT, Path(sys.prefix), Path(sys.base_prefix), Path(sys.executable).resolve().parent.parent}
AS_NOBODY = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--"]


def user_namespaces() -> bool:
    """Whether ordinary users may make them on this machine."""
    words = [*AS_NOBODY, "unshare", "--user", "--map-root-user", "true"]
    return subprocess.run(words, check=False, capture_output=True).returncode == 0


@contextmanager
def home() -> Iterator[Path]:
    """A folder of the user's own."""
    with tempfile.TemporaryDirectory(prefix="vaportrail-nobody-", dir="/tmp") as folder:
        os.chown(folder, NOBODY, NOBODY)
        yield Path(folder)


def run(command: Sequence[str], folder: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """The command as nobody, at home in `folder`."""
    script = "\n".join([*_mounts(), shlex.join([*AS_NOBODY, *command])])
    return subprocess.run(
        ["unshare", "--mount", "sh", "-euc", script],
        capture_output=True,
        text=True,
        env=environment | {"HOME": str(folder), "XDG_RUNTIME_DIR": str(folder), "TMPDIR": str(folder)},
        cwd="/",
        check=False,
    )


def _mounts() -> Iterator[str]:
    """Lines that put what is needed where nobody may enter."""
    closed: dict[Path, list[Path]] = {}
    for needed in sorted(NEEDED):
        barred = [parent for parent in reversed(needed.parents) if not parent.stat().st_mode & 0o001]
        if barred:
            closed.setdefault(barred[0], []).append(needed)
    for folder, below in closed.items():
        yield "aside=$(mktemp -d /tmp/aside.XXXXXX)"
        yield f'mount --bind {shlex.quote(str(folder))} "$aside"'
        yield f"mount -t tmpfs -o mode=755 tmpfs {shlex.quote(str(folder))}"
        for needed in below:
            target, source = shlex.quote(str(needed)), shlex.quote(str(needed.relative_to(folder)))
            yield f'mkdir -p {target}; mount --bind "$aside"/{source} {target}'
        yield 'umount "$aside"; rmdir "$aside"'
