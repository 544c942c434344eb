"""Which part of each partition a batch takes: contiguity, new partitions, truncation, limits.

Pure: what the log holds and what the ledger says come in as arguments. Rules: docs/delivery.md.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from ingestion.errors import LogTruncated
from ingestion.log.port import Bounds, Break, Log, Window


@dataclass(frozen=True)
class Position:
    """How far a partition is in the lake.

    Attributes:
        next: The position that the next batch begins with.
        log_id: Identity of the log it was read from; empty where the broker has none.
        retired: Why the stream does not read it on, one of the words below; empty while it does.
        known_end: Where the log ended when it was last looked at.
    """

    next: int
    log_id: str = ""
    retired: str = ""
    known_end: int = 0


UNDECLARED = "undeclared"
"""The declaration no longer covers the partition."""
GONE = "gone"
"""The broker has it no more, and the lake held all of it."""
LOST = "lost"
"""The broker has it no more, and a person accepted the loss of what was unread."""
BEGINNING = "beginning"
"""Not a partition: the stream was declared here, before there was any."""
GIVEN = "given"
"""Not the stream's own log: messages that came before a stream took them, and were given to it."""


def after_truncation(positions: Mapping[str, Position], bounds: Mapping[str, Bounds]) -> dict[str, Position]:
    """`on_truncated: earliest`: positions that the log no longer holds move to its beginning."""
    return {
        name: Position(max(position.next, bounds[name].begin), position.log_id)
        if name in bounds
        else position
        for name, position in positions.items()
    }


def find_break(position: Position, bounds: Bounds | None) -> Break | None:
    """How a partition fails to continue what the lake holds of it; None when it continues it.

    Args:
        position: How far it is in the lake.
        bounds: What the log holds of it; None where the log has no such partition.
    """
    if bounds is None:
        return Break.GONE
    if position.log_id and bounds.log_id and position.log_id != bounds.log_id:
        return Break.OTHER_LOG
    if position.next > bounds.end:
        return Break.ENDS_BEFORE
    return Break.BEGINS_AFTER if position.next < bounds.begin else None


def is_another_log(position: Position, bounds: Bounds | None) -> bool:
    """Whether a log certainly does not continue what was read up to a position."""
    return find_break(position, bounds) in (Break.GONE, Break.OTHER_LOG, Break.ENDS_BEFORE)


def check_log(stream: str, log: Log, positions: Mapping[str, Position], bounds: Mapping[str, Bounds]) -> None:
    """Refuse a log that is not the continuation of what the lake holds.

    Args:
        stream: The stream's name.
        log: Its log; it says what to do about a break.
        positions: How far each partition is in the lake.
        bounds: What the log holds.

    Raises:
        LogTruncated: A partition is gone, was made again, or no longer holds the next position.
    """
    for partition, position in positions.items():
        found = bounds.get(partition)
        if broken := find_break(position, found):
            wrong = log.explain(broken, position=position.next, bounds=found)
            raise LogTruncated(f"stream '{stream}': {partition} {wrong}")


def plan_windows(
    starts: Mapping[str, int], bounds: Mapping[str, Bounds], *, max_events: int
) -> dict[str, Window]:
    """Windows that begin at `starts` and hold at most about `max_events` positions together.

    Each partition gets its share of the limit in proportion to how many of its positions are unread, and one
    at least, so that none starves.

    Args:
        starts: Partition → first position to read.
        bounds: Partition → what the log holds.
        max_events: Upper bound on positions, give or take one a partition.
    """
    unread = {partition: max(0, bounds[partition].end - start) for partition, start in starts.items()}
    total = sum(unread.values())
    windows = {}
    for partition, start in starts.items():
        wanted = unread[partition]
        share = wanted if total <= max_events else max(min(wanted, 1), wanted * max_events // total)
        windows[partition] = Window(start, start + share)
    return windows
