"""An emulated Kinesis on 127.0.0.1: moto's server, where it is installed. For the demo only.

It keeps everything in memory and forgets it when it stops. Production points at AWS.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from ingestion.libraries import installed
from orchestration.services.broker import EmbeddedBroker
from orchestration.services.process import ProcessSpec, accepts_tcp, free_port

_LIBRARIES = ("moto", "flask", "flask_cors")
"""Of `moto[server]`."""


def is_moto_installed() -> bool:
    """Whether the emulator's server can be started."""
    return installed(_LIBRARIES) == _LIBRARIES


class EmulatedKinesis(EmbeddedBroker):
    """The emulator; nothing is started yet.

    Args:
        folder: Where its log goes.
        port: TCP port; 0 takes a free one, which is kept for restarts.
    """

    def __init__(self, folder: Path, *, port: int = 0) -> None:
        port = port or free_port()
        spec = ProcessSpec(
            name="kinesis",
            argv=(sys.executable, "-P", "-m", "moto.server", "-H", self.host, "-p", str(port)),
            log_folder=folder / "log",
            ready=lambda: accepts_tcp(port),
            ready_timeout_s=60,
            env={"PATH": os.defpath, "HOME": str(folder)},
        )
        super().__init__(spec, port=port, die_with_parent=True)
