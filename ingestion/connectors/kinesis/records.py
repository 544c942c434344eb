"""Kinesis records → spool events: one each, or many where the Kinesis Producer Library packed them together.

The format of what is packed: github.com/awslabs/amazon-kinesis-producer, aggregation-format.md. What looks
packed and is not whole is one event as it came: nothing is dropped here.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import orjson

from ingestion.spool.writer import SpoolEvent

_MAGIC = bytes.fromhex("f3899ac2")
_DIGEST_BYTES = hashlib.md5(usedforsecurity=False).digest_size
_VARINT, _EIGHT, _BYTES, _FOUR = 0, 1, 2, 5


class Place(NamedTuple):
    """Where an event was in its data stream.

    Attributes:
        shard: The shard's id.
        sequence: The record's sequence number; numbers of a shard grow.
        is_last: No further event of the record follows.
    """

    shard: str
    sequence: str
    is_last: bool


def events_of(record: Mapping[str, Any], shard: str) -> list[tuple[SpoolEvent, Place]]:
    """The events of a record, each with its place.

    Args:
        record: As GetRecords gives it.
        shard: Of which shard.
    """
    data: bytes = record["Data"]
    sequence: str = record["SequenceNumber"]
    arrived_us = round(record["ApproximateArrivalTimestamp"].timestamp() * 1_000_000)
    packed = unpack(data)
    if packed is None:
        headers = orjson.dumps({"shard": shard, "sequence": sequence}).decode()
        event = SpoolEvent(record["PartitionKey"].encode(), data, headers, arrived_us)
        return [(event, Place(shard, sequence, True))]
    found = []
    for number, (key, value) in enumerate(packed):
        headers = orjson.dumps(
            {"shard": shard, "sequence": sequence, "subsequence": number, "subsequences": len(packed)}
        ).decode()
        place = Place(shard, sequence, number == len(packed) - 1)
        found.append((SpoolEvent(key, value, headers, arrived_us), place))
    return found


def place_of(headers: str | None) -> Place | None:
    """The place that `events_of` wrote into an event's headers."""
    if not headers:
        return None
    given = orjson.loads(headers)
    last = given.get("subsequence", 0) == given.get("subsequences", 1) - 1
    return Place(given["shard"], given["sequence"], last)


def unpack(data: bytes) -> list[tuple[bytes, bytes]] | None:
    """Partition key and payload of each event in a packed record; None where it is not one, or holds none."""
    body, digest = data[len(_MAGIC) : -_DIGEST_BYTES], data[-_DIGEST_BYTES:]
    if data[: len(_MAGIC)] != _MAGIC or hashlib.md5(body, usedforsecurity=False).digest() != digest:
        return None
    try:
        return _Packed.parse(body).events() or None
    except (ValueError, LookupError):
        return None


@dataclass
class _Packed:
    """An AggregatedRecord: keys, and records that name theirs by index."""

    keys: list[bytes] = field(default_factory=list)
    records: list[bytes] = field(default_factory=list)

    @staticmethod
    def parse(body: bytes) -> "_Packed":
        """Raises ValueError or LookupError where it is not one."""
        packed = _Packed()
        for number, value in _fields(body):
            if isinstance(value, bytes) and number == 1:
                packed.keys.append(value)
            elif isinstance(value, bytes) and number == 3:
                packed.records.append(value)
        return packed

    def events(self) -> list[tuple[bytes, bytes]]:
        found = []
        for record in self.records:
            fields = dict(_fields(record))
            key, data = fields.get(1), fields.get(3)
            if not isinstance(key, int) or not isinstance(data, bytes):
                raise ValueError("a record without key or payload")
            found.append((self.keys[key], data))
        return found


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Number and value of each field (protobuf.dev, encoding); raises ValueError or LookupError."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        number, kind = tag >> 3, tag & 7
        if kind == _VARINT:
            value, at = _varint(message, at)
            yield number, value
            continue
        size, at = _varint(message, at) if kind == _BYTES else ({_EIGHT: 8, _FOUR: 4}[kind], at)
        if at + size > len(message):
            raise ValueError("a field reaches beyond its message")
        yield number, message[at : at + size]
        at += size


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
