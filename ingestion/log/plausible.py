"""Which times of a log are believed: none that is ahead of the event's own receipt. The past always is.

The same rule decides in staging (package/macros/plausible_times.sql); what a stream tolerates is its
`clock_tolerance_minutes`.
"""

from datetime import datetime, timedelta

import pyarrow as pa
import pyarrow.compute as pc


def believed(moment: datetime | None, *, received_at: datetime, tolerance: timedelta) -> datetime | None:
    """A time as it was sent; None where that lies too far after its receipt.

    Args:
        moment: UTC.
        received_at: UTC.
        tolerance: How far a clock may be ahead.
    """
    return None if moment is None or moment > received_at + tolerance else moment


def believed_times(times: pa.ChunkedArray, *, received_at: datetime, tolerance: timedelta) -> pa.ChunkedArray:
    """The same of a column of times: null where one is not believed."""
    limit = pa.scalar(received_at + tolerance, times.type)
    return pc.if_else(pc.less_equal(times, limit), times, pa.scalar(None, times.type))
