"""`millrace collect`: the collectors in the foreground."""

import signal
import threading

from ingestion.collect.collector import Collector
from ingestion.connectors.registry import collecting_connectors, is_collected
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
    kinds = {stream.kind for stream in streams if is_collected(stream.source)}
    collectors = [
        Collector(settings, streams, connector=connector)
        for connector in collecting_connectors()
        if connector.kind in kinds
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
