"""Free TCP ports on 127.0.0.1 for test servers; waiting for one to answer is in services/process.py."""

from __future__ import annotations

from orchestration.services.process import free_port


def free_ports(count: int) -> tuple[int, ...]:
    """Different ports that nobody listens on at this moment, drawn so that other workers draw others."""
    found: set[int] = set()
    while len(found) < count:
        found.add(free_port())
    return tuple(found)
