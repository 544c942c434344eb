"""What Kafka may forget before the lake has it: copies, elections, retention against what is unread.

Kafka does not flush: what it acknowledged is safe in other copies, not on its disk. Nobody can ask its clock.
See https://kafka.apache.org/documentation/#topicconfigs.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from kafka import KafkaAdminClient
from kafka.admin import ConfigResource, ConfigResourceType

from ingestion.connectors.durability import Reading, listed, span
from ingestion.connectors.kafka.access import KafkaAccess, connection_options
from ingestion.connectors.kafka.refusals import translated
from ingestion.connectors.port import Finding

_PART = "kafka durability"
_NAMES = (
    "cleanup.policy", "retention.ms", "retention.bytes", "min.insync.replicas",
    "unclean.leader.election.enable",
)  # fmt: skip
_SHORT_SECONDS = 86_400.0
_AHEAD_SECONDS = 60.0
_DANGER = 0.5
"""Of what retention allows: an unread event that has used up so much of it is in danger."""


@dataclass(frozen=True)
class Keeping:
    """How a topic is kept.

    Attributes:
        copies: Replicas of the partition that has the fewest.
        in_sync: So many have an event before it is acknowledged (acks=all).
        unclean: A copy that lacks acknowledged events may become the leader.
        seconds: Events are deleted after so long; None: never for their age.
        bytes: A partition's oldest events are deleted beyond so many; None: never for its size.
        compacted: Of each key only the last event stays.
    """

    copies: int
    in_sync: int
    unclean: bool
    seconds: float | None
    bytes: int | None
    compacted: bool


def ask(
    topics: Sequence[str], access: KafkaAccess, *, timeout_seconds: float
) -> tuple[dict[str, Keeping], dict[str, int]]:
    """How topics are kept, and partition → bytes on its broker's disk where the broker says that.

    Raises:
        SourceUnavailable: The broker is away, or refuses to answer.
    """
    where = f"Kafka at {access.bootstrap_servers}"
    with translated(where, access, missing=f"{where} has none of these topics any more"):
        admin = KafkaAdminClient(**connection_options(access, timeout_seconds=timeout_seconds))
        try:
            described = {each["name"]: each for each in admin.describe_topics(list(topics))}
            resources = [ConfigResource(ConfigResourceType.TOPIC, topic) for topic in topics]
            # A broker that cannot say it answers with an error, or leaves settings out.
            configs = admin.describe_configs(resources, config_filter="all").get("topic", {})
            sizes = _sizes(admin.describe_log_dirs(list(topics)))
        finally:
            admin.close()
    return (
        {
            topic: _keeping(described[topic], {name: configs[topic][name]["value"] for name in _NAMES})
            for topic in topics
            if described.get(topic, {}).get("partitions") and set(_NAMES) <= configs.get(topic, {}).keys()
        },
        sizes,
    )


def judge(
    readings: Sequence[Reading], kept: Mapping[str, Keeping], sizes: Mapping[str, int], *, now: datetime
) -> Iterator[Finding]:
    """What that is worth, with topics of which the same is to be said in one sentence.

    Args:
        readings: The streams.
        kept: Topic → how it is kept.
        sizes: Partition → bytes.
        now: UTC.
    """
    topics_read = {name.rpartition("-")[0] for reading in readings for name in reading.bounds}
    if silent := topics_read - kept.keys():
        yield Finding(_PART, "note", f"Kafka does not say how it keeps {listed(silent)}")
    alike: dict[Keeping, set[str]] = {}
    for topic, keeping in kept.items():
        alike.setdefault(keeping, set()).add(topic)
    for keeping, topics in alike.items():
        yield from _copies(keeping, listed(topics))
        yield from _retention(keeping, listed(topics))
    for reading in readings:
        for partition in reading.unread:
            if found := kept.get(partition.rpartition("-")[0]):
                yield from _in_danger(reading, partition, found, sizes.get(partition), now)


def _copies(keeping: Keeping, topics: str) -> Iterator[Finding]:
    if keeping.copies < 2:
        yield Finding(
            _PART, "note",
            f"Kafka has one copy of {topics}: what it acknowledged is lost with its broker's disk, and in a "
            "power failure, since Kafka does not flush; three brokers and replication factor 3 keep it",
        )  # fmt: skip
        return
    if keeping.unclean:
        yield Finding(
            _PART, "problem",
            f"Kafka may make a copy of {topics} the leader that lacks acknowledged events: set "
            "unclean.leader.election.enable=false",
        )  # fmt: skip
    if keeping.in_sync < 2:
        yield Finding(
            _PART, "note",
            f"Kafka acknowledges events of {topics} when one copy has them: they are lost with it; set "
            "min.insync.replicas=2, and let producers use acks=all",
        )  # fmt: skip
    elif not keeping.unclean:
        yield Finding(
            _PART, "ok",
            f"Kafka has {keeping.copies} copies of {topics}, and with acks=all {keeping.in_sync} of them "
            "have an event before it is acknowledged",
        )  # fmt: skip


def _retention(keeping: Keeping, topics: str) -> Iterator[Finding]:
    if keeping.compacted:
        yield Finding(
            _PART, "note",
            f"{topics} is compacted: of each key only the last event stays, and what is overwritten before "
            "it is read is not in the lake",
        )  # fmt: skip
    limits = [f"{span(keeping.seconds)}" if keeping.seconds is not None else ""]
    limits += [f"up to {keeping.bytes:,} bytes a partition" if keeping.bytes is not None else ""]
    kept = " and ".join(filter(None, limits))
    if not kept:
        yield Finding(_PART, "ok", f"Kafka deletes nothing of {topics} for its age or size")
    elif keeping.seconds is not None and keeping.seconds < _SHORT_SECONDS:
        yield Finding(
            _PART, "note",
            f"Kafka keeps events of {topics} for {kept} only: an outage that is longer loses them; raise "
            "retention.ms",
        )  # fmt: skip
    else:
        yield Finding(
            _PART, "ok", f"Kafka keeps events of {topics} for {kept}: so long millrace may stand still"
        )


def _in_danger(
    reading: Reading, partition: str, keeping: Keeping, size: int | None, now: datetime
) -> Iterator[Finding]:
    """Whether unread events will be deleted before they are read, as far as that can be foreseen."""
    unread, bounds = reading.unread[partition], reading.bounds[partition]
    waiting = unread.end - unread.start
    what = f"stream '{reading.stream}': {waiting:,} events of {partition} are unread"
    remedy = "find out why ingestion does not catch up, or raise"
    ahead = (reading.oldest[partition] - now).total_seconds() if partition in reading.oldest else 0.0
    if ahead > _AHEAD_SECONDS:
        yield Finding(
            _PART, "note",
            f"{what}, and the first is stamped {span(ahead)} ahead of this machine's clock: this clock, or "
            "its sender's, is wrong",
        )  # fmt: skip
    if keeping.seconds is not None:
        oldest = reading.oldest.get(partition)
        age = max(0.0, (now - oldest).total_seconds()) if oldest else 0.0
        drain = waiting / reading.events_per_second if reading.events_per_second else 0.0
        if max(age, drain) > _DANGER * keeping.seconds:
            pace = f", at the pace of the last hour they are read in {span(drain)}" if drain > age else ""
            yield Finding(
                _PART, "problem",
                f"{what}, the oldest for {span(age)}{pace}, and Kafka deletes them after "
                f"{span(keeping.seconds)}: {remedy} retention.ms",
            )  # fmt: skip
            return
    if keeping.bytes is not None and size is not None and bounds.end > bounds.begin:
        takes = size * waiting / (bounds.end - bounds.begin)
        if takes > _DANGER * keeping.bytes:
            yield Finding(
                _PART, "problem",
                f"{what}, about {takes:,.0f} bytes, and Kafka keeps {keeping.bytes:,} of a partition: "
                f"{remedy} retention.bytes",
            )  # fmt: skip


def _keeping(described: Mapping[str, Any], values: Mapping[str, str]) -> Keeping:
    deletes = "delete" in values["cleanup.policy"]
    milliseconds, size = int(values["retention.ms"]), int(values["retention.bytes"])
    return Keeping(
        copies=min(len(partition["replica_nodes"]) for partition in described["partitions"]),
        in_sync=int(values["min.insync.replicas"]),
        unclean=values["unclean.leader.election.enable"] == "true",
        seconds=milliseconds / 1000 if deletes and milliseconds >= 0 else None,
        bytes=size if deletes and size >= 0 else None,
        compacted="compact" in values["cleanup.policy"],
    )


def _sizes(answers: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """The largest copy of each partition; brokers may refuse to say it."""
    sizes: dict[str, int] = {}
    for answer in answers:
        for folder in answer["log_dirs"]:
            for topic in folder.get("topics") or ():
                for partition in topic["partitions"]:
                    name = f"{topic['name']}-{partition['partition_index']}"
                    sizes[name] = max(sizes.get(name, 0), int(partition["partition_size"]))
    return sizes
