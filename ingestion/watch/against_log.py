"""The lake's positions against what the broker still holds: is something unread gone, or about to be?"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from ingestion.declare.stream import Stream
from ingestion.errors import ConfigError, LogTruncated, SourceUnavailable
from ingestion.lake.lake import Lake
from ingestion.lake.ledger import read_state
from ingestion.log.port import Bounds, Break, Log
from ingestion.log.positions import LOST, Position, after_truncation, check_log, refusal
from ingestion.log.recognition import Recognition, recognise
from ingestion.log.standing import stand

_MARGIN = 0.1
"""Unread events among the oldest tenth of what a deleting broker still holds are in danger."""


@dataclass(frozen=True)
class LogComparison:
    """What the broker says of a stream's positions.

    Attributes:
        defects: Sentences: unread events are gone, or the log is another one.
        warnings: Sentences: unread events are in danger, or the broker does not answer.
        marks: Partition → its oldest position in the broker, ours, and the broker's next.
        unproven: Sentences: nothing shows that a partition is the one that was read.
    """

    defects: tuple[str, ...]
    warnings: tuple[str, ...]
    marks: dict[str, tuple[int, int, int]]
    unproven: tuple[str, ...] = ()


def compare_with_log(lake: Lake, stream: Stream, *, log: Log) -> LogComparison:
    """Compare a stream's positions with its log's bounds, and the last event of each that was read."""
    before, _ = bounds_of(log)
    positions = read_state(lake, stream.name).positions
    now, warnings = bounds_of(log)
    bounds = bounds_around(before, now)
    if now is None or bounds is None:
        return LogComparison((), tuple(warnings), {})
    recognition, unread = recognised(log, positions, now)
    warnings += unread
    defects: list[str] = []
    for name, position in sorted(positions.items()):
        lost, endangered = against_log(stream, log, name, position, bounds, recognition.others)
        defects, warnings = defects + lost, warnings + endangered
    marks = {
        name: (bounds[name].begin, position.next, bounds[name].end)
        for name, position in positions.items()
        if name in bounds
    }
    unproven = tuple(
        f"{name} may have been put back to an earlier state and written on, and nothing would show it: the "
        f"event before our position {positions[name].next} is gone from it, and it has no proof of its own"
        for name in sorted(recognition.unknown & marks.keys())
        if positions[name].next and not positions[name].end_proof
    )
    return LogComparison(tuple(defects), tuple(warnings), marks, unproven)


def recognised(
    log: Log, positions: Mapping[str, Position], bounds: Mapping[str, Bounds]
) -> tuple[Recognition, list[str]]:
    """The comparison of the last events, and a sentence when the broker does not give them."""
    try:
        return recognise(log, positions, bounds), []
    except SourceUnavailable as error:
        return Recognition(positions, bounds), [f"the last events were not compared: {error}"]


def bounds_of(log: Log | None) -> tuple[dict[str, Bounds] | None, list[str]]:
    """What the log holds; None, and a sentence, when the broker does not answer."""
    if log is None:
        return None, []
    try:
        return log.bounds(), []
    except (ConfigError, SourceUnavailable) as error:
        return None, [f"only the lake was looked at: {error}"]


def bounds_around(
    before: Mapping[str, Bounds] | None, after: Mapping[str, Bounds] | None
) -> dict[str, Bounds] | None:
    """Bounds that were asked around a look at the lake: ingestion goes on meanwhile, and nothing is lost."""
    if after is None:
        return None
    asked = before or {}
    return {name: replace(now, begin=asked.get(name, now).begin) for name, now in after.items()}


def against_log(
    stream: Stream,
    log: Log,
    name: str,
    position: Position,
    bounds: Mapping[str, Bounds],
    others: Collection[str] = (),
) -> tuple[list[str], list[str]]:
    """A partition's defects and warnings.

    Args:
        stream: The stream.
        log: Its log.
        name: The partition.
        position: How far it is in the lake.
        bounds: Those of all partitions of a log that answered.
        others: Partitions that hold another event where the last one was that was read.
    """
    warnings = []
    standing = stand({name: position}, bounds, covers=stream.source.covers, is_kept=log.keeps_until_confirmed)
    if name not in standing.read:
        return list(standing.sentences(stream.name, {name: position})), _of_retired(position)
    if name in bounds and stream.source.skips_truncated:
        after = after_truncation({name: position}, bounds)[name]
        if lost := after.next - position.next:
            warnings.append(f"retention deleted {lost} unread positions; the next batch goes on after them")
        position = after
    try:
        check_log(stream.name, log, {name: position}, bounds)
    except LogTruncated as error:
        return [str(error)], warnings
    if name in others:
        return [str(refusal(stream.name, log, name, Break.PUT_BACK, position, bounds[name]))], warnings
    return [], warnings + _retention(log, position, bounds[name])


def _of_retired(position: Position) -> list[str]:
    """A warning where unread events went with the partition, and a person accepted that."""
    lost = position.known_end - position.next
    if position.retired != LOST or lost <= 0:
        return []
    return [
        f"{lost} positions are lost: the broker had them no more, and 'millrace adopt' went on without them"
    ]


def _retention(log: Log, position: Position, found: Bounds) -> list[str]:
    """A warning while unread events are among the oldest that a deleting broker holds.

    A spool is trimmed only below our position, so its first position does not show a loss.
    """
    unread = found.end - position.next
    if log.keeps_until_confirmed or found.begin == 0 or unread <= 0:
        return []
    if position.next - found.begin >= _MARGIN * (found.end - found.begin):
        return []
    return [
        f"retention is {position.next - found.begin} positions behind {unread} unread ones: let ingestion "
        "catch up, or raise the topic's retention"
    ]
