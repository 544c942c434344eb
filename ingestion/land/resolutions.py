"""The way back of a reject: decode its kept bytes again and land it, or dismiss it with a note.

Nothing in raw changes: what became of a reject is a row of raw.reject_resolutions, written in the
transaction that lands its event. Rules: docs/delivery.md.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc

from ingestion.errors import ConfigError
from ingestion.formats.json import Decoded, decode_json
from ingestion.lake.catalog import writer_lock
from ingestion.lake.lake import Lake
from ingestion.lake.ledger import read_state
from ingestion.lake.loader import Loader
from ingestion.land.batch import utc_now
from ingestion.land.rejects import Reject, chosen_rejects
from ingestion.log.envelope import BATCH_SCHEMA, RESOLUTION_SCHEMA, SOURCE_SCHEMA

Decode = Callable[..., Decoded]
"""The shape of decode.decode_json."""

_LAST_ENDS = """
select source_partition, arg_max(log_end_position, batch_id)
from raw.batches
where stream = ?
group by source_partition
"""


@dataclass(frozen=True)
class RetryReport:
    """What a retry did.

    Attributes:
        stream: The stream's name.
        batch_ids: The batches that landed something.
        landed: Events that are in raw.<stream> now.
        still_rejected: Events that today's decoder refuses too.
        not_kept: Rejects whose bytes are not in the lake.
    """

    stream: str
    batch_ids: tuple[int, ...] = ()
    landed: int = 0
    still_rejected: int = 0
    not_kept: int = 0


def retry(
    lake: Lake,
    stream: str,
    *,
    event_ids: Sequence[str] = (),
    reason: str | None = None,
    decode: Decode = decode_json,
    clock: Callable[[], datetime] = utc_now,
) -> RetryReport:
    """Decode kept bytes again and land what now decodes, under its old identity, in a batch of its own.

    Doing it twice changes nothing: a reject that has landed is no longer open.

    Args:
        lake: The lake.
        stream: The stream's name.
        event_ids: Only these; all open ones of the stream otherwise.
        reason: With this reason only.
        decode: Today's decoder.
        clock: Returns the present, UTC.

    Raises:
        RejectNotFound: One of `event_ids` was never rejected.
        StreamBusy: Another process writes this stream.
        BatchFailed: The load was rolled back; batches before it are in the lake.
    """
    settings = lake.settings
    batch_ids: list[int] = []
    landed = 0
    with writer_lock(settings, stream, application_name=lake.application_name) as lock:
        chosen = chosen_rejects(lake, stream, event_ids=event_ids, reason=reason)
        waiting = [reject for reject in chosen if reject.outcome == "open"]
        kept = [reject for reject in waiting if reject.kept]
        loader = Loader(lake)
        for part in _parts(kept, events=settings.batch_max_events, size=settings.batch_max_bytes):
            batch_id = read_state(lake, stream).last_batch_id + 1
            started_at = clock()
            decoded = decode(
                _read(lake, stream, part),
                stream=stream,
                batch_id=batch_id,
                ingested_at=started_at,
                max_bytes=settings.payload_max_bytes,
            ).events
            if not decoded.num_rows:
                continue
            found = set(decoded["event_id"].to_pylist())
            tables = {
                stream: decoded,
                "batches": ledger_rows(lake, stream, decoded, batch_id=batch_id, started_at=started_at),
                "reject_resolutions": _resolutions(
                    [reject for reject in part if reject.event_id in found],
                    outcome="landed",
                    landed_batch_id=batch_id,
                    at=started_at,
                ),
            }
            loader.load(stream, tables, before_commit=lock.assert_held)
            batch_ids.append(batch_id)
            landed += len(found)
    return RetryReport(stream, tuple(batch_ids), landed, len(kept) - landed, len(waiting) - len(kept))


def resolve(
    lake: Lake,
    stream: str,
    *,
    note: str,
    event_ids: Sequence[str] = (),
    reason: str | None = None,
    clock: Callable[[], datetime] = utc_now,
) -> int:
    """Dismiss open rejects: they stay in raw.rejects, but nobody has to look at them again.

    Args:
        lake: The lake.
        stream: The stream's name.
        note: Why.
        event_ids: Which; or …
        reason: … all open ones with this reason.
        clock: Returns the present, UTC.

    Returns:
        How many were dismissed; those that were resolved already are left alone.

    Raises:
        ConfigError: Neither event_ids nor reason, or an empty note.
        RejectNotFound: One of `event_ids` was never rejected.
        StreamBusy: Another process writes this stream.
    """
    if not note.strip() or not (event_ids or reason):
        raise ConfigError("dismissing needs a note, and event ids or a reason that say which rejects")
    with writer_lock(lake.settings, stream, application_name=lake.application_name) as lock:
        chosen = chosen_rejects(lake, stream, event_ids=event_ids, reason=reason)
        waiting = [reject for reject in chosen if reject.outcome == "open"]
        if waiting:
            rows = _resolutions(waiting, outcome="dismissed", note=note.strip(), at=clock())
            Loader(lake).load(stream, {"reject_resolutions": rows}, before_commit=lock.assert_held)
    return len(waiting)


def _parts(rejects: Sequence[Reject], *, events: int, size: int) -> Iterator[list[Reject]]:
    """Parts that fit into memory: the limits of a batch hold for a retry too."""
    part: list[Reject] = []
    filled = 0
    for reject in rejects:
        if part and (len(part) >= events or filled + reject.payload_bytes > size):
            yield part
            part, filled = [], 0
        part.append(reject)
        filled += reject.payload_bytes
    if part:
        yield part


def _read(lake: Lake, stream: str, part: Sequence[Reject]) -> pa.Table:
    """The kept bytes as a source would hand them over.

    A null value would be a tombstone: rejects without bytes never get here.
    """
    table = lake.query_arrow(
        "select source_partition, position, event_key, payload_raw as value, headers, event_time "
        "from raw.rejects where stream = ? and event_id in (select unnest(?::varchar [])) "
        "and payload_raw is not null order by batch_id, source_partition, position",
        [stream, [reject.event_id for reject in part]],
    )
    return table.cast(SOURCE_SCHEMA)


def ledger_rows(
    lake: Lake, stream: str, landed: pa.Table, *, batch_id: int, started_at: datetime
) -> pa.Table:
    """Rows whose window is empty, for the log was not read: positions stay where they are."""
    positions = read_state(lake, stream).positions
    ends = dict(lake.query(_LAST_ENDS, [stream]))
    sized = landed.append_column(
        "bytes", pc.fill_null(pc.binary_length(landed["payload"].cast(pa.binary())), 0)
    )
    counts = sized.group_by("source_partition").aggregate([([], "count_all"), ("bytes", "sum")])
    rows = [
        {
            "stream": stream,
            "batch_id": batch_id,
            "source_partition": row["source_partition"],
            "log_id": positions[row["source_partition"]].log_id,
            "start_position": positions[row["source_partition"]].next,
            "end_position": positions[row["source_partition"]].next,
            "log_end_position": ends[row["source_partition"]],
            "events_read": row["count_all"],
            "events_landed": row["count_all"],
            "events_rejected": 0,
            "bytes_read": row["bytes_sum"],
            "started_at": started_at,
            "ingested_at": started_at,
        }
        for row in counts.to_pylist()
    ]
    return pa.Table.from_pylist(rows, schema=BATCH_SCHEMA)


def _resolutions(
    rejects: Sequence[Reject],
    *,
    outcome: str,
    at: datetime,
    landed_batch_id: int | None = None,
    note: str | None = None,
) -> pa.Table:
    rows = [
        {
            "stream": reject.stream,
            "event_id": reject.event_id,
            "batch_id": reject.batch_id,
            "outcome": outcome,
            "landed_batch_id": landed_batch_id,
            "resolved_at": at,
            "note": note,
        }
        for reject in rejects
    ]
    return pa.Table.from_pylist(rows, schema=RESOLUTION_SCHEMA)
