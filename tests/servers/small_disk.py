"""A small file system on a folder, in memory: it can be filled, and grows. Only root mounts one."""

import subprocess
from pathlib import Path

MIB = 2**20


class Disk:
    """One, mounted.

    Args:
        folder: Where; made if it is missing.
        mib: How much it holds.

    Raises:
        CalledProcessError: It may not be mounted here.
    """

    def __init__(self, folder: Path, *, mib: int) -> None:
        self.folder = folder
        self._size = mib
        folder.mkdir(parents=True, exist_ok=True)
        self._mount(f"size={mib}m,mode=755")

    def fill(self) -> None:
        """Use up every byte that is left."""
        with (self.folder / "ballast").open("wb", buffering=0) as file:
            try:
                while file.write(b"\0" * MIB):
                    pass
            except OSError:
                return

    def grow(self) -> None:
        """Make room, as an operator does."""
        self._mount(f"remount,size={self._size + 512}m")

    def read_only(self, yes: bool) -> None:
        """Refuse writes, or take them again."""
        self._mount("remount,ro" if yes else "remount,rw")

    def unmount(self) -> None:
        """Take it away, also from under a process that has it open."""
        subprocess.run(["umount", "-l", self.folder], check=True, capture_output=True)

    def _mount(self, options: str) -> None:
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", self.folder]
        subprocess.run(command, check=True, capture_output=True)
