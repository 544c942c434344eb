"""A publisher that kills itself at a place: `python -m tests.serving.victim SETTINGS PLACE PASSES`."""

import json
import os
import signal
import sys

from ingestion.faultpoints import install_hook
from ingestion.settings import load_settings
from orchestration.serving.publisher import Publisher


def main(values: str, place: str, passes: str) -> None:
    """Publish until SIGTERM, or until a place was passed so often."""
    passed = 0

    def die(name: str) -> None:
        nonlocal passed
        passed += name == place
        if name == place and passed == int(passes):
            os.kill(os.getpid(), signal.SIGKILL)

    install_hook(die)
    awake, wake = os.pipe()
    ended = False

    def end(*_: object) -> None:
        nonlocal ended
        ended = True
        os.write(wake, b"x")

    signal.signal(signal.SIGTERM, end)
    Publisher(load_settings(**json.loads(values))).run(awake, lambda: ended)


if __name__ == "__main__":
    main(*sys.argv[1:])
