"""The way back of a reject: decode its kept bytes again and land it, or dismiss it with a note.

Nothing in raw changes: what became of a reject is a row of raw.reject_resolutions, written in the
transaction that lands its event. Rules: docs/delivery.md.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import pyarrow as pa

from ingestion.clock import utc_now
from ingestion.errors import ConfigError
from ingestion.formats.decode import Decode
from ingestion.lake.catalog import writer_lock
from ingestion.lake.lake import Lake
from ingestion.lake.loader import Loader
from ingestion.land.rejects import Reject, chosen_rejects
from ingestion.land.repair import Repairer
from ingestion.log.envelope import RESOLUTION_SCHEMA, SOURCE_SCHEMA
from ingestion.log.notation import text_as_bytes


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
    decode: Decode,
    event_ids: Sequence[str] = (),
    reason: str | None = None,
    clock: Callable[[], datetime] = utc_now,
) -> RetryReport:
    """Decode kept bytes again and land what now decodes, under its old identity, in a batch of its own.

    Doing it twice changes nothing: a reject that has landed is no longer open.

    Args:
        lake: The lake.
        stream: The stream's name.
        decode: The decoder of its format.
        event_ids: Only these; all open ones of the stream otherwise.
        reason: With this reason only.
        clock: Returns the present, UTC.

    Raises:
        RejectNotFound: One of `event_ids` was never rejected.
        StreamBusy: Another process writes this stream.
        FormatUnavailable: What the format needs does not answer; batches before it are in the lake.
        BatchFailed: The load was rolled back; batches before it are in the lake.
    """
    settings = lake.settings
    with writer_lock(settings, stream, application_name=lake.application_name) as lock:
        chosen = chosen_rejects(lake, stream, event_ids=event_ids, reason=reason)
        waiting = [reject for reject in chosen if reject.outcome == "open"]
        kept = [reject for reject in waiting if reject.kept]
        repairer = Repairer(lake, stream, decode, clock, lock.assert_held)
        batch_ids: list[int] = []
        landed = 0
        for part in _parts(kept, events=settings.batch_max_events, size=settings.batch_max_bytes):
            batch_id, event_ids_now = repairer.land(_read(lake, stream, part), _landed(part))
            landed += len(event_ids_now)
            batch_ids += [] if batch_id is None else [batch_id]
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
            at = clock()
            rows = [
                _identity(reject) | {"outcome": "dismissed", "note": note.strip(), "resolved_at": at}
                for reject in waiting
            ]
            table = pa.Table.from_pylist(rows, schema=RESOLUTION_SCHEMA)
            Loader(lake).load(stream, {"reject_resolutions": table}, before_commit=lock.assert_held)
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
    keys = [None if key is None else text_as_bytes(key) for key in table["event_key"].to_pylist()]
    at = table.column_names.index("event_key")
    return table.set_column(at, "event_key", pa.array(keys, pa.binary())).cast(SOURCE_SCHEMA)


def _landed(part: Sequence[Reject]) -> Callable[[pa.Table, int], list[Mapping[str, object]]]:
    """The resolutions of those rejects of a part that are among the landed events."""
    rejects = {reject.event_id: reject for reject in part}

    def resolutions(landed: pa.Table, batch_id: int) -> list[Mapping[str, object]]:
        return [
            _identity(rejects[event_id]) | {"outcome": "landed", "landed_batch_id": batch_id}
            for event_id in landed["event_id"].to_pylist()
        ]

    return resolutions


def _identity(reject: Reject) -> dict[str, object]:
    """The columns of a resolution that name its reject."""
    return {"stream": reject.stream, "event_id": reject.event_id, "batch_id": reject.batch_id}
