"""The publisher as a process: `python -m orchestration.serving`; SIGTERM or SIGINT ends it politely."""

import os
import signal
import sys

from ingestion.errors import MillraceError
from ingestion.settings import load_settings
from orchestration.serving.publisher import Publisher


def main() -> int:
    """Publish until a signal; returns the exit code."""
    ended = False
    awake, wake = os.pipe()

    def end(*_: object) -> None:
        nonlocal ended
        ended = True
        os.write(wake, b"x")

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    try:
        Publisher(load_settings()).run(awake, lambda: ended)
    except MillraceError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
