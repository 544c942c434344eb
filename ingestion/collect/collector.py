"""The long-running listener: MQTT messages → spool, acknowledged once they are on disk.

One thread: take in what is there, commit it, acknowledge it, so that fsync paces the broker.
What may come twice and why: docs/delivery.md; the lake reads through spool/log.py.
"""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import structlog

from ingestion.connectors.mqtt import drops as mqtt_drops
from ingestion.connectors.mqtt.connection import MqttConnection
from ingestion.connectors.mqtt.drops import DropCounter
from ingestion.connectors.mqtt.message import MqttMessage, event_of, identifiers_of
from ingestion.connectors.mqtt.retry import Retry
from ingestion.connectors.mqtt.session import SessionFile, session_file
from ingestion.connectors.mqtt.topics import Router
from ingestion.declare.file import load_streams
from ingestion.declare.stream import Stream
from ingestion.errors import ConfigError, MillraceError, StorageError
from ingestion.file_lock import lock_file
from ingestion.json_file import write_json
from ingestion.settings import Settings, load_settings
from ingestion.spool.intake import Intake, Limits
from ingestion.spool.writer import SpoolEvent

STATUS_SECONDS = 1.0
_TURN_SECONDS = 0.1

_log = structlog.get_logger(__name__)


def status_file(data_dir: Path) -> Path:
    """Where a running collector writes its status, once a second."""
    return data_dir / "collector" / "status.json"


class _Receipt(NamedTuple):
    """Which message of which connection to acknowledge; QoS 0 has the message id 0 and needs none."""

    generation: int
    message_id: int
    received_us: int


class Collector:
    """Fills the spools of the MQTT streams until it is told to stop.

    Args:
        settings: Broker, credentials and data folder.
        streams: The declared streams; others than MQTT are left out.
        limits: Sizes and waits of the group commit.
        retry: Waits between connections.
        clock: Microseconds since 1970 UTC.

    Attributes:
        connection: The broker's side.

    Raises:
        ConfigError: No MQTT stream or no broker is configured.
        StreamBusy: Another collector runs on this data folder.
        StorageError: A spool cannot be opened.
    """

    def __init__(
        self,
        settings: Settings,
        streams: Sequence[Stream],
        *,
        limits: Limits | None = None,
        retry: Retry | None = None,
        clock: Callable[[], int] = lambda: time.time_ns() // 1_000,
    ) -> None:
        declared = [stream for stream in streams if stream.kind == "mqtt"]
        if not declared:
            raise ConfigError(f"no MQTT stream is declared in {settings.streams_file}; add one to collect it")
        self._limits = limits or Limits()
        self._clock = clock
        self._router = Router(declared)
        self._status_file = status_file(settings.data_dir)
        self._generation = 0
        self._turn_messages = self._turn_bytes = 0
        self._turn_end = 0.0
        self._messages = self._bytes = self._unrouted = 0
        self._slowest_us = 0
        self._told_at, self._told_messages, self._rate = time.monotonic(), 0, 0.0
        self._told_subscribed = False
        self._lock = _lock(self._status_file.parent)
        try:
            self.connection = MqttConnection(
                settings,
                SessionFile(session_file(settings.data_dir), settings.mqtt_client_id),
                subscriptions=self._router.subscriptions,
                on_message=self._take,
                watch="" if self._router.route(mqtt_drops.TOPIC) else mqtt_drops.TOPIC,
                retry=retry or Retry(),
            )
            self._drops = DropCounter(self._status_file.with_name("drops.json"), self.connection.address)
            names = [stream.name for stream in declared]
            self._intake: Intake[_Receipt] = Intake(settings.data_dir / "spool", names, limits=self._limits)
        except MillraceError:
            os.close(self._lock)
            raise

    def run(self, stop: threading.Event) -> None:
        """Collect until `stop` is set; then commit and acknowledge what is there, and leave the broker."""
        try:
            self._tell(time.monotonic())
            while not stop.is_set():
                self._turn()
        finally:
            self._acknowledge(at_once=True)
            self.connection.close()
            self._tell(time.monotonic())
            self._intake.close()
            os.close(self._lock)

    def status(self) -> dict[str, Any]:
        """How it goes: counts since the start, rates over the last second, and what is wrong."""
        return {
            "pid": os.getpid(),
            "updated_at": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "broker": self.connection.address,
            "connected": self.connection.connected,
            "subscribed": self.connection.subscribed,
            "error": self._intake.error or self.connection.error,
            "connections": self.connection.generation,
            "sessions_lost": self.connection.sessions_lost,
            "messages": self._messages,
            "bytes": self._bytes,
            "messages_per_second": round(self._rate, 1),
            "slowest_acknowledgement_ms": round(self._slowest_us / 1_000, 1),
            "unacknowledged": self._intake.waiting,
            "unrouted": self._unrouted,
            "dropped": self._drops.dropped,
            "warning": self._drops.warning,
            "spool_bytes": self._intake.spool_bytes,
            "spool_max_bytes": self._limits.spool_max_bytes,
            "blocked": bool(self._intake.error),
            "refused_subscriptions": dict(self.connection.refused),
            "positions": self._intake.positions,
        }

    def _turn(self) -> None:
        self._turn_messages = self._turn_bytes = 0
        if self._intake.overfull:
            time.sleep(_TURN_SECONDS)
        else:
            self.connection.pump(_TURN_SECONDS, more=self._may_take_more)
        if self.connection.generation != self._generation:
            self._generation = self.connection.generation
            self._connected_again()
        self._acknowledge()
        now = time.monotonic()
        if now - self._told_at >= STATUS_SECONDS or self.connection.subscribed != self._told_subscribed:
            self._tell(now)

    def _connected_again(self) -> None:
        """The broker sends again what is unacknowledged; if it forgot the session, ours is the only copy."""
        current, forgotten = self._generation, not self.connection.session_present

        def revised(receipt: _Receipt) -> _Receipt | None:
            if receipt.generation == current or not receipt.message_id:
                return receipt
            return receipt._replace(message_id=0) if forgotten else None

        self._intake.revise(revised)

    def _may_take_more(self) -> bool:
        if not self._turn_messages:
            return True
        return (
            self._turn_messages < self._limits.commit_events
            and self._turn_bytes < self._limits.commit_bytes
            and time.monotonic() < self._turn_end
        )

    def _take(self, message: MqttMessage) -> None:
        if not self._turn_messages:
            self._turn_end = time.monotonic() + self._limits.commit_seconds
        self._turn_messages += 1
        now = self._clock()
        try:
            event = event_of(message, now)
            streams = self._router.route(message.topic, identifiers_of(message))
        except UnicodeDecodeError:
            event, streams = SpoolEvent(b"", None, None, now), ()
        if not streams and event.key == mqtt_drops.TOPIC.encode():
            if self._drops.saw(event.value or b""):
                _log.warning(self._drops.warning)
            return
        if not streams and not self._unrouted:
            _log.warning("the broker sends messages that no stream declares; they are counted and dropped")
        self._unrouted += not streams
        message_id = message.mid if message.qos else 0
        self._intake.take(event, streams, receipt=_Receipt(self.connection.generation, message_id, now))
        size = len(event.value or b"")
        self._turn_bytes += size
        self._messages += 1
        self._bytes += size

    def _acknowledge(self, *, at_once: bool = False) -> None:
        """Commit what waits; tell the broker what is safe, as far as this connection brought it."""
        safe = self._intake.commit(at_once=at_once)
        if safe:
            current = self.connection.generation
            ours = (receipt.message_id for receipt in safe if receipt.generation == current)
            self.connection.acknowledge(message_id for message_id in ours if message_id)
            self._slowest_us = max(self._slowest_us, self._clock() - safe[0].received_us)

    def _tell(self, now: float) -> None:
        elapsed = max(now - self._told_at, 1e-3)
        self._rate = (self._messages - self._told_messages) / elapsed
        self._told_at, self._told_messages = now, self._messages
        self._told_subscribed = self.connection.subscribed
        try:
            write_json(self._status_file, self.status())
        except StorageError as error:
            if not self._intake.error:
                _log.warning(str(error))
        self._slowest_us = 0


def main() -> int:
    """Run a collector until SIGTERM or SIGINT; returns the exit code."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        settings = load_settings()
        Collector(settings, load_streams(settings.streams_file)).run(stop)
    except MillraceError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _lock(folder: Path) -> int:
    """Two collectors with one client id would throw each other out of the broker for ever."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return lock_file(folder / "lock", what=f"the collector's folder {folder}")
    except OSError as error:
        raise StorageError(
            f"{folder} cannot be written ({error.strerror}); repair its permissions or set MILLRACE_DATA_DIR"
        ) from None


if __name__ == "__main__":
    sys.exit(main())
