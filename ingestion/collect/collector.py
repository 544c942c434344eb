"""The collector: what a listener receives → spools, acknowledged once it is on disk. It knows no broker.

One thread: take in what is there, commit it, acknowledge it, so that fsync paces the senders.
What may come twice and why: docs/delivery.md; batches read through spool/log.py.
"""

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import structlog

from ingestion.collect.asked import AskedLake
from ingestion.collect.guard import GuardedListener
from ingestion.collect.members import Member
from ingestion.collect.status import state_folder, status_file
from ingestion.connectors.intake import NOBODY, Receipt, Whereabouts
from ingestion.connectors.listener import Listener, ListenerStatus
from ingestion.connectors.port import CollectingConnector
from ingestion.connectors.registry import require_libraries
from ingestion.connectors.secrets import secrets_of
from ingestion.declare.stream import Stream
from ingestion.errors import ConfigError, MillraceError, StorageError
from ingestion.file_lock import lock_file
from ingestion.json_file import write_json
from ingestion.settings import Settings
from ingestion.spool.guarded import Held, Limits
from ingestion.spool.intake import Intake
from ingestion.spool.lanes import Place, Placed
from ingestion.spool.reader import OlderSegments, Stretch
from ingestion.spool.unrouted import OpenCount, unrouted_name
from ingestion.spool.writer import SpoolEvent

STATUS_SECONDS = 1.0
_TURN_SECONDS = 0.1

_log = structlog.get_logger(__name__)


class _Taken(NamedTuple):
    """A listener's receipt, and when its event was received (microseconds since 1970 UTC)."""

    receipt: Receipt
    received_us: int


class Collector:
    """Fills the spools of one kind's streams until it is stopped.

    Args:
        settings: Access and data folder.
        streams: The declared streams; those of other kinds are left out.
        connector: The kind.
        number: Which of the kind's collectors it is (members.py).
        limits: Sizes and waits of the group commit.

    Attributes:
        marts: Reads marts (connectors/intake.py).

    Raises:
        ConfigError: No stream of the kind is declared, or its access is incomplete.
        StreamBusy: Another collector of this kind runs on this data folder.
        StorageError: A spool cannot be opened.
    """

    def __init__(
        self,
        settings: Settings,
        streams: Sequence[Stream],
        *,
        connector: CollectingConnector,
        number: int = 0,
        limits: Limits | None = None,
    ) -> None:
        member = Member(connector, number)
        sources = {stream.name: stream.source for stream in streams if member.takes(stream)}
        if not sources:
            raise ConfigError(
                f"no {connector.kind.upper()} stream is declared in {settings.streams_file} that has to be "
                "collected; add one"
            )
        self._limits = limits or Limits()
        self._status_file = status_file(settings.data_dir, connector, number)
        self._turn_events = self._turn_bytes = 0
        self._turn_end = 0.0
        self._events = self._bytes = 0
        self._slowest_us = 0
        self._written_at, self._written_events, self._rate = time.monotonic(), 0, 0.0
        self._written_ready = self._has_unrouted = False
        folder = state_folder(settings.data_dir, connector, number)
        unrouted = unrouted_name(member.name)
        self._unrouted = OpenCount(settings.data_dir / "spool" / unrouted)
        self.marts = AskedLake(settings)
        self._lock = _lock(folder)
        try:
            require_libraries(connector.kind, connector.libraries, extra=connector.extra)
            access = settings.access(connector.kind, connector.access)
            self._listener = GuardedListener(
                lambda: connector.open_listener(
                    sources,
                    access,
                    state=folder,
                    intake=self,
                    timeout_seconds=settings.source_timeout_seconds,
                ),
                intake=self,
                kind=connector.kind,
                secrets=lambda: secrets_of(access),
            )
            self._spools: Intake[_Taken] = Intake(
                settings.data_dir / "spool", list(sources), limits=self._limits, unrouted=unrouted,
                collector=number,
            )  # fmt: skip
        except MillraceError:
            os.close(self._lock)
            raise

    @property
    def listener(self) -> Listener:
        """The senders' side, as it was opened last."""
        return self._listener.latest

    def run(self, stop: threading.Event) -> None:
        """Collect until `stop` is set; then commit and acknowledge what is there, and leave."""
        try:
            self._write_status(time.monotonic())
            while not stop.is_set():
                self._turn()
        finally:
            self._acknowledge(at_once=True)
            self._listener.close()
            self._write_status(time.monotonic())
            self._spools.close()
            self.marts.close()
            os.close(self._lock)

    def take(
        self,
        event: SpoolEvent,
        streams: tuple[str, ...],
        *,
        receipt: Receipt,
        lane: str,
        placed: Placed | None = None,
    ) -> None:
        """Let an event wait for the next commit (connectors/intake.py)."""
        if not self._turn_events:
            self._turn_end = time.monotonic() + self._limits.commit_seconds
        if not streams and self._spools.unrouted is None and not self._has_unrouted:
            self._has_unrouted = True
            _log.warning("messages come that no stream takes; 'millrace unrouted list' shows them")
        self._spools.take(
            event, streams, receipt=_Taken(receipt, event.received_us), lane=lane, placed=placed
        )
        size = len(event.value or b"")
        self._turn_events += 1
        self._turn_bytes += size
        self._events += 1
        self._bytes += size

    def held(self, stream: str) -> Held | None:
        """Why nothing is stored for a stream at the moment (connectors/intake.py)."""
        return self._spools.held(stream)

    def whereabouts(self, place: Place, count: int) -> Whereabouts | None:
        """Where events are that were stored from a place on (connectors/intake.py)."""
        return self.marts.find(place, count)

    def kept(self, stream: str, *, after: Place | OlderSegments | None) -> Iterator[Stretch]:
        """What a stream's spool holds durably (connectors/intake.py)."""
        return self._spools.kept(stream, after=after)

    def waiting_of(self, lane: str) -> int:
        """How many events of a lane are not acknowledged yet (connectors/intake.py)."""
        return self._spools.waiting_of(lane)

    def revise(self, revised: Callable[[Receipt], Receipt | None]) -> None:
        """Change the receipts of what waits (connectors/intake.py)."""

        def each(taken: _Taken) -> _Taken | None:
            if taken.receipt is NOBODY:
                return taken
            receipt = revised(taken.receipt)
            return None if receipt is None else taken._replace(receipt=receipt)

        self._spools.revise(each)

    def status(self) -> dict[str, Any]:
        """How it goes: counts since the start, rates over the last second, and what is wrong."""
        listener, blocked = self._listener.status(), self._spools.errors
        return {
            "pid": os.getpid(),
            "updated_at": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "broker": listener.address,
            "connected": listener.connected,
            "subscribed": listener.ready,
            "error": listener.error or next(iter(blocked.values()), ""),
            "messages": self._events,
            "bytes": self._bytes,
            "messages_per_second": round(self._rate, 1),
            "slowest_acknowledgement_ms": round(self._slowest_us / 1_000, 1),
            "unacknowledged": self._spools.waiting,
            "unrouted": self._count_unrouted(),
            "warning": listener.warning,
            "spool_bytes": self._spools.spool_bytes,
            "spool_max_bytes": self._limits.spool_max_bytes,
            "blocked": bool(blocked),
            "blocked_streams": blocked,
            "positions": self._spools.positions,
            **listener.figures,
        }

    def _turn(self) -> None:
        self._turn_events = self._turn_bytes = 0
        self._listener.pump(_TURN_SECONDS, more=self._may_take_more)
        self._acknowledge()
        now = time.monotonic()
        if now - self._written_at >= STATUS_SECONDS or self._listener_status().ready != self._written_ready:
            self._write_status(now)

    def _listener_status(self) -> ListenerStatus:
        return self._listener.status()

    def _may_take_more(self, lane: str) -> bool:
        if self._spools.is_overfull(lane):
            return False
        if not self._turn_events:
            return True
        return (
            self._turn_events < self._limits.commit_events
            and self._turn_bytes < self._limits.commit_bytes
            and time.monotonic() < self._turn_end
        )

    def _acknowledge(self, *, at_once: bool = False) -> None:
        """Commit what waits, and acknowledge what is durable then."""
        durable = self._spools.commit(at_once=at_once)
        if durable:
            self._listener.acknowledge(each.receipt for each in durable if each.receipt is not NOBODY)
            received_us = min(taken.received_us for taken in durable)
            self._slowest_us = max(self._slowest_us, time.time_ns() // 1_000 - received_us)

    def _count_unrouted(self) -> int:
        """Events that no stream takes and nobody has given to one or discarded."""
        spool = self._spools.unrouted
        return self._unrouted.of(spool.log_id, spool.first, spool.durable) if spool else 0

    def _write_status(self, now: float) -> None:
        elapsed = max(now - self._written_at, 1e-3)
        self._rate = (self._events - self._written_events) / elapsed
        self._written_at, self._written_events = now, self._events
        status = self.status()
        self._written_ready = bool(status["subscribed"])
        try:
            write_json(self._status_file, status)
        except StorageError as error:
            if not self._spools.errors:
                _log.warning(str(error))
        self._slowest_us = 0


def _lock(folder: Path) -> int:
    """Two collectors with one name at the broker would disconnect each other for ever."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return lock_file(folder / "lock", what=f"the collector's folder {folder}")
    except OSError as error:
        raise StorageError(
            f"{folder} cannot be written ({error.strerror}); repair its permissions or set MILLRACE_DATA_DIR"
        ) from None
