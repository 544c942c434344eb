"""Messages that the broker threw away because a client's queue was full, as Mosquitto counts them."""

import json
from contextlib import suppress
from pathlib import Path

from ingestion.errors import StorageError
from ingestion.json_file import write_json

TOPIC = "$SYS/broker/publish/messages/dropped"
"""Where Mosquitto publishes how many it has dropped since its start, for all of its clients."""


class DropCounter:
    """How the broker's count grew, also while nobody looked.

    Args:
        path: The file that keeps the newest count.
        broker: host:port; another broker begins another count.

    Attributes:
        dropped: Messages since this process began, and between it and the one before.
    """

    def __init__(self, path: Path, broker: str) -> None:
        self.dropped = 0
        self._path, self._broker = path, broker
        self._count: int | None = None
        with suppress(OSError, ValueError, KeyError, TypeError):
            kept = json.loads(path.read_text(encoding="utf-8"))
            self._count = int(kept["count"]) if kept["broker"] == broker else None

    def saw(self, payload: bytes) -> bool:
        """Take a count that the broker published; returns whether it grew."""
        try:
            count = int(payload)
        except ValueError:
            return False
        before, self._count = self._count, count
        if count == before:
            return False
        with suppress(StorageError):  # the spool reports a full disk
            write_json(self._path, {"broker": self._broker, "count": count})
        # A broker that was restarted counts from zero.
        more = 0 if before is None else count - before if count > before else count
        self.dropped += more
        return more > 0

    @property
    def warning(self) -> str:
        """What was lost and what to do about it, as one sentence; empty while nothing was."""
        if not self.dropped:
            return ""
        return (
            f"the MQTT broker at {self._broker} dropped {self.dropped} messages from full queues (it counts "
            "those of all clients together); raise max_queued_messages in its configuration"
        )
