"""The shards of a data stream, and in which order they are read: parents before their children."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True)
class Shard:
    """A shard.

    Attributes:
        name: Its id.
        parents: The shards that were split or merged into it.
        is_closed: It was split or merged itself: nothing is written to it any more.
    """

    name: str
    parents: tuple[str, ...]
    is_closed: bool


@dataclass(frozen=True)
class StreamLook:
    """What a data stream is at the moment.

    Attributes:
        created: When it was made: another time is another stream of the same name.
        retention_hours: How long it keeps a record.
        shards: Those that it still has.
    """

    created: datetime
    retention_hours: int
    shards: tuple[Shard, ...]


def look_at(client: Any, stream: str) -> StreamLook:
    """Ask what a data stream is; raises what boto3 raises."""
    summary = client.describe_stream_summary(StreamName=stream)["StreamDescriptionSummary"]
    found: list[Shard] = []
    wanted = {"StreamName": stream}
    while True:
        page = client.list_shards(**wanted)
        found += [_shard(each) for each in page["Shards"]]
        if not page.get("NextToken"):
            break
        wanted = {"NextToken": page["NextToken"]}
    return StreamLook(summary["StreamCreationTimestamp"], summary["RetentionPeriodHours"], tuple(found))


def readable(shards: Sequence[Shard], finished: Collection[str]) -> list[Shard]:
    """Those whose turn it is: not read to their end, and no parent is left that is not.

    Args:
        shards: What the data stream has.
        finished: Shards that were read to their end.
    """
    unread = {shard.name for shard in shards} - set(finished)
    return [shard for shard in shards if shard.name in unread and not unread & set(shard.parents)]


def _shard(found: dict[str, Any]) -> Shard:
    parents = (found.get("ParentShardId"), found.get("AdjacentParentShardId"))
    closed = bool(found["SequenceNumberRange"].get("EndingSequenceNumber"))
    return Shard(found["ShardId"], tuple(each for each in parents if each), closed)
