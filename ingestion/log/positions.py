"""Which part of each partition a batch takes: contiguity, new partitions, truncation, limits.

Pure: what the log holds and what the ledger says come in as arguments. Rules: docs/delivery.md.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

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
        last_event: By what the last event before `next` is recognised (recognition.py); empty: by nothing.
        end_proof: What the log gave to know `known_end` by (Bounds.proof).
    """

    next: int
    log_id: str = ""
    retired: str = ""
    known_end: int = 0
    last_event: str = ""
    end_proof: str = ""


UNDECLARED = "undeclared"
"""The declaration no longer covers the partition."""
GONE = "gone"
"""The broker has it no more, and the lake held all of it."""
LOST = "lost"
"""The broker has it no more, and a person accepted the loss of what was unread."""
BEGINNING = "beginning"
"""Not a partition: the stream was declared here, before there was any."""
DECLARED = "(declared)"
"""What stands for the partition in that row."""
GIVEN = "given"
"""Not the stream's own log: messages that came before a stream took them, and were given to it."""


def after_truncation(positions: Mapping[str, Position], bounds: Mapping[str, Bounds]) -> dict[str, Position]:
    """`on_truncated: earliest`: positions that the log no longer holds move to its beginning."""
    return {
        name: replace(position, next=max(position.next, bounds[name].begin)) if name in bounds else position
        for name, position in positions.items()
    }


def find_break(
    position: Position, bounds: Bounds | None, *, keeps_until_confirmed: bool = False
) -> Break | None:
    """How a partition's bounds fail to continue what the lake holds of it; None when they continue it.

    Args:
        position: How far it is in the lake.
        bounds: What the log holds of it; None where the log has no such partition.
        keeps_until_confirmed: The log deletes nothing unread: it may not end before an end that it had.
    """
    if bounds is None:
        return Break.GONE
    if position.log_id and bounds.log_id and position.log_id != bounds.log_id:
        return Break.OTHER_LOG
    if position.next > bounds.end or (keeps_until_confirmed and position.known_end > bounds.end):
        return Break.ENDS_BEFORE
    return Break.BEGINS_AFTER if position.next < bounds.begin else None


def is_another_log(position: Position, bounds: Bounds | None, *, keeps_until_confirmed: bool = False) -> bool:
    """Whether a log's bounds show that it does not continue what was read up to a position."""
    broken = find_break(position, bounds, keeps_until_confirmed=keeps_until_confirmed)
    return broken in (Break.GONE, Break.OTHER_LOG, Break.ENDS_BEFORE)


def find_breaks(
    log: Log, positions: Mapping[str, Position], bounds: Mapping[str, Bounds]
) -> dict[str, Break]:
    """Partition → how it fails to continue what the lake holds, by its bounds and by the log's own proofs.

    Args:
        log: The log.
        positions: How far each partition is in the lake.
        bounds: What the log holds, asked a moment ago.
    """
    keeps = log.keeps_until_confirmed
    found = {
        name: broken
        for name, position in positions.items()
        if (broken := find_break(position, bounds.get(name), keeps_until_confirmed=keeps))
    }
    proofs = {
        name: position.end_proof
        for name, position in positions.items()
        if position.end_proof and name not in found
    }
    for name, diverged_at in log.diverged(proofs).items() if proofs else ():
        # What a broker lost unread is for its operator to know; a spool held what was acknowledged.
        if keeps or diverged_at < positions[name].next:
            found[name] = Break.PUT_BACK
    return found


def refusal(
    stream: str, log: Log, name: str, broken: Break, position: Position, bounds: Bounds | None
) -> LogTruncated:
    """The error for a partition that does not continue the lake, with the remedy."""
    unread = broken is Break.ENDS_BEFORE and bounds is not None and bounds.end >= position.next
    at = position.known_end if unread else position.next
    return LogTruncated(f"stream '{stream}': {name} {log.explain(broken, position=at, bounds=bounds)}")


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
    for name, broken in find_breaks(log, positions, bounds).items():
        raise refusal(stream, log, name, broken, positions[name], bounds.get(name))


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
