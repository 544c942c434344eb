"""Looks at a data stream with iterators of its own: nothing is remembered anywhere."""

import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from ingestion.connectors.kinesis.access import KinesisAccess
from ingestion.connectors.kinesis.client import open_client, translated
from ingestion.connectors.kinesis.declare import KinesisSource
from ingestion.connectors.kinesis.records import events_of
from ingestion.connectors.kinesis.shards import look_at
from ingestion.connectors.messages import Look, Message

_LOOK_BACK = (timedelta(minutes=1), timedelta(hours=1), None)
"""A shard has no way backwards, so `latest` begins ever earlier; None: at its beginning."""
_MOST_RECORDS = 20_000
_BEGINNING = {"ShardIteratorType": "TRIM_HORIZON"}
_PAUSE_SECONDS = 0.25
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def peek(source: KinesisSource, access: KinesisAccess, look: Look) -> Iterator[Message]:
    """The last messages, or the first ones from a moment on, in order of time (port.Connector.peek)."""
    client = open_client(access, timeout_seconds=look.timeout_seconds)
    with translated(access, client, stream=source.kinesis):
        shards = [shard.name for shard in look_at(client, source.kinesis).shards]
        if look.start != "latest":
            begin = _since(look.start) if isinstance(look.start, datetime) else _BEGINNING
            yield from _read(client, source.kinesis, shards, begin, most=look.limit)[: look.limit]
            return
        found: list[Message] = []
        for back in _LOOK_BACK:
            begin = _since(datetime.now(UTC) - back) if back else _BEGINNING
            found = _read(client, source.kinesis, shards, begin, most=_MOST_RECORDS)
            if len(found) >= look.limit:
                break
        yield from found[-look.limit :]


def _since(moment: datetime) -> Mapping[str, Any]:
    return {"ShardIteratorType": "AT_TIMESTAMP", "Timestamp": moment}


def _read(
    client: Any, stream: str, shards: list[str], begin: Mapping[str, Any], *, most: int
) -> list[Message]:
    """Up to so many messages of each shard, all of them in order of time."""
    found: list[tuple[int, Message]] = []
    for shard in shards:
        iterator = client.get_shard_iterator(StreamName=stream, ShardId=shard, **begin)["ShardIterator"]
        count = 0
        while iterator and count < most:
            answer = client.get_records(ShardIterator=iterator, Limit=min(most, 10_000))
            for record in answer["Records"]:
                for event, _ in events_of(record, shard):
                    moment = _EPOCH + timedelta(microseconds=event.received_us)
                    message = Message(shard, None, event.key, event.value, event.headers, moment)
                    found.append((event.received_us, message))
                    count += 1
            if not answer["Records"] and not answer.get("MillisBehindLatest"):
                break
            iterator = answer.get("NextShardIterator")
            time.sleep(_PAUSE_SECONDS if iterator and not answer["Records"] else 0)
    return [message for _, message in sorted(found, key=lambda each: each[0])]
