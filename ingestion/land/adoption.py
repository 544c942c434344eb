"""The way out when a collected stream's spool is not the one that was read: the lake goes on with it.

What the other one held and the lake had not read is gone, which only a person may accept. Which of its events
the lake holds already, overlap.py finds out; every other one is read. No position is given again.
"""

from dataclasses import dataclass
from datetime import datetime

import pyarrow as pa
import structlog

from ingestion.clock import utc_now
from ingestion.declare.logs import open_spools
from ingestion.declare.stream import Stream
from ingestion.errors import ConfigError, LogTruncated
from ingestion.lake.catalog import writer_lock
from ingestion.lake.lake import Lake
from ingestion.lake.ledger import read_state
from ingestion.lake.loader import Loader
from ingestion.land.overlap import events_in_lake
from ingestion.log.envelope import BATCH_SCHEMA
from ingestion.log.port import Bounds, Break
from ingestion.log.positions import Position, check_log, refusal
from ingestion.log.recognition import recognise
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
        skipped: Events at the beginning of the spool that are in the lake already.
        lost: Positions that batches saw in the other spool and did not read: the loss that is known. What it
            was given after the last batch nobody counted.
    """

    stream: str
    position: int
    events: int
    broken: str
    skipped: int = 0
    lost: int = 0


def adopt(lake: Lake, stream: Stream) -> Adoption:
    """Let a collected stream go on with the spool that is there, if that does not continue the lake.

    The ledger gets a row for it, with the positions that are lost. The collector may run meanwhile. Doing it
    twice changes nothing. Of several collectors' spools the first one is adopted that needs it.

    Args:
        lake: The lake.
        stream: A declared stream.

    Raises:
        ConfigError: It is not a collected stream, or there is no spool yet.
        StreamBusy: A batch of it is being written.
        StorageError: The spool cannot be read or written.
        BatchFailed: The ledger could not be written; say it again.
        FormatUnavailable: The spool's events cannot be compared with the lake's.
    """
    logs = open_spools(stream, lake.settings)
    if not logs:
        raise ConfigError(
            f"stream '{stream.name}' is read from {stream.kind}: only a collected stream has a spool; "
            "declare the new topic as a new stream"
        )
    try:
        for log in logs[:-1]:
            if (adoption := _adopt(lake, stream, log)).broken:
                return adoption
        return _adopt(lake, stream, logs[-1])
    finally:
        for log in logs:
            log.close()


def _adopt(lake: Lake, stream: Stream, log: SpoolLog) -> Adoption:
    with writer_lock(lake.settings, stream.name, application_name=lake.application_name) as lock:
        spool, shift = log.spool_bounds()
        if spool is None:
            raise ConfigError(
                f"stream '{stream.name}' has no spool yet: let the collector reach the broker first"
            )
        state = read_state(lake, stream.name)
        ours = state.positions.get(log.partition)
        seen = shift.seen(spool)
        broken = _broken(stream, log, ours, seen)
        if ours is None or not broken:
            position = ours.next if ours else seen.begin
            return Adoption(stream.name, position, seen.end - position, "")
        known, position = 0, seen.begin
        if not _lacks_its_beginning(log, ours, seen):
            known = events_in_lake(lake, stream, log=log, partition=log.partition, bounds=seen)
            position = max(ours.next, ours.known_end)
        first = spool.begin + known
        shift = Shift(spool.log_id, ours.log_id, position - first)
        write_shift(log.folder, shift)
        row = _ledger_row(ours, position, shift.seen(spool), now=utc_now())
        row |= {
            "stream": stream.name,
            "batch_id": state.last_batch_id + 1,
            "source_partition": log.partition,
        }
        table = pa.Table.from_pylist([row], schema=BATCH_SCHEMA)
        Loader(lake).load(stream.name, {"batches": table}, before_commit=lock.assert_held)
        lost = position - ours.next
        _log.warning("the lake goes on with another spool", stream=stream.name, position=position, lost=lost)
        return Adoption(stream.name, position, spool.end - first, broken, skipped=known, lost=lost)


def _broken(stream: Stream, log: SpoolLog, ours: Position | None, seen: Bounds) -> str:
    if ours is None:
        return ""
    positions, bounds = {log.partition: ours}, {log.partition: seen}
    try:
        check_log(stream.name, log, positions, bounds)
    except LogTruncated as error:
        return str(error)
    if recognise(log, positions, bounds).others:
        return str(refusal(stream.name, log, log.partition, Break.PUT_BACK, ours, seen))
    return ""


def _lacks_its_beginning(log: SpoolLog, ours: Position, seen: Bounds) -> bool:
    """It is the spool that was read, without unread segments: what is left keeps its positions."""
    if seen.log_id != ours.log_id or seen.begin <= ours.next:
        return False
    return not log.diverged({log.partition: ours.end_proof})


def _ledger_row(ours: Position, position: int, seen: Bounds, *, now: datetime) -> dict[str, object]:
    """A batch of no event: where the lake goes on, and by what it will recognise the spool."""
    return {
        "log_id": ours.log_id,
        "start_position": position,
        "end_position": position,
        "log_end_position": seen.end,
        "events_read": 0,
        "events_landed": 0,
        "events_rejected": 0,
        "bytes_read": 0,
        "started_at": now,
        "ingested_at": now,
        "positions_skipped": position - ours.next,
        "last_event": "",
        "log_end_proof": seen.proof,
    }
