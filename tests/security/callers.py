"""Whom the Python processes of a system connected to, by an audit hook in each of them.

Native code is not seen: DuckDB's downloads are switched off by a setting, librdkafka only knows our brokers.
"""

import json
import os
from pathlib import Path
from typing import Any


def watched(file: Path) -> dict[str, str]:
    """The environment in which Python processes write every connection and look-up to a file."""
    return {"PYTHONPATH": str(Path(__file__).with_name("connections")), "MILLRACE_TEST_SEEN": str(file)}


def calls(file: Path) -> list[dict[str, Any]]:
    """Each with its event, host and program."""
    return [json.loads(line) for line in file.read_text().splitlines()]


def strangers(file: Path) -> set[str]:
    """Hosts beyond this machine that were called or looked up."""
    return {str(call["host"]) for call in calls(file) if not _is_local(str(call["host"]))}


def _is_local(host: str) -> bool:
    """Loopback, a Unix socket's path, or this machine's own name."""
    return (
        host in ("::1", "localhost", "0.0.0.0", "::", "", "None")
        or host.startswith(("/", "\x00", "127."))
        or host == os.uname().nodename
    )
