"""Where one event is by now: in its log, in a batch, in raw, rejected, in staging, and why not further.

The rows of models that it touched are rows.py's.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from ingestion.connectors.registry import is_collected
from ingestion.errors import MillraceError
from ingestion.lake.lake import Lake
from ingestion.lake.ledger import StreamState
from ingestion.land.rejects import Reject, list_rejects
from ingestion.log.port import Bounds, Log
from ingestion.trace.named import Named
from ingestion.trace.sentences import State, landed_sentence, rejected_sentence
from ingestion.watch.fates import Fate, fates

_RAW = """
select batch_id, snapshot_id, event_key, event_time, ingested_at, headers, left(payload, 10000)
from raw."{stream}" where source_partition = ? and position = ?
"""
_WINDOW = """
select
    batch_id, snapshot_id, start_position, end_position, coalesce(positions_skipped, 0), started_at,
    ingested_at
from raw.batches
where stream = ? and source_partition = ? and end_position > ?
order by batch_id
limit 1
"""
_BATCH = """
select batch_id, snapshot_id, min(start_position), max(end_position), 0, min(started_at), max(ingested_at)
from raw.batches
where stream = ? and batch_id = ?
group by batch_id, snapshot_id
"""


@dataclass(frozen=True)
class Batch:
    """The batch that brought an event.

    Attributes:
        number: Its number in the stream.
        version: The lake's version that committed it.
        start: First position that it read of the event's partition.
        end: The position after the last one.
        started_at: When it began, UTC.
        read_at: When everything was read and decoded, UTC.
    """

    number: int
    version: int
    start: int
    end: int
    started_at: datetime | None
    read_at: datetime | None


@dataclass(frozen=True)
class Event:
    """Where an event is.

    Attributes:
        named: The event.
        state: How far it is.
        sentence: The same, and what to do.
        held_in: Where its log is: the spool, or the source's own words.
        in_log: Whether the log still holds its position; None where it was not asked or does not answer.
        sent_at: The broker's time stamp, or when it was received (UTC).
        key: Its key.
        payload: JSON text, of a large one the beginning.
        headers: JSON text.
        batch: The batch that brought it.
        reject: Its reject, if it was one.
        staged: Its row of staging.
        staged_version: The lake's version that staged it.
        kept: The event that staging keeps in its place.
    """

    named: Named
    state: State
    sentence: str
    held_in: str
    in_log: bool | None = None
    sent_at: datetime | None = None
    key: str | None = None
    payload: str | None = None
    headers: str | None = None
    batch: Batch | None = None
    reject: Reject | None = None
    staged: Mapping[str, Any] | None = field(default=None)
    staged_version: int | None = None
    kept: str = ""


def follow(
    lake: Lake, named: Named, *, log: Log, state: StreamState | None, there: Collection[tuple[str, str]]
) -> Event:
    """Find out where an event is.

    Args:
        lake: The lake, which may be read-only.
        named: The event.
        log: Its stream's log.
        state: What the lake knows of its stream.
        there: Schema and name of every table of the lake.
    """
    stream, position = named.stream, named.position
    bounds = _bounds(log, named.partition)
    held_in = f"the spool {named.partition}" if is_collected(stream.source) else stream.source.origin
    in_log = None if bounds is None else bounds.begin <= position < bounds.end
    known = state.positions.get(named.partition) if state else None
    if known is None:
        return _unread(named, held_in, bounds)
    raw = lake.query(_RAW.format(stream=stream.name), [named.partition, position])
    rejects = list_rejects(lake, stream.name, event_ids=[named.event_id], open_only=False)
    reject = rejects[0] if rejects else None
    if not raw:
        if reject is None and position >= known.next:
            return _unread(named, held_in, bounds)
        return _not_landed(lake, named, held_in, in_log, reject)
    number, version, key, sent_at, read_at, headers, payload = raw[0]
    batch = _batch(lake, named, int(number))
    batch = batch or Batch(int(number), int(version), position, position + 1, None, read_at)
    fate = fates(lake, stream, [(named.partition, position)])[named.event_id]
    staged, staged_version = _staged(lake, named) if fate.staged is not None else (None, None)
    found = _state(fate, payload, has_model=("staging", f"stg_{stream.name}") in there)
    sentence = landed_sentence(found, named, fate, reject)
    return Event(
        named, found, sentence, held_in, in_log, sent_at, key, payload, headers, batch, reject, staged,
        staged_version, fate.kept,
    )  # fmt: skip


def _bounds(log: Log, partition: str) -> Bounds | None:
    try:
        return log.bounds().get(partition)
    except MillraceError:
        return None


def _unread(named: Named, held_in: str, bounds: Bounds | None) -> Event:
    name = named.stream.name
    if bounds is None:
        sentence = (
            f"the lake has not read position {named.position} yet, and its log does not answer now: "
            "'millrace doctor' says why"
        )
        return Event(named, "unread", sentence, held_in)
    if named.position >= bounds.end:
        sentence = (
            f"no event has this position yet: {named.partition} ends at {bounds.end}; what its sender still "
            "holds has no position"
        )
        return Event(named, "not sent", sentence, held_in, in_log=False)
    if named.position < bounds.begin:
        sentence = (
            f"the lake has not read this position, and its log begins at {bounds.begin} by now: 'millrace "
            f"doctor' and 'millrace ingest {name}' say what was lost"
        )
        return Event(named, "lost", sentence, held_in, in_log=False)
    sentence = (
        f"it waits in {held_in} for the next batch: 'millrace status' says what holds that up, and 'millrace "
        f"ingest {name}' reads it now"
    )
    return Event(named, "unread", sentence, held_in, in_log=True)


def _not_landed(lake: Lake, named: Named, held_in: str, in_log: bool | None, reject: Reject | None) -> Event:
    name, position = named.stream.name, named.position
    if reject is not None:
        batch = _batch(lake, named, reject.batch_id)
        state: State = "dismissed" if reject.outcome == "dismissed" else "rejected"
        sentence = rejected_sentence(named, reject)
        return Event(
            named, state, sentence, held_in, in_log, reject.event_time, reject.event_key,
            headers=reject.headers, batch=batch, reject=reject,
        )  # fmt: skip
    rows = lake.query(_WINDOW, [name, named.partition, position])
    batch = Batch(*_numbers(rows[0])) if rows else None
    skipped = int(rows[0][4]) if rows else 0
    if batch is not None and batch.start <= position:
        sentence = (
            f"batch {batch.number} read past this position and found no event there: it was compacted away, "
            "had expired, or is a transaction's marker; nothing is missing"
        )
        return Event(named, "no event", sentence, held_in, in_log, batch=batch)
    if batch is not None and batch.start - skipped <= position:
        sentence = (
            f"nobody read it: positions {batch.start - skipped} to {batch.start - 1} were lost before batch "
            f"{batch.number}, which was accepted ('millrace adopt', or on_truncated: earliest)"
        )
        return Event(named, "lost", sentence, held_in, in_log, batch=batch)
    sentence = (
        f"it is older than the stream's first position in {named.partition} (start: in streams.yml), so it "
        f"was never read; 'millrace replay {name}' lands what the log still holds"
    )
    return Event(named, "before the start", sentence, held_in, in_log)


def _batch(lake: Lake, named: Named, number: int) -> Batch | None:
    own = lake.query(
        _BATCH.replace("group by", "and source_partition = ? group by"),
        [named.stream.name, number, named.partition],
    ) or lake.query(_BATCH, [named.stream.name, number])
    return Batch(*_numbers(own[0])) if own else None


def _numbers(row: tuple[Any, ...]) -> tuple[Any, ...]:
    return (*(int(value) for value in row[:4]), *row[5:])


def _staged(lake: Lake, named: Named) -> tuple[dict[str, Any] | None, int | None]:
    """The event's row of staging; of a CloudEvents batch the first one's."""
    rows = lake.query_arrow(
        f'select snapshot_id as "version of the row", * from staging."stg_{named.stream.name}" '
        "where position = ? and source_partition = ? order by event_id limit 1",
        [named.position, named.partition],
    ).to_pylist()
    if not rows:
        return None, None
    version = int(rows[0].pop("version of the row"))
    return rows[0], version


def _state(fate: Fate, payload: str | None, *, has_model: bool) -> State:
    if fate.staged is not None:
        return "staged"
    if fate.kept:
        return "conflict" if fate.is_conflict else "duplicate"
    if not has_model:
        return "no staging model"
    if payload is None:
        return "tombstone"
    return "not staged yet" if fate.is_waiting else "missing"
