"""The way out when the broker took unread events with a partition: the loss is accepted and written down.

For collected streams, whose spool was lost: adoption.py. Rules: docs/delivery.md.
"""

from collections.abc import Callable
from datetime import datetime

import structlog

from ingestion.clock import utc_now
from ingestion.declare.stream import Stream
from ingestion.errors import SourceMissing
from ingestion.lake.catalog import writer_lock
from ingestion.lake.lake import Lake
from ingestion.lake.ledger import read_state
from ingestion.lake.loader import Loader
from ingestion.land.rows import retired_rows
from ingestion.log.port import Log
from ingestion.log.positions import LOST
from ingestion.log.standing import stand

_log = structlog.get_logger(__name__)


def accept_loss(
    lake: Lake, stream: Stream, log: Log, *, clock: Callable[[], datetime] = utc_now
) -> dict[str, int]:
    """Retire the partitions that are gone at the broker with unread events. Doing it twice changes nothing.

    Args:
        lake: The lake.
        stream: A declared stream whose log the broker keeps.
        log: Its log.
        clock: Returns the present, UTC.

    Returns:
        Partition → how many positions are lost.

    Raises:
        SourceUnavailable: The broker is away: then nobody knows what is gone.
        StreamBusy: Another process writes this stream.
        BatchFailed: The load was rolled back.
    """
    with writer_lock(lake.settings, stream.name, application_name=lake.application_name) as lock:
        state = read_state(lake, stream.name)
        try:
            bounds = log.bounds()
        except SourceMissing:
            bounds = {}
        standing = stand(
            state.positions, bounds, covers=stream.source.covers, is_kept=log.keeps_until_confirmed
        )
        if standing.stopped:
            rows = retired_rows(
                state.positions, dict.fromkeys(standing.stopped, LOST),
                stream=stream.name, batch_id=state.last_batch_id + 1, at=clock(),
            )  # fmt: skip
            Loader(lake).load(stream.name, {"batches": rows}, before_commit=lock.assert_held)
            _log.warning("a loss was accepted", stream=stream.name, positions=dict(standing.stopped))
        return dict(standing.stopped)
