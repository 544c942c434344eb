"""Rejects and what became of them: raw.rejects beside raw.reject_resolutions.

Landing and dismissing them is resolutions.py's work. Rules: docs/delivery.md.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from ingestion.errors import RejectNotFound
from ingestion.lake.lake import Lake

_REJECTS = """
select
    rejects.stream, rejects.event_id, rejects.batch_id, event_key, payload_bytes, payload_raw is not null,
    reason, detail, headers, event_time, ingested_at, coalesce(outcome, 'open'), landed_batch_id,
    resolved_at, coalesce(note, '')
from raw.rejects
left join raw.reject_resolutions as resolutions
    on rejects.stream = resolutions.stream and rejects.event_id = resolutions.event_id
where
    ($stream is null or rejects.stream = $stream)
    and ($reason is null or reason = $reason)
    and ($event_ids is null or rejects.event_id in (select unnest($event_ids::varchar [])))
    and (outcome is null or not $open_only)
order by ingested_at, rejects.stream, rejects.batch_id, source_partition, position
"""
_NEWEST = "from (from ({rejects}) order by ingested_at desc limit {newest}) order by ingested_at"


@dataclass(frozen=True)
class Reject:
    """An event that could not be decoded when it came, and what became of it.

    Attributes:
        stream: The stream it was meant for.
        event_id: partition@position.
        batch_id: The batch that rejected it.
        event_key: The key it was sent with.
        payload_bytes: Size of the payload.
        kept: Whether its bytes are in the lake; without them there is nothing to try again.
        reason: too_large, or one of its format's reasons.
        detail: What exactly was wrong.
        headers: JSON object.
        event_time: The broker's timestamp, UTC.
        ingested_at: When it was rejected, UTC.
        outcome: open, landed or dismissed.
        landed_batch_id: The batch that landed it.
        resolved_at: When it was landed or dismissed, UTC.
        note: Why it was dismissed.
    """

    stream: str
    event_id: str
    batch_id: int
    event_key: str | None
    payload_bytes: int
    kept: bool
    reason: str
    detail: str
    headers: str | None
    event_time: datetime | None
    ingested_at: datetime
    outcome: str
    landed_batch_id: int | None
    resolved_at: datetime | None
    note: str


def list_rejects(
    lake: Lake,
    stream: str | None = None,
    *,
    reason: str | None = None,
    event_ids: Sequence[str] = (),
    open_only: bool = True,
    newest: int | None = None,
) -> list[Reject]:
    """Rejects without their bytes, the oldest first.

    Args:
        lake: The lake.
        stream: Of this stream only.
        reason: With this reason only.
        event_ids: Only these.
        open_only: Leave out what was landed or dismissed.
        newest: So many at most, the newest; None for all.
    """
    parameters = {
        "stream": stream,
        "reason": reason,
        "event_ids": list(event_ids) or None,
        "open_only": open_only,
    }
    sql = _REJECTS if newest is None else _NEWEST.format(rejects=_REJECTS, newest=newest)
    return [Reject(*row) for row in lake.connection.execute(sql, parameters).fetchall()]


def newest_resolved(lake: Lake, stream: str, *, count: int) -> list[Reject]:
    """The rejects that were landed later or dismissed last, the newest first.

    Args:
        lake: The lake.
        stream: Whose.
        count: How many at most.
    """
    sql = "select event_id from raw.reject_resolutions where stream = ? order by resolved_at desc limit ?"
    ids = [event_id for (event_id,) in lake.query(sql, [stream, count])]
    found = {each.event_id: each for each in list_rejects(lake, stream, event_ids=ids, open_only=False)}
    return [found[each] for each in ids if each in found] if ids else []


def show(lake: Lake, stream: str, event_id: str) -> tuple[Reject, bytes | None]:
    """A reject, open or not, and its bytes if they were kept.

    Raises:
        RejectNotFound: No such event was rejected.
    """
    reject = chosen_rejects(lake, stream, event_ids=[event_id], reason=None)[0]
    payload = lake.query(
        "select payload_raw from raw.rejects where stream = ? and event_id = ?", [stream, event_id]
    )
    return reject, payload[0][0]


def first_bytes(lake: Lake, stream: str, event_ids: Sequence[str], *, count: int) -> dict[str, bytes]:
    """Event → the first bytes of what was sent, of those whose bytes were kept.

    Args:
        lake: The lake.
        stream: Whose.
        event_ids: Which.
        count: How many bytes of each.
    """
    sql = """
        select event_id, payload_raw[:$count] from raw.rejects
        where stream = $stream and payload_raw is not null
            and event_id in (select unnest($event_ids::varchar []))
    """
    parameters = {"stream": stream, "event_ids": [*event_ids], "count": count}
    return dict(lake.connection.execute(sql, parameters).fetchall())


def chosen_rejects(lake: Lake, stream: str, *, event_ids: Sequence[str], reason: str | None) -> list[Reject]:
    """Rejects by id or reason, open or not.

    Raises:
        RejectNotFound: One of `event_ids` was never rejected.
    """
    found = list_rejects(lake, stream, reason=reason, event_ids=event_ids, open_only=False)
    missing = set(event_ids) - {reject.event_id for reject in found}
    if missing:
        why = f" with reason '{reason}'" if reason else ""
        raise RejectNotFound(
            f"stream '{stream}' has no reject '{min(missing)}'{why}; "
            f"'millrace rejects list {stream} --all' shows what there is"
        )
    return found
