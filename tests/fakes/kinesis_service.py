"""A client of a Kinesis that behaves as AWS documents and no emulator does: split shards close and end.

Records stay in the shard that they were written to; a closed shard's last iterator is missing; sequence
numbers are large and grow over all shards. Resharding: docs.aws.amazon.com/streams/latest/dev, "After
resharding".
"""

import hashlib
import itertools
import threading
from datetime import UTC, datetime
from typing import Any

_FIRST_SEQUENCE = 49_660_000_000_000_000_000_000_000_000_000_000_000_000_000_000_000_000_000
_SPACE = 2**128


class KinesisService:
    """One data stream, called as boto3's client is.

    Attributes:
        stalled: Shards that answer without records, as those do whose records are slow to appear.
    """

    def __init__(self) -> None:
        self.stalled: set[str] = set()
        self._sequences = itertools.count(_FIRST_SEQUENCE, 7)
        self._created = datetime.now(UTC)
        self._shards: dict[str, dict[str, Any]] = {}
        self._lock = threading.Lock()
        self._add(0, _SPACE - 1)

    def put(self, data: bytes, key: str) -> str:
        """Write a record; returns its shard."""
        place = int(hashlib.md5(key.encode()).hexdigest(), 16)
        with self._lock:
            shard = next(
                each for each in self._shards.values()
                if not each["closed"] and each["begin"] <= place <= each["end"]
            )  # fmt: skip
            record = {
                "SequenceNumber": str(next(self._sequences)), "Data": data, "PartitionKey": key,
                "ApproximateArrivalTimestamp": datetime.now(UTC),
            }  # fmt: skip
            shard["records"].append(record)
            return str(shard["name"])

    def split(self, name: str) -> None:
        """Close a shard; two take its place."""
        with self._lock:
            shard = self._shards[name]
            shard["closed"] = True
            middle = (shard["begin"] + shard["end"]) // 2
            self._add(shard["begin"], middle, name)
            self._add(middle + 1, shard["end"], name)

    def merge(self, one: str, other: str) -> None:
        """Close two neighbours; one takes their place."""
        with self._lock:
            both = [self._shards[one], self._shards[other]]
            for shard in both:
                shard["closed"] = True
            self._add(min(each["begin"] for each in both), max(each["end"] for each in both), one, other)

    def open_shards(self) -> list[str]:
        """Those that are written to."""
        return [name for name, shard in self._shards.items() if not shard["closed"]]

    def expire(self, name: str) -> None:
        """Retention has deleted a closed shard."""
        with self._lock:
            del self._shards[name]

    def _add(self, begin: int, end: int, *parents: str) -> None:
        name = f"shardId-{next(self._sequences) % 10**12:012d}"
        self._shards[name] = {
            "name": name, "begin": begin, "end": end, "closed": False, "parents": parents, "records": []
        }  # fmt: skip

    def describe_stream_summary(self, **_: Any) -> dict[str, Any]:
        """As boto3's."""
        told = {"StreamCreationTimestamp": self._created, "RetentionPeriodHours": 24}
        return {"StreamDescriptionSummary": told}

    def list_shards(self, **_: Any) -> dict[str, Any]:
        """As boto3's."""
        with self._lock:
            return {"Shards": [_told(shard) for shard in self._shards.values()]}

    def get_shard_iterator(self, **asked: Any) -> dict[str, Any]:
        """As boto3's."""
        after = asked.get("StartingSequenceNumber", "0")
        assert asked["ShardIteratorType"] in ("TRIM_HORIZON", "AFTER_SEQUENCE_NUMBER")
        return {"ShardIterator": f"{asked['ShardId']} {after}"}

    def get_records(self, **asked: Any) -> dict[str, Any]:
        """As boto3's; three records at most, so that a shard takes several answers."""
        name, after = asked["ShardIterator"].split()
        with self._lock:
            shard = self._shards[name]
            newer = [each for each in shard["records"] if int(each["SequenceNumber"]) > int(after)]
            found = [] if name in self.stalled else newer[:3]
            answer: dict[str, Any] = {
                "Records": found,
                "MillisBehindLatest": 1 if len(newer) > len(found) else 0,
            }
            if not (shard["closed"] and len(found) == len(newer)):
                newest = found[-1]["SequenceNumber"] if found else after
                answer["NextShardIterator"] = f"{name} {newest}"
            return answer


def _told(shard: dict[str, Any]) -> dict[str, Any]:
    told = {"ShardId": shard["name"], "SequenceNumberRange": {"StartingSequenceNumber": "0"}}
    if shard["closed"]:
        told["SequenceNumberRange"]["EndingSequenceNumber"] = "1"
    for name, parent in zip(("ParentShardId", "AdjacentParentShardId"), shard["parents"], strict=False):
        told[name] = parent
    return told
