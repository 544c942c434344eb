"""Free TCP ports on 127.0.0.1 for test servers; waiting for one to answer is in services/process.py."""

from __future__ import annotations

import random
import socket

# Below the ports of outgoing connections: while a server restarts, nobody takes its port.
_RANGE = range(10_000, 32_000)


def free_ports(count: int) -> tuple[int, ...]:
    """Different ports that nobody listens on at this moment, drawn so that other workers draw others."""
    found: list[int] = []
    for port in random.SystemRandom().sample(_RANGE, k=len(_RANGE)):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        found.append(port)
        if len(found) == count:
            return tuple(found)
    raise RuntimeError(f"No {count} free ports between {_RANGE.start} and {_RANGE.stop}: end what uses them.")
