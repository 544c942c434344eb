"""A collector as a process: `python -m ingestion.collect KIND`; SIGTERM or SIGINT ends it politely."""

import signal
import sys
import threading

from ingestion.collect.collector import Collector
from ingestion.connectors.registry import collecting_connectors
from ingestion.declare.file import declared_streams
from ingestion.errors import MillraceError
from ingestion.settings import load_settings


def main(arguments: list[str]) -> int:
    """Collect until a signal; returns the exit code.

    Args:
        arguments: The kind to listen to.
    """
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        settings = load_settings()
        (connector,) = (each for each in collecting_connectors() if [each.kind] == arguments)
        Collector(settings, declared_streams(settings), connector=connector).run(stop)
    except MillraceError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
