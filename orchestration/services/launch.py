"""How a child process is launched: as which user, and with which signal when its parent dies.

It only builds argument prefixes; starting and stopping belong to process.py.
See setpriv(1), capabilities(7) and PR_SET_PDEATHSIG in prctl(2).
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from functools import cache

# Does what setpriv does where setpriv is missing (not the capabilities), then becomes the command.
_WRAPPER = """
import ctypes, os, sys
number, parent, uid, gid = map(int, sys.argv[1:5])
if uid >= 0:
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)
if number:
    ctypes.CDLL(None).prctl(1, number, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit("the parent died before the command started")
os.execv(sys.argv[5], sys.argv[5:])
"""


@dataclass(frozen=True, slots=True)
class Account:
    """The unprivileged user a child of root runs as.

    Attributes:
        uid: Numeric user id.
        gid: Numeric group id; the child has no supplementary groups.
        reads_everything: Whether the child keeps CAP_DAC_READ_SEARCH, which lets it pass through and read
            (never write) what lies below folders that only root may enter.
    """

    uid: int
    gid: int
    reads_everything: bool = False


@cache
def setpriv() -> str | None:
    """Path of a setpriv that knows parent-death signals, or None (not Linux, or the small one of BusyBox)."""
    path = shutil.which("setpriv") if sys.platform == "linux" else None
    if path is None:
        return None
    probe = subprocess.run([path, "--pdeathsig", "TERM", "--", path, "--version"], capture_output=True)
    return path if probe.returncode == 0 else None


def launch_prefix(*, account: Account | None, death_signal: signal.Signals | None) -> tuple[str, ...]:
    """Arguments to put before a command.

    Args:
        account: The user to become; None keeps the present one. Only root can change it.
        death_signal: What the kernel sends to the child when the *thread* that started it ends; None, or any
            system but Linux, for no signal.

    Returns:
        The prefix, empty when nothing is asked for. The command after it needs an absolute path.
    """
    if sys.platform != "linux":
        death_signal = None
    if account is None and death_signal is None:
        return ()
    tool = setpriv()
    if tool is None:
        return _wrapper_prefix(account, death_signal)
    options: list[str] = []
    if account is not None:
        options += ["--reuid", str(account.uid), "--regid", str(account.gid), "--clear-groups"]
        options += ["--no-new-privs"]
    if account is not None and account.reads_everything:
        # access(2) ignores capabilities of a non-root user unless no_setuid_fixup is set; PostgreSQL uses it.
        options += ["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]
        options += ["--bounding-set=-all,+dac_read_search", "--securebits=+no_setuid_fixup"]
    elif account is not None:
        options += ["--inh-caps=-all"]
    if death_signal is not None:
        options += ["--pdeathsig", death_signal.name.removeprefix("SIG")]
    return (tool, *options, "--")


def _wrapper_prefix(account: Account | None, death_signal: signal.Signals | None) -> tuple[str, ...]:
    uid, gid = (account.uid, account.gid) if account is not None else (-1, -1)
    numbers = (int(death_signal or 0), os.getpid(), uid, gid)
    return (sys.executable, "-I", "-S", "-c", _WRAPPER, *map(str, numbers))
