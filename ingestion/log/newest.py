"""The last events of a log, or the first ones from somewhere on: for people who look, not for batches."""

from collections.abc import Iterator, Mapping
from dataclasses import replace

import pyarrow as pa

from ingestion.log.envelope import SOURCE_SCHEMA
from ingestion.log.port import Bounds, Log, Start, Window


def look_at(
    log: Log, *, limit: int, start: Start = "latest", ends: Mapping[str, int] | None = None
) -> pa.Table:
    """Some events of a log, in order of their time; nothing is confirmed.

    Args:
        log: Any log.
        limit: Events at most, over all partitions.
        start: `latest` for the last events, else the first ones from there on.
        ends: Partition → position that counts as its end; others end where the log does.

    Returns:
        Rows of SOURCE_SCHEMA.
    """
    bounds = {
        name: replace(found, end=min(found.end, (ends or {}).get(name, found.end)))
        for name, found in log.bounds().items()
    }
    bounds = {name: found for name, found in bounds.items() if found.end > found.begin}
    if not bounds:
        return SOURCE_SCHEMA.empty_table()
    if start == "latest":
        found = _ordered(_last(log, bounds, limit=limit))
        return found.slice(max(0, found.num_rows - limit))
    positions = log.start_positions(start, bounds)
    windows = {name: Window(min(positions[name], found.end), found.end) for name, found in bounds.items()}
    return _ordered(pa.concat_tables(_first(log, windows, limit=limit))).slice(0, limit)


def _last(log: Log, bounds: Mapping[str, Bounds], *, limit: int) -> pa.Table:
    """The last `limit` events of each partition or more; empty positions make it look further back."""
    found = [SOURCE_SCHEMA.empty_table()]
    for name, held in bounds.items():
        span, end, rows = limit, held.end, 0
        while end > held.begin and rows < limit:
            begin = max(held.begin, end - span)
            part = pa.concat_tables(_read(log, {name: Window(begin, end)}))
            found.append(part)
            rows, end, span = rows + part.num_rows, begin, span * 4
    return pa.concat_tables(found)


def _first(log: Log, windows: Mapping[str, Window], *, limit: int) -> Iterator[pa.Table]:
    """The first `limit` events of each partition."""
    yield SOURCE_SCHEMA.empty_table()
    for name, window in windows.items():
        at, rows = window.start, 0
        while at < window.end and rows < limit:
            end = min(window.end, at + max(limit, 1000))
            part = pa.concat_tables(_read(log, {name: Window(at, end)})).slice(0, limit - rows)
            yield part
            rows, at = rows + part.num_rows, end


def _read(log: Log, windows: Mapping[str, Window]) -> list[pa.Table]:
    return [SOURCE_SCHEMA.empty_table(), *(chunk.events for chunk in log.read(windows))]


def _ordered(events: pa.Table) -> pa.Table:
    return events.sort_by(
        [("event_time", "ascending"), ("source_partition", "ascending"), ("position", "ascending")]
    )
