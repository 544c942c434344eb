"""A collector as a process: `python -m ingestion.collect KIND[-NUMBER]`; SIGTERM ends it politely."""

import signal
import sys
import threading

import ingestion.telemetry.plain_tracebacks  # noqa: F401 - before what logs

# isort: split
from ingestion.collect.collector import Collector
from ingestion.collect.members import Member
from ingestion.declare.file import declared_streams
from ingestion.errors import MillraceError
from ingestion.settings import load_settings


def main(arguments: list[str]) -> int:
    """Collect until a signal; returns the exit code.

    Args:
        arguments: The collector: its kind, and for a further one its number (members.py, Member.key).
    """
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        settings = load_settings()
        (member,) = (found for name in arguments if (found := Member.keyed(name)))
        streams = declared_streams(settings)
        Collector(settings, streams, connector=member.connector, number=member.number).run(stop)
    except MillraceError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
