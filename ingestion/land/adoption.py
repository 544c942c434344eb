"""The way out when a collected stream's spool was lost: the lake goes on with the one that is there now.

What the lost spool held and the lake had not read is gone, which only a person may accept.
Its positions are never given again, so nothing is in the lake twice.
"""

from dataclasses import dataclass

import structlog

from ingestion.declare.logs import open_spool
from ingestion.declare.stream import Stream
from ingestion.errors import ConfigError, LogTruncated
from ingestion.lake.catalog import writer_lock
from ingestion.lake.lake import Lake
from ingestion.lake.ledger import read_state
from ingestion.log.port import Bounds
from ingestion.log.positions import Position, check_log
from ingestion.spool.log import SpoolLog
from ingestion.spool.shift import Shift, write_shift

_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Adoption:
    """What became of a stream's spool.

    Attributes:
        stream: The stream's name.
        position: Where the lake goes on.
        events: How many events wait there.
        broken: What was wrong, as a sentence; empty when the spool continued the lake already.
    """

    stream: str
    position: int
    events: int
    broken: str


def adopt(lake: Lake, stream: Stream) -> Adoption:
    """Let a collected stream go on with the spool that is there, if that does not continue the lake.

    The collector may run meanwhile. Doing it twice changes nothing.

    Args:
        lake: The lake.
        stream: A declared stream.

    Raises:
        ConfigError: It is not a collected stream, or there is no spool yet.
        StreamBusy: A batch of it is being written.
        StorageError: The spool cannot be read or written.
    """
    log = open_spool(stream, lake.settings)
    if log is None:
        raise ConfigError(
            f"stream '{stream.name}' is read from {stream.kind}: only a collected stream has a spool; "
            "declare the new topic as a new stream"
        )
    try:
        with writer_lock(lake.settings, stream.name, application_name=lake.application_name):
            spool, shift = log.spool_bounds()
            if spool is None:
                raise ConfigError(
                    f"stream '{stream.name}' has no spool yet: let the collector reach the broker first"
                )
            ours = read_state(lake, stream.name).positions.get(log.partition)
            seen = shift.seen(spool)
            broken = _broken(stream, log, ours, seen)
            if ours is None or not broken:
                position = ours.next if ours else seen.begin
                return Adoption(stream.name, position, seen.end - position, "")
            first = spool.end if _has_read_all(ours, seen) else spool.begin
            shift = Shift(spool.log_id, ours.log_id, ours.next - first)
            write_shift(lake.settings.data_dir / "spool" / stream.name, shift)
            _log.warning("the lake goes on with another spool", stream=stream.name, position=ours.next)
            return Adoption(stream.name, ours.next, spool.end - first, broken)
    finally:
        log.close()


def _broken(stream: Stream, log: SpoolLog, ours: Position | None, seen: Bounds) -> str:
    if ours is not None:
        try:
            check_log(stream.name, log, {log.partition: ours}, {log.partition: seen})
        except LogTruncated as error:
            return str(error)
    return ""


def _has_read_all(ours: Position, seen: Bounds) -> bool:
    """An older copy of the very log that the lake has read further: all that it holds is in the lake."""
    return seen.log_id == ours.log_id and ours.next > seen.end
