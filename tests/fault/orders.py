"""The other end of worker.py: sends orders to the forking process and gets exits back."""

import json
import subprocess
import sys
from typing import Any

from ingestion.connectors.kafka.access import KafkaAccess
from ingestion.declare.stream import Stream
from ingestion.settings import Settings
from tests.fault.worker import REFUSED
from tests.repository import REPOSITORY


class Worker:
    """The forking process; `run` returns a child's exit code.

    Attributes:
        refused: Why the last run was refused; empty when it was not.
    """

    def __init__(self, module: str = "tests.fault.worker") -> None:
        self.refused = ""
        self._process = subprocess.Popen(
            [sys.executable, "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=REPOSITORY,
        )

    def run(self, **order: Any) -> int:
        assert self._process.stdout is not None
        self.refused = ""
        self.tell(order)
        while not (answer := self._process.stdout.readline()).lstrip("-").strip().isdigit():
            assert answer, "the worker has ended"  # else a line of the product's log
            if answer.startswith(REFUSED):
                self.refused = answer.removeprefix(REFUSED).strip()
                print(self.refused, file=sys.stderr)
        return int(answer)

    def tell(self, message: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(message, default=str) + "\n")
        self._process.stdin.flush()

    def close(self) -> None:
        self._process.communicate(timeout=60)


def order_for(stream: Stream, settings: Settings, **limits: Any) -> dict[str, Any]:
    """What a worker has to know to ingest a stream.

    Args:
        stream: The stream.
        settings: Where the lake and the broker are.
        limits: Further settings.
    """
    assert settings.catalog is not None
    formats = {"format": stream.format, "key": stream.key}
    declared = {role: each.declared() for role, each in formats.items() if each is not None}
    return {
        "stream": stream.model_dump(mode="json", exclude=set(formats)) | declared,
        "settings": {
            "data_dir": settings.data_dir,
            "catalog": settings.catalog.get_secret_value(),
            "kafka_bootstrap_servers": settings.access("kafka", KafkaAccess).bootstrap_servers,
            **limits,
        },
    }
