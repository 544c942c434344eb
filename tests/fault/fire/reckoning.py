"""Holds the lake against what senders know and what the log holds: sentences on what is wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from ingestion.lake.lake import Lake
from tests.fault.fire.source import Place, Sent

_SHOWN = 5


@dataclass(frozen=True)
class Row:
    """One row of raw.

    Attributes:
        place: Partition and position.
        number: Which event it is.
        marked: Whether its broker said that it delivers it again.
        received_at: When the collector took it, UTC; of a log, the broker's time.
    """

    place: Place
    number: int
    marked: bool
    received_at: datetime


def rows_of(lake: Lake, stream: str, *, mark: str) -> list[Row]:
    """All rows of a stream; `mark` is the header that is true for what came again."""
    marked = f"coalesce(headers ->> '{mark}' = 'true', false)" if mark else "false"
    columns = f"source_partition, position, (payload ->> 'n')::bigint, {marked}, event_time"
    found = lake.query(f"select {columns} from raw.{stream}")
    return [Row((part, position), number, again, at) for part, position, number, again, at in found]


def violations(rows: Sequence[Row], sent: Sent, *, once: bool, kept: Mapping[Place, int] | None) -> list[str]:
    """What is wrong with raw; empty: the promise holds.

    Args:
        rows: Raw.
        sent: What the senders know.
        once: Whether each event is promised once; of a log, each place of it.
        kept: What a log holds; None for what is collected.
    """
    counts = Counter(row.number for row in rows)
    found = _named("confirmed and not in raw", sent.confirmed - counts.keys())
    found += _named("in raw and never sent", counts.keys() - sent.confirmed)
    places = Counter(row.place for row in rows)
    found += _named("in raw twice by position", [place for place, count in places.items() if count > 1])
    if kept is not None:
        landed = {row.place: row.number for row in rows}
        found += _named("in the log and not in raw", kept.keys() - landed.keys())
        found += _named("in raw and not in the log", landed.keys() - kept.keys())
        both = kept.keys() & landed.keys()
        found += _named("another event than the log's", [at for at in both if kept[at] != landed[at]])
        return found
    if once:
        found += _named("in raw more than once", [number for number, count in counts.items() if count > 1])
    else:
        found += _named("a copy that nothing explains", _unexplained(rows, sent))
    torn = [each for each in sent.together if len({counts[number] for number in each}) > 1]
    return found + _named("requests that are there in part", torn)


def _unexplained(rows: Sequence[Row], sent: Sent) -> list[int]:
    """Events with more unmarked rows than sendings, save those whose acknowledgement a broker forgot."""
    unmarked = Counter(row.number for row in rows if not row.marked)
    several = {number for number, count in unmarked.items() if count > 1 + sent.again[number]}
    forgotten = Counter(
        row.number
        for row in rows
        if row.number in several and any(begin <= row.received_at <= end for begin, end in sent.rolled_back)
    )
    return [number for number in several if unmarked[number] - forgotten[number] > 1 + sent.again[number]]


def copies(rows: Sequence[Row]) -> int:
    """Rows beyond the first of each event."""
    return len(rows) - len({row.number for row in rows})


def staged(lake: Lake, stream: str, sent: Sent) -> list[str]:
    """What is wrong with staging, which holds each event once, by its declared id."""
    counts = Counter(number for (number,) in lake.query(f"select n from lake.staging.stg_{stream}"))
    return [
        *_named("confirmed and not in staging", sent.confirmed - counts.keys()),
        *_named("in staging twice", [number for number, count in counts.items() if count > 1]),
    ]


def _named(what: str, found: object) -> list[str]:
    several = sorted(found, key=str)  # type: ignore[call-overload]
    return [f"{len(several)} {what}: {several[:_SHOWN]}"] if several else []
