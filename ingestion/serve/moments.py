"""How fresh a mart is and how complete, per stream, from the ledger of its version of the lake."""

from collections.abc import Mapping
from datetime import datetime

import duckdb

from ingestion.lake.lake import Lake

_MOMENTS = """
with known as (
    select * from lake.raw.batches at (version => {version}) where stream = ? and batch_id <= ?
),

-- A batch reads every partition that has something unread: one without a row in it had nothing.
looked as (select max(started_at) as at from known where start_position < end_position),

newest as (
    select * from known
    qualify row_number() over (partition by source_partition order by batch_id desc) = 1
)

select
    (select max(last_event_time) from known),
    (
        select min(
            case
                when log_end_position <= end_position then greatest(looked.at, started_at)
                else last_event_time
            end
        )
        from newest cross join looked where retired is null
    )
"""


def moments(
    lake: Lake, shown: Mapping[str, int], *, version: int
) -> tuple[Mapping[str, datetime], Mapping[str, datetime]]:
    """How fresh, and how complete, a mart is.

    Args:
        lake: Where the batches are.
        shown: Stream → the newest batch that the mart has.
        version: Of the lake.

    Returns:
        Stream → the time of its newest event that is there; stream → the time up to which everything is.
    """
    fresh, complete = dict[str, datetime](), dict[str, datetime]()
    for stream, batch in shown.items():
        try:
            ((newest, to),) = lake.query(_MOMENTS.format(version=version), [stream, batch])
        except duckdb.CatalogException:  # nothing has been landed yet
            continue
        if newest is not None:
            fresh[stream] = newest
        if to is not None:
            complete[stream] = to
    return fresh, complete
