"""How fresh a mart is and how complete, per stream, from the ledger of its version of the lake."""

from collections.abc import Iterable, Mapping
from datetime import datetime

import duckdb

from ingestion.lake.lake import Lake

Pair = tuple[str, int]
"""A stream, and the newest of its batches that a mart has."""
Moment = tuple[datetime | None, datetime | None]
"""The time of the newest event that is there, and the time up to which everything is."""

_NOTHING: Moment = (None, None)
_MOMENTS = """
with wanted(stream, batch) as (values {wanted}),

batches as (select * from lake.raw.batches at (version => {version})),

known as (
    select
        wanted.stream, wanted.batch, batch_id, source_partition, started_at, last_event_time, retired,
        start_position, end_position, log_end_position
    from batches inner join wanted on batches.stream = wanted.stream and batches.batch_id <= wanted.batch
),

-- A batch reads every partition that has something unread: one without a row in it had nothing.
looked as (
    select
        stream, batch, max(batch_id) as newest_batch, max(last_event_time) as newest_event,
        max(started_at) filter (where start_position < end_position) as at
    from known
    group by all
),

newest as (
    select * from known
    qualify row_number() over (partition by stream, batch, source_partition order by batch_id desc) = 1
)

select
    looked.stream, looked.batch, looked.newest_event,
    min(
        case
            when log_end_position <= end_position then greatest(looked.at, started_at)
            else last_event_time
        end
    ) filter (where retired is null),
    looked.newest_batch = looked.batch
from looked inner join newest using (stream, batch)
group by all
"""


class Moments:
    """Remembers what was found: the ledger's rows of a batch stay as they are."""

    def __init__(self) -> None:
        self._known: dict[Pair, Moment] = {}

    def of(self, lake: Lake, pairs: Iterable[Pair], *, version: int) -> Mapping[Pair, Moment]:
        """How fresh, and how complete, what has taken in a stream up to a batch is.

        Args:
            lake: Where the batches are. All that is not known yet is asked by one query.
            pairs: What is wanted; what was wanted before and is not now is forgotten.
            version: Of the lake. Of a batch that it does not have yet, what came before holds, this time.
        """
        wanted = set(pairs)
        found = dict.fromkeys(wanted, _NOTHING) | {
            pair: moment for pair, moment in self._known.items() if pair in wanted
        }
        asked = sorted(wanted - self._known.keys())
        lasting = wanted & self._known.keys()
        if asked:
            rows = ", ".join(["(?, ?::bigint)"] * len(asked))
            try:
                answer = lake.query(
                    _MOMENTS.format(wanted=rows, version=version), [each for pair in asked for each in pair]
                )
            except duckdb.CatalogException:  # nothing has been landed yet
                return found
            for stream, batch, newest, to, is_there in answer:
                found[stream, batch] = (newest, to)
                if is_there:
                    lasting.add((stream, batch))
        self._known = {pair: found[pair] for pair in lasting}
        return found


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
    return by_stream(Moments().of(lake, shown.items(), version=version), shown)


def by_stream(
    found: Mapping[Pair, Moment], shown: Mapping[str, int]
) -> tuple[Mapping[str, datetime], Mapping[str, datetime]]:
    """The same, of what was found already."""
    of_stream = {stream: found.get((stream, batch), _NOTHING) for stream, batch in shown.items()}
    fresh = {stream: newest for stream, (newest, _) in of_stream.items() if newest is not None}
    return fresh, {stream: to for stream, (_, to) in of_stream.items() if to is not None}
