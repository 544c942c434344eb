"""A batch that lands events without moving positions: kept bytes, a replay, or what was given (unrouted.py).

Its windows are empty. Events, ledger rows and resolutions are one transaction. Rules: docs/delivery.md.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import pyarrow as pa

from ingestion.formats.decode import Decode, Decoded
from ingestion.lake.lake import Lake
from ingestion.lake.ledger import read_state
from ingestion.lake.loader import Loader
from ingestion.log.envelope import BATCH_SCHEMA, RESOLUTION_SCHEMA
from ingestion.log.positions import Position

Resolve = Callable[[pa.Table, int], Sequence[Mapping[str, Any]]]
"""(landed events, batch id) → a row of raw.reject_resolutions for each event."""


@dataclass(frozen=True)
class Repairer:
    """Lands events of one stream, under its writer lock.

    Attributes:
        lake: The lake.
        stream: The stream's name.
        decode: Today's decoder.
        clock: Returns the present, UTC.
        before_commit: Checks that the lock is still there.
        known: Partition → its position, of those that the ledger may not know yet.
    """

    lake: Lake
    stream: str
    decode: Decode
    clock: Callable[[], datetime]
    before_commit: Callable[[], None]
    known: Mapping[str, Position] = field(default_factory=dict)

    def land(self, events: pa.Table, resolve: Resolve) -> tuple[int | None, frozenset[str]]:
        """Land what decodes of some events.

        Args:
            events: Rows of SOURCE_SCHEMA; none of them is in raw.
            resolve: Makes the resolutions.

        Returns:
            The batch's number, None when nothing decodes; and the ids of the events that are in raw now.

        Raises:
            BatchFailed: The load was rolled back.
        """
        batch_id, now = read_state(self.lake, self.stream).last_batch_id + 1, self.clock()
        decoded = self.decode(
            events,
            stream=self.stream,
            batch_id=batch_id,
            ingested_at=now,
            max_bytes=self.lake.settings.payload_max_bytes,
        )
        if not decoded.events.num_rows:
            return None, frozenset()
        resolutions = [{"resolved_at": now} | dict(row) for row in resolve(decoded.events, batch_id)]
        tables = {
            self.stream: decoded.events,
            "batches": self._ledger_rows(decoded, batch_id=batch_id, started_at=now),
            "reject_resolutions": pa.Table.from_pylist(resolutions, schema=RESOLUTION_SCHEMA),
        }
        Loader(self.lake).load(self.stream, tables, before_commit=self.before_commit)
        return batch_id, frozenset(decoded.events["event_id"].to_pylist())

    def _ledger_rows(self, decoded: Decoded, *, batch_id: int, started_at: datetime) -> pa.Table:
        """One row a partition; its window is empty and stands at the ledger's position."""
        positions = {**self.known, **read_state(self.lake, self.stream).positions}
        sized = decoded.events.select(["source_partition"]).append_column("bytes", decoded.event_bytes)
        counts = sized.group_by("source_partition").aggregate([([], "count_all"), ("bytes", "sum")])
        rows = [
            {
                "stream": self.stream,
                "batch_id": batch_id,
                "source_partition": row["source_partition"],
                "log_id": position.log_id,
                "start_position": position.next,
                "end_position": position.next,
                "log_end_position": position.known_end,
                "events_read": row["count_all"],
                "events_landed": row["count_all"],
                "events_rejected": 0,
                "bytes_read": row["bytes_sum"],
                "started_at": started_at,
                "ingested_at": started_at,
                "retired": position.retired or None,
                "last_event": position.last_event,
                "log_end_proof": position.end_proof,
            }
            for row in counts.to_pylist()
            for position in [positions[row["source_partition"]]]
        ]
        return pa.Table.from_pylist(rows, schema=BATCH_SCHEMA)
