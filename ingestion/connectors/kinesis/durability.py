"""What Kinesis may delete before it is collected, for `millrace doctor` (connectors/durability.py)."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

from ingestion.connectors.durability import Reading, span
from ingestion.connectors.kinesis.access import KinesisAccess
from ingestion.connectors.kinesis.client import open_client, translated
from ingestion.connectors.kinesis.progress import progress_file, read_progress
from ingestion.connectors.kinesis.shards import look_at
from ingestion.connectors.port import Finding

_PART = "kinesis durability"


def durability(
    readings: Sequence[Reading], access: KinesisAccess, *, state: Path, now: datetime, timeout_seconds: float
) -> Iterator[Finding]:
    """Retention against how far each data stream was collected."""
    client = open_client(access, timeout_seconds=timeout_seconds)
    for reading in readings:
        stream = reading.source.kinesis
        with translated(access, client, stream=stream):
            hours = look_at(client, stream).retention_hours
        complete_to = read_progress(progress_file(state, reading.stream)).complete_to
        if not complete_to:
            yield Finding(
                _PART, "note",
                f"data stream '{stream}' keeps events for {hours} h; stream '{reading.stream}' has not been "
                "collected to its end yet",
            )  # fmt: skip
            continue
        behind = max(0.0, now.timestamp() - complete_to)
        if behind > hours * 1_800:
            yield Finding(
                _PART, "problem",
                f"stream '{reading.stream}' was collected up to {span(behind)} ago, and data stream "
                f"'{stream}' deletes events after {hours} h: start the collector, or let it keep them longer",
            )  # fmt: skip
        else:
            yield Finding(
                _PART, "ok",
                f"data stream '{stream}' keeps events for {hours} h, and stream '{reading.stream}' was "
                f"collected up to {span(behind)} ago",
            )  # fmt: skip
