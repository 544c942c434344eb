"""Leader epochs: an end of a partition belongs to an epoch, and a later leader knows where that epoch ended.

A consumer that stays validates its own position when the leader changes; here the position is a lake's, which
outlives every consumer. See KIP-320. Errors are kafka-python's; whoever calls translates them.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

from kafka import TopicPartition
from kafka import errors as kafka_errors
from kafka.protocol.consumer import OffsetForLeaderEpochRequest, OffsetSpec

_Topic = OffsetForLeaderEpochRequest.OffsetForLeaderTopic
_Partition = _Topic.OffsetForLeaderPartition


class End(NamedTuple):
    """A partition's end and the epoch of the leader that says so; -1 where the broker has no epochs."""

    offset: int
    epoch: int


@dataclass(frozen=True)
class EpochMark:
    """What an end is known by: it stood in this epoch."""

    epoch: int
    end: int

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """What `str` gave; None for anything else."""
        epoch, _, end = text.removeprefix("epoch ").partition(" to ")
        return cls(int(epoch), int(end)) if epoch.isdigit() and end.isdigit() else None

    def __str__(self) -> str:
        return f"epoch {self.epoch} to {self.end}"


def last_ends(
    consumer: Any, partitions: Iterable[TopicPartition], *, timeout_ms: int
) -> dict[TopicPartition, End]:
    """Each partition's end as `end_offsets` gives it, with the leader's epoch.

    Raises:
        KeyError: The broker gave none for this partition, as with `end_offsets`.
    """
    wanted = dict.fromkeys(partitions, OffsetSpec.LATEST)
    found = consumer._fetcher.offsets_by_times(wanted, timeout_ms=timeout_ms)
    if missing := [tp for tp, each in found.items() if each is None]:
        raise KeyError(missing[0])
    return {tp: End(each.offset, each.leader_epoch) for tp, each in found.items()}


def where_epochs_ended(
    consumer: Any, epochs: Mapping[TopicPartition, int], *, timeout_ms: int
) -> dict[TopicPartition, int]:
    """Where each of these epochs ended, as today's leaders know it.

    Returns:
        Partition → the position after the last one of the epoch; 0 where the leader has never known it.
        Empty where brokers do not answer such questions.

    Raises:
        KafkaError: A leader does not answer, or is one no longer: ask again later.
    """
    cluster = consumer._client.cluster
    by_leader: dict[int, dict[str, list[Any]]] = defaultdict(lambda: defaultdict(list))
    for tp, epoch in epochs.items():
        leader = cluster.leader_for_partition(tp)
        if leader is None or leader < 0:
            cluster.request_update()
            raise kafka_errors.LeaderNotAvailableError(f"{tp.topic}-{tp.partition}")
        asked = _Partition(partition=tp.partition, current_leader_epoch=-1, leader_epoch=epoch)
        by_leader[leader][tp.topic].append(asked)
    ended: dict[TopicPartition, int] = {}
    for leader, topics in by_leader.items():
        request = OffsetForLeaderEpochRequest(replica_id=-1, topics=list(topics.items()))
        try:
            answer = _ask(consumer, leader, request, timeout_ms=timeout_ms)
        except kafka_errors.IncompatibleBrokerVersion:
            continue
        for topic in answer.topics:
            for part in topic.partitions:
                if part.error_code:
                    cluster.request_update()
                    raise kafka_errors.for_code(part.error_code)(f"{topic.topic}-{part.partition}")
                ended[TopicPartition(topic.topic, part.partition)] = max(0, part.end_offset)
    return ended


def _ask(consumer: Any, node_id: int, request: Any, *, timeout_ms: int) -> Any:
    manager = consumer._client._manager

    async def answer() -> Any:
        return await manager.wait_for(manager.send(request, node_id=node_id), timeout_ms)

    return manager._net.run(answer)
