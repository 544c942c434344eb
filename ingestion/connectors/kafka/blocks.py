"""kafka-python's fetcher by whole record batches: columns straight from the wire, no object per record.

Transactions, markers and checksums stay the fetcher's business; only the records of a batch are read here.
The format: https://kafka.apache.org/documentation/#recordbatch
"""

from dataclasses import dataclass
from typing import Any

from kafka.consumer.fetcher import Fetcher
from kafka.errors import CorruptRecordError
from kafka.record.default_records import DefaultRecord, DefaultRecordBatch

from ingestion.connectors.kafka.rows import Headers, Rows
from ingestion.log.port import Window

_NULL = 1
"""The length -1, zigzag encoded."""


def deliver_blocks(consumer: Any) -> None:
    """From now on the consumer's poll gives a Block as the value of one record per record batch.

    Batches of formats older than Kafka 0.11 still come as single records.
    """
    consumer._fetcher.PartitionRecords = _PartitionBlocks


@dataclass(frozen=True)
class Block:
    """One record batch, still compressed."""

    batch: Any

    def __len__(self) -> int:
        return int(self.batch.size_in_bytes)

    def add_to(self, rows: Rows, partition: str, window: Window) -> None:
        """Decompress, and add the records that are inside the window.

        Raises:
            CorruptRecordError: The records are not what the batch says.
        """
        batch = iter(self.batch)  # decompresses
        data = bytes(memoryview(batch._buffer)[batch._pos :])
        try:
            columns = _columns(data, batch.records_count, batch.base_offset, batch.first_timestamp)
        except (IndexError, ValueError) as error:
            raise CorruptRecordError(f"{partition}@{batch.base_offset}: {error}") from None
        positions, keys, values, timestamps, headers = columns
        if batch.timestamp_type == batch.LOG_APPEND_TIME:
            timestamps = [batch.max_timestamp] * len(positions)
        first = sum(position < window.start for position in positions) if positions[0] < window.start else 0
        last = len(positions)
        if positions[-1] >= window.end:
            last -= sum(position >= window.end for position in positions)
        part = slice(first, last)
        rows.add(
            partition,
            positions[part],
            keys=keys[part],
            values=values[part],
            timestamps=timestamps[part],
            headers=[headers.get(index) for index in range(first, last)] if headers else None,
        )


class _PartitionBlocks(Fetcher.PartitionRecords):  # type: ignore[misc]
    """What the fetcher makes of one partition's answer, with its batches left whole."""

    def __init__(self, fetch_offset: int, tp: Any, records: Any, **options: Any) -> None:
        super().__init__(fetch_offset, tp, _Batches(records), **options)


class _Batches:
    def __init__(self, records: Any) -> None:
        self._records = records

    def next_batch(self) -> Any:
        batch = self._records.next_batch()
        whole = isinstance(batch, DefaultRecordBatch) and not batch.is_control_batch
        return _WholeBatch(batch) if whole else batch


class _WholeBatch:
    """A record batch whose only record stands at its last offset and holds all of it."""

    def __init__(self, batch: DefaultRecordBatch) -> None:
        self._batch = batch

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)

    def __iter__(self) -> Any:
        batch = self._batch
        if batch.records_count:  # compaction may leave an empty one
            yield DefaultRecord(
                batch.size_in_bytes, batch.last_offset, batch.max_timestamp, 0, None, Block(batch), []
            )


def _columns(
    data: bytes, count: int, base_offset: int, base_timestamp: int
) -> tuple[list[int], list[bytes | None], list[bytes | None], list[int], dict[int, Headers]]:
    """Positions, keys, values, timestamps, and index → headers. Written for speed: a million events a run."""
    positions: list[int] = []
    keys: list[bytes | None] = []
    values: list[bytes | None] = []
    timestamps: list[int] = []
    headers: dict[int, Headers] = {}
    at, more = 0, _longer_varint
    for index in range(count):
        number, at = data[at], at + 1
        if number > 127:
            number, at = more(number, data, at)
        end = at + (number >> 1)
        number, at = data[at + 1], at + 2  # after the attributes, which mean nothing yet
        if number > 127:
            number, at = more(number, data, at)
        timestamps.append(base_timestamp + ((number >> 1) ^ -(number & 1)))
        number, at = data[at], at + 1
        if number > 127:
            number, at = more(number, data, at)
        positions.append(base_offset + (number >> 1))
        for column in (keys, values):
            number, at = data[at], at + 1
            if number > 127:
                number, at = more(number, data, at)
            if number == _NULL:
                column.append(None)
            else:
                start, at = at, at + (number >> 1)
                column.append(data[start:at])
        if data[at] == 0:
            at += 1
        else:
            headers[index], at = _headers(data, at)
        if at != end:
            raise ValueError(f"record {index} ends at byte {at} instead of {end}")
    if at != len(data):
        raise ValueError(f"{len(data) - at} bytes follow the last record")
    return positions, keys, values, timestamps, headers


def _headers(data: bytes, at: int) -> tuple[Headers, int]:
    count, at = _length(data, at)
    pairs: list[tuple[str | bytes, bytes | None]] = []
    for _ in range(count):
        length, at = _length(data, at)
        name, at = data[at : at + length], at + length
        length, at = _length(data, at)
        value = None if length < 0 else data[at : at + length]
        at += max(length, 0)
        pairs.append((name, value))
    return pairs, at


def _length(data: bytes, at: int) -> tuple[int, int]:
    number, at = data[at], at + 1
    if number > 127:
        number, at = _longer_varint(number, data, at)
    return (number >> 1) ^ -(number & 1), at


def _longer_varint(number: int, data: bytes, at: int) -> tuple[int, int]:
    """The rest of a varint whose first byte says that more follow; still zigzag encoded."""
    number, shift = number & 127, 7
    while True:
        byte, at = data[at], at + 1
        number |= (byte & 127) << shift
        if byte < 128:
            return number, at
        shift += 7
