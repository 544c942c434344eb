"""`millrace collect`: the collectors in the foreground."""

import signal
import threading

from ingestion.collect.collector import Collector
from ingestion.collect.members import members
from ingestion.declare.stream import Stream
from ingestion.errors import ConfigError
from ingestion.settings import Settings
from orchestration.cli.context import err


def collect(settings: Settings, streams: tuple[Stream, ...]) -> None:
    """Collect until Ctrl-C or SIGTERM; what has been received is stored and acknowledged first.

    Raises:
        ConfigError: No stream is declared whose senders wait for an acknowledgement.
    """
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    collectors = [
        Collector(settings, streams, connector=each.connector, number=each.number)
        for each in members(settings, streams)
    ]
    if not collectors:
        raise ConfigError(f"no stream of {settings.streams_file} is collected; declare one to collect it")
    for collector in collectors:
        address = collector.listener.status().address
        err.print(f"collecting from {address}; Ctrl-C stops", markup=False)
    first, *others = collectors
    threads = [threading.Thread(target=collector.run, args=(stop,)) for collector in others]
    for thread in threads:
        thread.start()
    try:
        first.run(stop)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
