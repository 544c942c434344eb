"""Writes batches into raw tables as ingestion would: rows and ledger in one transaction, batches numbered."""

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa

from ingestion.lake.lake import Lake
from ingestion.log.envelope import BATCH_SCHEMA, EVENT_SCHEMA, REJECT_SCHEMA

START = datetime(2026, 3, 1, 8, 0, tzinfo=UTC)


@dataclass(frozen=True)
class Event:
    """What a log holds: a payload (JSON object, text or None) and the broker's timestamp."""

    payload: dict[str, Any] | str | None
    at: datetime
    key: str | None = None
    ingested_at: datetime | None = None


@dataclass
class RawWriter:
    """Appends batches to the raw tables of one lake; counts batches and positions."""

    lake: Lake
    batches: dict[str, int] = field(default_factory=dict)
    positions: dict[str, int] = field(default_factory=dict)

    def add(self, stream: str, events: list[Event], *, partitions: int = 1) -> int:
        """Append one batch and return its number; events go round the partitions."""
        batch = self.batches[stream] = self.batches.get(stream, 0) + 1
        rows, starts = [], {}
        for number, event in enumerate(events):
            partition = f"{stream}-{number % partitions}"
            position = self.positions.get(partition, 0)
            starts.setdefault(partition, position)
            self.positions[partition] = position + 1
            payload = json.dumps(event.payload) if isinstance(event.payload, dict) else event.payload
            rows.append(
                {
                    "batch_id": batch,
                    "source_partition": partition,
                    "position": position,
                    "event_id": f"{partition}@{position}",
                    "event_key": event.key,
                    "payload": payload,
                    "headers": "{}",
                    "event_time": event.at,
                    "ingested_at": event.ingested_at or event.at + timedelta(seconds=1),
                }
            )
        ledger = [
            {
                "stream": stream,
                "batch_id": batch,
                "source_partition": partition,
                "log_id": "test",
                "start_position": start,
                "end_position": self.positions[partition],
                "log_end_position": self.positions[partition] + 2,
                "events_read": self.positions[partition] - start,
                "events_landed": self.positions[partition] - start,
                "events_rejected": 0,
                "bytes_read": 100,
                "first_event_time": min(event.at for event in events),
                "last_event_time": max(event.at for event in events),
                "started_at": max(event.at for event in events),
                "ingested_at": max(event.at for event in events) + timedelta(seconds=5),
            }
            for partition, start in starts.items()
        ]
        self._insert({stream: (rows, EVENT_SCHEMA), "batches": (ledger, BATCH_SCHEMA)})
        return batch

    def reject(self, stream: str, reasons: list[str], at: datetime) -> None:
        """Append rejects of a stream, outside any batch."""
        rows = [
            {"stream": stream, "event_id": f"{stream}-0@r{number}", "reason": reason, "payload_bytes": 7}
            | {"batch_id": 1, "ingested_at": at}
            for number, reason in enumerate(reasons)
        ]
        self._insert({"rejects": (rows, REJECT_SCHEMA)})

    def _insert(self, tables: dict[str, tuple[list[dict[str, Any]], pa.Schema]]) -> None:
        connection = self.lake.connection
        connection.execute("begin")
        for table, (rows, schema) in tables.items():
            connection.register("incoming", pa.Table.from_pylist(rows, schema=schema))
            connection.execute(f"insert into lake.raw.{table} by name select * from incoming")
            connection.unregister("incoming")
        connection.execute("commit")


def reading(
    number: int | str, machine: str | None, at: datetime, *, status: str = "running", **values: Any
) -> Event:
    """A telemetry event of a machine; `values` are further or other payload fields."""
    payload = {
        "reading_id": None if number == "" else f"r-{number}",
        "machine_id": machine,
        "line_id": f"line-{machine[-1]}" if machine else None,
        "measured_at": at.isoformat(),
        "temperature_celsius": 50.0,
        "vibration_mm_s": 2.0,
        "power_kw": 20.0,
        "status": status,
    } | values
    return Event(payload, at + timedelta(milliseconds=40), key=f"plant/line/{machine}/telemetry")


def order_event(number: int | str, order: str, stage: str, at: datetime, **values: Any) -> Event:
    """An order event; `values` are further or other payload fields."""
    payload = {
        "order_event_id": f"o-{number}",
        "order_id": order,
        "machine_id": "press-01",
        "product": "bracket",
        "quantity": 10,
        "event": stage,
        "occurred_at": at.isoformat(),
    } | values
    return Event(payload, at + timedelta(milliseconds=15), key=order)


def inspection(number: int | str, order: str | None, at: datetime, **values: Any) -> Event:
    """An inspection of an order's parts; `values` are further or other payload fields."""
    payload = {
        "inspection_id": f"i-{number}",
        "order_id": order,
        "scanner_id": "scanner-1",
        "inspected": 10,
        "passed": 9,
        "scrapped": 0,
        "defect": "burr",
        "inspected_at": at.isoformat(),
    } | values
    return Event(payload, at + timedelta(milliseconds=25), key="quality_inspections")
