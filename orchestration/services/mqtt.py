"""An embedded MQTT 3.1.1 broker: amqtt, in a child process. For the demo only.

It keeps sessions and messages in memory, and refuses MQTT 5. Production points at a real broker;
durability tests use tests/servers/mosquitto.py. What the child runs is mqtt_broker.py.
"""

from __future__ import annotations

import sys
from pathlib import Path

from orchestration.services.broker import EmbeddedBroker
from orchestration.services.process import ProcessSpec, accepts_tcp, free_port


class EmbeddedMqtt(EmbeddedBroker):
    """The broker; nothing is started yet.

    Args:
        folder: Where its log goes.
        port: TCP port; 0 takes a free one, which is kept for restarts.
        die_with_parent: Whether the broker ends when the starting thread does.
    """

    def __init__(self, folder: Path, *, port: int = 0, die_with_parent: bool = True) -> None:
        port = port or free_port()
        spec = ProcessSpec(
            name="mqtt",
            argv=(sys.executable, "-P", "-m", "orchestration.services.mqtt_broker", "--port", str(port)),
            log_folder=folder / "log",
            ready=lambda: accepts_tcp(port),
            ready_timeout_s=60,
        )
        super().__init__(spec, port=port, die_with_parent=die_with_parent)
