"""A program in a terminal of its own: what its window shows, where it draws the same view again and again."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

_LINES, _COLUMNS = 200, 600
_KEPT_CHARACTERS = 2**20
_REDRAWN = re.compile(r"(?:\x1b\[1A\x1b\[2K)+")
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\r")


class Terminal:
    """One program; its window is large enough to show everything.

    Args:
        argv: What to run.
        cwd: Where.
        env: Its whole environment.

    Attributes:
        process: The program.
    """

    def __init__(self, argv: Sequence[str | Path], *, cwd: Path, env: Mapping[str, str]) -> None:
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", _LINES, _COLUMNS, 0, 0))
        # readline, which pytest-xdist's workers load, sets the size of another window.
        env = {name: value for name, value in env.items() if name not in ("LINES", "COLUMNS")}
        self.process = subprocess.Popen(
            argv, cwd=cwd, env={**env, "TERM": "xterm-256color"}, stdin=slave, stdout=slave, stderr=slave,
            start_new_session=True,
        )  # fmt: skip
        os.close(slave)
        self._written = ""
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        while True:
            try:
                part = os.read(self._master, 65536)
            except OSError:  # the program has ended
                part = b""
            if not part:
                break
            self._written = (self._written + part.decode(errors="replace"))[-_KEPT_CHARACTERS:]

    def view(self) -> str:
        """The newest view that is drawn whole, words with single spaces between them."""
        drawn = _REDRAWN.split(self._written)
        return _words(drawn[-2] if len(drawn) > 1 else drawn[-1])

    def written(self) -> str:
        """Everything that it wrote lately."""
        return _words(self._written)

    def close(self) -> None:
        """After the program's end."""
        self._thread.join(timeout=60)
        os.close(self._master)


def _words(text: str) -> str:
    return " ".join(_CONTROL.sub("", text).split())
