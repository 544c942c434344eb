"""Which part of each partition a batch takes: contiguity, new partitions, truncation, limits.

Pure: what the log holds and what the ledger says come in as arguments. Rules: docs/delivery.md.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from ingestion.errors import LogTruncated
from ingestion.sources.base import Bounds, Window


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
    made_again = bool(position.log_id and held.log_id and position.log_id != held.log_id)
    return made_again or position.next > held.end


def check_log(stream: str, positions: Mapping[str, Position], bounds: Mapping[str, Bounds]) -> None:
    """Refuse a log that is not the continuation of what the lake holds.

    Raises:
        LogTruncated: A partition is gone, was made again, or no longer holds the next position.
    """
    for partition, position in positions.items():
        where = f"stream '{stream}': {partition}"
        held = bounds.get(partition)
        if held is None:
            raise LogTruncated(
                f"{where} is in the lake up to {position.next}, but the broker has it no more; "
                "restore the topic, or declare its successor as a new stream"
            )
        if position.log_id and held.log_id and position.log_id != held.log_id:
            raise LogTruncated(
                f"{where} was deleted and made again: its positions start over and cannot be told from those "
                "in the lake; declare the new topic as a new stream"
            )
        if position.next > held.end:
            raise LogTruncated(
                f"{where} ends at {held.end}, before our position {position.next}: it lost events or was "
                "made again; declare it as a new stream to read it from its beginning"
            )
        if position.next < held.begin:
            raise LogTruncated(
                f"{where} begins at {held.begin}, after our position {position.next}: retention deleted "
                f"{held.begin - position.next} unread positions; set 'on_truncated: earliest' on its source "
                "to go on behind the gap"
            )


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
