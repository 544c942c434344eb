"""Reports to systemd, if it has started this process: ready, alive, stopping, and how things are.

The protocol is a datagram of NAME=value lines to the socket that NOTIFY_SOCKET names, see sd_notify(3).
"""

import socket
from collections.abc import Sequence
from contextlib import suppress

from orchestration.conditions.condition import Condition
from orchestration.records.system_state import ServiceRow

_SEND_SECONDS = 1.0


class ServiceManager:
    """Whoever has started this process and wants to know how it is; without one, nothing is sent.

    Args:
        address: A socket's path, or @ and a name in the abstract namespace (unix(7)); empty for none.
    """

    def __init__(self, address: str) -> None:
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        self._shown = ""

    def status(self, text: str) -> None:
        """Show a line in `systemctl status`."""
        line = " ".join(text.split())
        if line != self._shown:
            self._send(f"STATUS={line}")
        self._shown = line

    def ready(self) -> None:
        """Everything has started."""
        self._send("READY=1")

    def alive(self) -> None:
        """The caller's loop goes round; without this for WatchdogSec, systemd restarts the service."""
        self._send("WATCHDOG=1")

    def stopping(self) -> None:
        """The end has begun."""
        self._send("STOPPING=1", "STATUS=stopping")

    def _send(self, *lines: str) -> None:
        if not self._address:
            return
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.settimeout(_SEND_SECONDS)  # what runs does not wait for who watches it
            sender.sendto("\n".join(lines).encode(), self._address)


def describe(services: Sequence[ServiceRow], conditions: Sequence[Condition]) -> str:
    """How a running system is, in one line: what is down, and the first of what does not work."""
    down = [row.name for row in services if not row.running]
    parts = [f"{len(services) - len(down)} of {len(services)} services run"]
    if down:
        parts.append(f"down: {', '.join(down)}")
    if conditions:
        more = f" (and {len(conditions) - 1} more)" if len(conditions) > 1 else ""
        parts.append(f"{conditions[0].finding.sentence}{more}")
    return "; ".join(parts)
