"""The lake's positions against what the broker still holds: is something unread gone, or about to be?"""

from collections.abc import Mapping
from dataclasses import dataclass

from ingestion.declare.stream import KafkaSource, Stream
from ingestion.errors import LogTruncated, SourceUnavailable
from ingestion.lake.lake import Lake
from ingestion.lake.ledger import read_state
from ingestion.log.port import Bounds, Log
from ingestion.log.positions import Position, behind_truncation, check_log

_MARGIN = 0.1
"""Unread events among the oldest tenth of what a deleting broker still holds are in danger."""


@dataclass(frozen=True)
class LogComparison:
    """What the broker says of a stream's positions.

    Attributes:
        defects: Sentences: unread events are gone, or the log is another one.
        warnings: Sentences: unread events are in danger, or the broker does not answer.
        marks: Partition → its oldest position in the broker, ours, and the broker's next.
    """

    defects: tuple[str, ...]
    warnings: tuple[str, ...]
    marks: dict[str, tuple[int, int, int]]


def compare_with_log(lake: Lake, stream: Stream, *, log: Log) -> LogComparison:
    """Compare a stream's positions with its log's bounds; reads no event."""
    before, _ = bounds_of(log)
    positions = read_state(lake, stream.name).positions
    bounds, warnings = bounds_of(log)
    bounds = widest(before, bounds)
    if bounds is None:
        return LogComparison((), tuple(warnings), {})
    defects: list[str] = []
    for name, position in sorted(positions.items()):
        lost, endangered = against_log(stream, name, position, bounds)
        defects, warnings = defects + lost, warnings + endangered
    marks = {
        name: (bounds[name].begin, position.next, bounds[name].end)
        for name, position in positions.items()
        if name in bounds
    }
    return LogComparison(tuple(defects), tuple(warnings), marks)


def bounds_of(log: Log | None) -> tuple[dict[str, Bounds] | None, list[str]]:
    """What the log holds; None, and a sentence, when the broker does not answer."""
    if log is None:
        return None, []
    try:
        return log.bounds(), []
    except SourceUnavailable as error:
        return None, [f"only the lake was looked at: {error}"]


def widest(
    before: Mapping[str, Bounds] | None, after: Mapping[str, Bounds] | None
) -> dict[str, Bounds] | None:
    """Bounds that were asked around a look at the lake: ingestion goes on meanwhile, which is no loss."""
    if after is None:
        return None
    asked = before or {}
    return {name: Bounds(asked.get(name, held).begin, held.end, held.log_id) for name, held in after.items()}


def against_log(
    stream: Stream, name: str, position: Position, bounds: Mapping[str, Bounds]
) -> tuple[list[str], list[str]]:
    """A partition's defects and warnings; `bounds` are those of all partitions of a log that answered."""
    warnings = []
    if name in bounds and isinstance(stream.source, KafkaSource) and stream.source.on_truncated == "earliest":
        after = behind_truncation({name: position}, bounds)[name]
        if lost := after.next - position.next:
            warnings.append(f"retention deleted {lost} unread positions; the next batch goes on behind them")
        position = after
    try:
        check_log(stream, {name: position}, bounds)
    except LogTruncated as error:
        return [str(error)], warnings
    return [], warnings + _retention(stream, position, bounds[name])


def _retention(stream: Stream, position: Position, held: Bounds) -> list[str]:
    """A warning while unread events are among the oldest that a deleting broker holds.

    A spool is trimmed behind our position only; there its beginning says nothing.
    """
    unread = held.end - position.next
    if stream.kind != "kafka" or held.begin == 0 or unread <= 0:
        return []
    if position.next - held.begin >= _MARGIN * (held.end - held.begin):
        return []
    return [
        f"retention is {position.next - held.begin} positions behind {unread} unread ones: let ingestion "
        "catch up, or raise the topic's retention"
    ]
