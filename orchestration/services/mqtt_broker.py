"""The child process of mqtt.py: serves MQTT 3.1.1 on 127.0.0.1 until SIGTERM or SIGINT.

Run by itself: `python -m orchestration.services.mqtt_broker --port N`.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal

from amqtt.broker import Broker
from amqtt.plugins.base import BaseAuthPlugin
from amqtt.session import Session


class AdmitEverybody(BaseAuthPlugin):  # type: ignore[misc]  # amqtt is untyped for us
    """Admits every client and keeps its persistent session, which amqtt's anonymous plugin takes away."""

    async def authenticate(self, *, session: Session) -> bool:
        """Always True."""
        return True


async def serve(port: int) -> None:
    """Serve on 127.0.0.1 until SIGTERM or SIGINT.

    Args:
        port: TCP port.
    """
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    plugin = f"orchestration.services.mqtt_broker.{AdmitEverybody.__name__}"
    broker = Broker(
        {
            "listeners": {"default": {"type": "tcp", "bind": f"127.0.0.1:{port}"}},
            # Naming the plugins leaves out the default ones: packet logging and $SYS statistics.
            "plugins": {plugin: {}},
        }
    )
    await broker.start()
    await stopped.wait()
    await broker.shutdown()


def main() -> None:
    """Read the port from the command line and serve."""
    parser = argparse.ArgumentParser(description="Embedded MQTT 3.1.1 broker for the demo, loopback only.")
    parser.add_argument("--port", type=int, required=True, help="TCP port to listen on")
    port: int = parser.parse_args().port
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    # A client that closes its connection is not an error worth a line in the log.
    logging.getLogger("amqtt.broker").setLevel(logging.CRITICAL)
    asyncio.run(serve(port))


if __name__ == "__main__":
    main()
