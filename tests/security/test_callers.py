"""A search that finds nothing has to be able to find something."""

import os
import subprocess
import sys
from pathlib import Path

from tests.security.callers import strangers, watched


def test_a_call_to_a_stranger_is_seen(tmp_path: Path) -> None:
    code = (
        "import socket\ntry: socket.create_connection(('192.0.2.1', 9), timeout=0.05)\nexcept OSError: pass"
    )
    environment = os.environ | watched(tmp_path / "seen")
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)
    assert strangers(tmp_path / "seen") == {"192.0.2.1"}
