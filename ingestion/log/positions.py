"""Which part of each partition a batch takes: contiguity, new partitions, truncation, limits.

Pure: what the log holds and what the ledger says come in as arguments. Rules: docs/delivery.md.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from ingestion.declare.stream import Stream
from ingestion.errors import LogTruncated
from ingestion.log.port import Bounds, Window


@dataclass(frozen=True)
class Position:
    """How far a partition is in the lake.

    Attributes:
        next: The position that the next batch begins with.
        log_id: Identity of the log it was read from; empty where the broker has none.
    """

    next: int
    log_id: str = ""


def behind_truncation(positions: Mapping[str, Position], bounds: Mapping[str, Bounds]) -> dict[str, Position]:
    """`on_truncated: earliest`: positions that the log no longer holds move to its beginning."""
    return {
        name: Position(max(position.next, bounds[name].begin), position.log_id)
        if name in bounds
        else position
        for name, position in positions.items()
    }


def is_another_log(position: Position, held: Bounds) -> bool:
    """Whether a log certainly does not continue what was read up to a position: check_log will refuse it."""
    return _is_other(position, held) or position.next > held.end


def check_log(stream: Stream, positions: Mapping[str, Position], bounds: Mapping[str, Bounds]) -> None:
    """Refuse a log that is not the continuation of what the lake holds.

    Raises:
        LogTruncated: A partition is gone, was made again, or no longer holds the next position.
    """
    tell = _spool_sentence if stream.kind == "mqtt" else _topic_sentence
    for partition, position in positions.items():
        if wrong := tell(position, bounds.get(partition)):
            raise LogTruncated(f"stream '{stream.name}': {partition} {wrong.format(stream=stream.name)}")


def _topic_sentence(position: Position, held: Bounds | None) -> str:
    if held is None:
        return (
            f"is in the lake up to {position.next}, but the broker has it no more; "
            "restore the topic, or declare its successor as a new stream"
        )
    if _is_other(position, held):
        return (
            "was deleted and made again: its positions start over and cannot be told from those "
            "in the lake; declare the new topic as a new stream"
        )
    if position.next > held.end:
        return (
            f"ends at {held.end}, before our position {position.next}: it lost events or was "
            "made again; declare it as a new stream to read it from its beginning"
        )
    if position.next < held.begin:
        return (
            f"begins at {held.begin}, after our position {position.next}: retention deleted "
            f"{held.begin - position.next} unread positions; set 'on_truncated: earliest' on its source "
            "to go on behind the gap"
        )
    return ""


def _spool_sentence(position: Position, held: Bounds | None) -> str:
    if held is None:
        wrong = f"is in the lake up to {position.next}, but its spool is gone"
    elif _is_other(position, held):
        wrong = f"is in the lake up to {position.next}, but its spool was made again and starts over"
    elif position.next > held.end:
        wrong = f"has a spool that ends at {held.end}, before our position {position.next}: an older copy"
    elif position.next < held.begin:
        wrong = (
            f"has a spool that begins at {held.begin}, after our position {position.next}: "
            f"{held.begin - position.next} unread events were removed"
        )
    else:
        return ""
    return (
        f"{wrong}; put the right one back into spool/{{stream}}, or accept the loss of what it alone held: "
        "'millrace adopt {stream}' goes on with the spool that is there"
    )


def _is_other(position: Position, held: Bounds) -> bool:
    return bool(position.log_id and held.log_id and position.log_id != held.log_id)


def plan_windows(
    starts: Mapping[str, int], bounds: Mapping[str, Bounds], *, max_events: int
) -> dict[str, Window]:
    """Windows that begin at `starts` and hold at most about `max_events` positions together.

    Each partition gets its share of the limit in proportion to how far it is behind, and one at least,
    so that none starves.

    Args:
        starts: Partition → first position to read.
        bounds: Partition → what the log holds.
        max_events: Upper bound on positions, give or take one a partition.
    """
    behind = {partition: max(0, bounds[partition].end - start) for partition, start in starts.items()}
    total = sum(behind.values())
    windows = {}
    for partition, start in starts.items():
        wanted = behind[partition]
        share = wanted if total <= max_events else max(min(wanted, 1), wanted * max_events // total)
        windows[partition] = Window(start, start + share)
    return windows
