"""Kafka records → SOURCE_SCHEMA, a column at a time. Knows no client library."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from ingestion.log.envelope import SOURCE_SCHEMA
from ingestion.log.notation import bytes_as_text

Headers = list[tuple[str | bytes, bytes | None]] | None
_NO_TIMESTAMP = -1
_FIRST_MS, _LAST_MS = -62_135_596_800_000, 253_402_300_799_999  # of the years 1 and 9999
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
TIMESTAMP_HEADER = "kafka_timestamp"
"""Where a time stamp is kept that is not a date: usually a sender's microseconds."""


class Rows:
    """Records that wait to become a table.

    Attributes:
        size: Bytes of the values so far.
    """

    def __init__(self) -> None:
        self.size = 0
        self._runs: list[tuple[str, int]] = []
        self._positions: list[int] = []
        self._keys: list[bytes | None] = []
        self._values: list[bytes | None] = []
        self._headers: list[str | None] = []
        self._timestamps: list[int] = []

    def __len__(self) -> int:
        return len(self._positions)

    def add(
        self,
        partition: str,
        positions: list[int],
        *,
        keys: list[bytes | None],
        values: list[bytes | None],
        timestamps: list[int],
        headers: Iterable[Headers] | None,
    ) -> None:
        """Add records of one partition, given as columns of equal length.

        Args:
            partition: Its name, `topic-number`.
            positions: Offsets.
            keys: As they came.
            values: As they came; None is a tombstone.
            timestamps: Milliseconds since 1970; -1 where there is none.
            headers: Name and value pairs, or None where no record has any.
        """
        count = len(positions)
        self._runs.append((partition, count))
        self._positions += positions
        self._keys += keys
        self._values += values
        if count and not (min(timestamps) >= _FIRST_MS and max(timestamps) <= _LAST_MS):
            headers = _with_timestamps(headers or [None] * count, timestamps)
        self._timestamps += timestamps
        self._headers += [None] * count if headers is None else map(headers_as_text, headers)
        self.size += sum(map(len, filter(None, values)))

    def table(self) -> pa.Table:
        """Rows of SOURCE_SCHEMA, in the order in which they were added."""
        if not self._positions:
            return SOURCE_SCHEMA.empty_table()
        times = pa.array(self._timestamps, pa.int64())
        none = pc.or_(
            pc.equal(times, _NO_TIMESTAMP), pc.or_(pc.less(times, _FIRST_MS), pc.greater(times, _LAST_MS))
        )
        times = pc.if_else(none, None, times).cast(pa.timestamp("ms", tz="UTC"))
        return pa.table(
            [
                pa.chunked_array([pa.repeat(pa.scalar(name), count) for name, count in self._runs]),
                pa.array(self._positions, pa.int64()),
                pa.array(self._keys, pa.binary()),
                pa.array(self._values, pa.binary()),
                pa.array(self._headers, pa.string()),
                times.cast(SOURCE_SCHEMA.field("event_time").type),
            ],
            schema=SOURCE_SCHEMA,
        )


def moment_of(timestamp_ms: int) -> datetime | None:
    """A record's time stamp; None where it has none or it is not a date."""
    if timestamp_ms == _NO_TIMESTAMP or not _FIRST_MS <= timestamp_ms <= _LAST_MS:
        return None
    return _EPOCH + timedelta(milliseconds=timestamp_ms)


def headers_as_text(headers: Headers) -> str | None:
    """Headers as a JSON object; a repeated name gives a list. Bytes as notation.py has them."""
    if not headers:
        return None
    collected: dict[str, Any] = {}
    for raw_name, value in headers:
        name = bytes_as_text(raw_name.encode() if isinstance(raw_name, str) else raw_name)
        text = None if value is None else bytes_as_text(value)
        if name in collected:
            earlier = collected[name]
            collected[name] = [*(earlier if isinstance(earlier, list) else [earlier]), text]
        else:
            collected[name] = text
    return orjson.dumps(collected).decode()


def _with_timestamps(headers: Iterable[Headers], timestamps: list[int]) -> list[Headers]:
    """Headers that also hold the time stamps that are not dates, since no other column does."""
    return [
        each if _FIRST_MS <= stamp <= _LAST_MS else [*(each or []), (TIMESTAMP_HEADER, str(stamp).encode())]
        for each, stamp in zip(headers, timestamps, strict=True)
    ]
