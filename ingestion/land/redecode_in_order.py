"""Replay from raw of a format that keeps state: every event in the order of its partition, rejects too.

A birth that landed late is read where it belongs, and one that was refused ends what the one before it said.
"""

from collections.abc import Iterator, Mapping

import pyarrow as pa

from ingestion.lake.catalog import WriterLock
from ingestion.lake.lake import Lake
from ingestion.lake.ledger import read_format_states
from ingestion.log.notation import text_as_bytes

_EVENTS = """
with events as (
    select
        source_partition, position, event_key, payload_raw as value, headers, event_time, event_id, payload,
        true as in_raw
    from raw."{stream}"
    where source_partition = $partition and position >= $first
    union all by name
    select
        source_partition, position, event_key, payload_raw as value, headers, event_time, event_id,
        null::varchar as payload, false as in_raw
    from raw.rejects
    where
        stream = $stream and source_partition = $partition and position >= $first
        and event_id not in (
            select event_id from raw.reject_resolutions
            where stream = $stream and outcome in ('landed', 'replayed')
        )
),

part as (from events order by position limit $most_events)

from part
qualify
    sum(coalesce(octet_length(value), 0)) over (order by position) - coalesce(octet_length(value), 0)
    < $most_bytes
order by position
"""
_CORRECT = """
update raw.batches set format_state = $state
where
    stream = $stream and source_partition = $partition
    and batch_id = (
        select max(batch_id) from raw.batches where stream = $stream and source_partition = $partition
    )
"""


def in_order(lake: Lake, stream: str) -> Iterator[pa.Table]:
    """All events of a stream as a source would hand them over, each part at most as large as a batch may be.

    Yields:
        Rows of SOURCE_SCHEMA with `event_id`, `payload`, and `in_raw`: false for a reject.
    """
    settings = lake.settings
    named = {
        "stream": stream,
        "most_events": settings.batch_max_events,
        "most_bytes": settings.batch_max_bytes,
    }
    partitions = f'select distinct source_partition from raw."{stream}" order by all'
    for (partition,) in lake.query(partitions):
        first = -1
        while True:
            which = named | {"partition": partition, "first": first}
            found = lake.connection.execute(_EVENTS.format(stream=stream), which).to_arrow_table()
            if not found.num_rows:
                break
            yield as_source(found)
            first = found["position"][-1].as_py() + 1


def as_source(table: pa.Table) -> pa.Table:
    """Rows with their keys as the source gave them."""
    keys = [None if key is None else text_as_bytes(key) for key in table["event_key"].to_pylist()]
    return table.set_column(table.column_names.index("event_key"), "event_key", pa.array(keys, pa.binary()))


def states_before(lake: Lake, stream: str) -> dict[str, str]:
    """What the first events in raw are decoded by: nothing, unless earlier ones are there no more."""
    ((first,),) = lake.query(f'select min(batch_id) from raw."{stream}"')
    return {} if first is None else read_format_states(lake, stream, before=first)


def correct_states(lake: Lake, stream: str, states: Mapping[str, str], lock: WriterLock) -> None:
    """Note what the next batches decode by, where reading all events again gave another state."""
    known = read_format_states(lake, stream)
    others = {name: state for name, state in states.items() if known.get(name) != state}
    if not others:
        return
    connection = lake.connection
    connection.execute("begin")
    try:
        for partition, state in others.items():
            connection.execute(_CORRECT, {"stream": stream, "partition": partition, "state": state})
        lock.assert_held()
        connection.execute("commit")
    except BaseException:
        lake.close()  # also rolls back
        raise
