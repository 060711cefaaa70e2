"""A disk of its own (a tmpfs) that is full when told to be."""

import os
import shutil
import subprocess
from pathlib import Path

ROOM = "4g"  # at most; what is not used is not taken


class Disk:
    """Mounted at a folder. Needs root: `possible` says whether it is."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)
        self._mount("mount", "-t", "tmpfs", "-o", f"size={ROOM},mode=0777", "none", str(folder))

    @staticmethod
    def possible() -> bool:
        return os.geteuid() == 0 and shutil.which("mount") is not None

    def fill(self) -> None:
        """Not a page is left."""
        while not self._shrink():  # somebody was quicker to use more
            pass

    def free(self) -> None:
        self._mount("mount", "-o", f"remount,size={ROOM}", str(self.folder))

    def close(self) -> None:
        self._mount("umount", str(self.folder))

    def _shrink(self) -> bool:
        used = shutil.disk_usage(self.folder).used
        done = subprocess.run(
            ["mount", "-o", f"remount,size={used}", str(self.folder)], check=False, capture_output=True
        )
        return done.returncode == 0

    def _mount(self, *command: str) -> None:
        subprocess.run(command, check=True, capture_output=True)
