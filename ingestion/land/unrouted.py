"""Messages that a collector kept and no stream took: what there is, giving them to a stream, discarding.

What is given lands as a batch with empty windows (repair.py), under the identity that it has in its spool, so
that giving it twice changes nothing. Why there are such messages: docs/delivery.md.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from ingestion.clock import utc_now
from ingestion.errors import StorageError
from ingestion.file_lock import lock_file
from ingestion.formats.decode import Decode
from ingestion.lake.catalog import writer_lock
from ingestion.lake.lake import Lake
from ingestion.land.repair import Repairer
from ingestion.log.envelope import SOURCE_SCHEMA
from ingestion.log.positions import GIVEN, Position
from ingestion.spool.reader import SpoolReader
from ingestion.spool.unrouted import Settled, read_settled, write_settled

Chosen = Callable[[str], bool]
"""Whether messages of a topic are meant; what is not UTF-8 of a topic is replaced."""

_LOCK_FILE = "settled.lock"


@dataclass(frozen=True)
class Topic:
    """Messages of one topic that no stream takes.

    Attributes:
        topic: As published; empty where it was not UTF-8.
        messages: How many are neither given nor discarded.
        payload_bytes: Of all of them.
        first_at: When the oldest was received, UTC.
        last_at: When the newest was received, UTC.
    """

    topic: str
    messages: int
    payload_bytes: int
    first_at: datetime
    last_at: datetime


@dataclass(frozen=True)
class Given:
    """What became of the messages that were meant for a stream.

    Attributes:
        stream: The stream's name.
        batch_ids: The batches that landed them.
        landed: How many are in raw.<stream> now and were not before.
        undecodable: How many the stream's format refuses; they are kept as they were.
    """

    stream: str
    batch_ids: tuple[int, ...] = ()
    landed: int = 0
    undecodable: int = 0


def topics(folder: Path) -> list[Topic]:
    """What a spool of such messages holds, topic by topic; the most frequent first.

    Raises:
        StorageError: It cannot be read.
    """
    found: dict[str, Topic] = {}
    with _opened(folder) as (_, settled, chunks):
        for first, events in chunks:
            for row in _open_ones(first, events, settled).to_pylist():
                name, at, size = _text(row["event_key"]), row["event_time"], len(row["value"] or b"")
                known = found.get(name) or Topic(name, 0, 0, at, at)
                found[name] = Topic(
                    name, known.messages + 1, known.payload_bytes + size,
                    min(known.first_at, at), max(known.last_at, at),
                )  # fmt: skip
    return sorted(found.values(), key=lambda topic: (-topic.messages, topic.topic))


def give(
    lake: Lake,
    stream: str,
    folder: Path,
    *,
    chosen: Chosen,
    decode: Decode,
    clock: Callable[[], datetime] = utc_now,
) -> Given:
    """Land the messages of some topics in a stream. What it has already is not landed again.

    Args:
        lake: The lake.
        stream: The stream's name; its raw table exists.
        folder: The spool of messages that no stream takes.
        chosen: Which topics are meant.
        decode: The decoder of the stream's format.
        clock: Returns the present, UTC.

    Raises:
        StorageError: The spool cannot be read.
        StreamBusy: Another process writes this stream, or gives messages of this spool.
        BatchFailed: The load was rolled back; batches before it are in the lake.
    """
    landed, refused = 0, 0
    batch_ids: list[int] = []
    with (
        _settling(folder),
        writer_lock(lake.settings, stream, application_name=lake.application_name) as lock,
        _opened(folder, chunk_events=lake.settings.batch_max_events) as (log_id, settled, chunks),
    ):
        partition = f"{folder.name}-{log_id[:8]}"
        repairer = Repairer(
            lake, stream, decode, clock, lock.assert_held, {partition: Position(0, log_id, GIVEN)}
        )
        for first, events in chunks:
            meant = _meant(_open_ones(first, events, settled), chosen, partition)
            known = _in_raw(lake, stream, partition, meant)
            fresh = meant.filter(pc.invert(pc.is_in(meant["position"], value_set=known)))
            batch_id, ids = (
                repairer.land(fresh, _resolutions(stream)) if fresh.num_rows else (None, frozenset())
            )
            now_in = [row for row in fresh["position"].to_pylist() if f"{partition}@{row}" in ids]
            landed, refused = landed + len(ids), refused + fresh.num_rows - len(ids)
            batch_ids += [] if batch_id is None else [batch_id]
            settled = settled.with_([*known.to_pylist(), *now_in])
            write_settled(folder, settled)
    _trim(folder)
    return Given(stream, tuple(batch_ids), landed, refused)


def discard(folder: Path, *, chosen: Chosen) -> int:
    """Drop the messages of some topics; returns how many.

    Raises:
        StorageError: The spool cannot be read or written.
        StreamBusy: Another process gives messages of this spool.
    """
    positions: list[int] = []
    with _settling(folder), _opened(folder) as (_, settled, chunks):
        for first, events in chunks:
            positions += _meant(_open_ones(first, events, settled), chosen, "")["position"].to_pylist()
        write_settled(folder, settled.with_(positions))
    _trim(folder)
    return len(positions)


@contextmanager
def _opened(
    folder: Path, *, chunk_events: int = 65_536
) -> Iterator[tuple[str, Settled, Iterator[tuple[int, pa.Table]]]]:
    """A spool's identity, what of it is settled, and its events with the position of the first."""
    with closing(SpoolReader(folder)) as reader:
        bounds = reader.bounds() if folder.is_dir() else None
        if bounds is None:
            yield "", Settled(), iter(())
            return
        settled = read_settled(folder, bounds.log_id)
        begin = settled.first_open(bounds.begin)
        yield bounds.log_id, settled, reader.read(begin, bounds.end, chunk_events=chunk_events)


@contextmanager
def _settling(folder: Path) -> Iterator[None]:
    """Two that give from one spool at once would forget each other's notes."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = lock_file(folder / _LOCK_FILE, what=f"the list of what was given of {folder}")
    except OSError as error:
        raise StorageError(f"{folder} cannot be written ({error.strerror}); repair its permissions") from None
    try:
        yield
    finally:
        os.close(lock)


def _open_ones(first: int, events: pa.Table, settled: Settled) -> pa.Table:
    """Events with their positions, without those that are settled."""
    positions = pa.array(range(first, first + events.num_rows), pa.int64())
    table = events.append_column("position", positions)
    return table.filter(pa.array([not settled.holds(at) for at in positions.to_pylist()], pa.bool_()))


def _meant(events: pa.Table, chosen: Chosen, partition: str) -> pa.Table:
    """Those of the chosen topics, as rows of SOURCE_SCHEMA."""
    table = events.filter(
        pa.array([chosen(_text(key)) for key in events["event_key"].to_pylist()], pa.bool_())
    )
    table = table.append_column("source_partition", pa.array([partition] * table.num_rows, pa.string()))
    return table.select(SOURCE_SCHEMA.names).cast(SOURCE_SCHEMA)


def _in_raw(lake: Lake, stream: str, partition: str, events: pa.Table) -> pa.Array:
    """The positions of these that the stream holds already."""
    if not events.num_rows:
        return pa.array([], pa.int64())
    least, most = pc.min(events["position"]).as_py(), pc.max(events["position"]).as_py()
    rows = lake.query(
        f'select position from raw."{stream}" where source_partition = ? and position between ? and ?',
        [partition, least, most],
    )
    return pa.array([row[0] for row in rows], pa.int64())


def _resolutions(stream: str) -> Callable[[pa.Table, int], list[dict[str, object]]]:
    """The proof asks of a batch that did not read the log that each event has a resolution."""

    def rows(landed: pa.Table, batch_id: int) -> list[dict[str, object]]:
        return [
            {
                "stream": stream, "event_id": event_id, "batch_id": batch_id, "outcome": "given",
                "landed_batch_id": batch_id,
            }
            for event_id in landed["event_id"].to_pylist()
        ]  # fmt: skip

    return rows


def _trim(folder: Path) -> None:
    """Delete the segments of which everything is settled."""
    with closing(SpoolReader(folder)) as reader:
        if bounds := reader.bounds():
            reader.trim(read_settled(folder, bounds.log_id).first_open(bounds.begin))


def _text(key: bytes | None) -> str:
    return (key or b"").decode("utf-8", "replace")
