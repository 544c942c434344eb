"""`millrace collect`: the MQTT collector in the foreground."""

import signal
import threading

from ingestion.collect.collector import Collector
from ingestion.declare.stream import Stream
from ingestion.settings import Settings
from orchestration.cli.context import err


def collect(settings: Settings, streams: tuple[Stream, ...]) -> None:
    """Collect until Ctrl-C or SIGTERM; what has been received is stored and acknowledged first."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    collector = Collector(settings, streams)
    err.print(f"collecting from {settings.mqtt_host}:{settings.mqtt_port}; Ctrl-C stops", markup=False)
    collector.run(stop)
