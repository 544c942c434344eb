"""A note of times that are finer than a microsecond, which a timestamp cuts off: of a stream's newest events.

It is never a failure: raw has every digit.
"""

from dagster import AssetCheckResult, AssetCheckSpec, AssetKey

from ingestion.declare.stream import Stream
from ingestion.lake.lake import Lake
from ingestion.watch.raw_events import events_of
from orchestration.dbt.cut_times import cut_time, texts_of, times_of
from orchestration.keys import NOTE

CUT_CHECK = "cut_times"
_LOOKED_AT = 1_000
_NEWEST = 'select coalesce(max(batch_id), 0) from raw."{stream}"'
_COUNTS = """
select count(*), {counts}
from (select {texts} from {events} limit {limit}) as looked_at
"""


def cut_spec(key: AssetKey, stream: Stream) -> AssetCheckSpec | None:
    """The check of a staging model; None where its stream has no timestamps."""
    if not times_of(stream):
        return None
    return AssetCheckSpec(
        CUT_CHECK,
        asset=key,
        description="Notes times of the newest events that are finer than a microsecond, which staging cuts.",
    )


def cut_result(lake: Lake, key: AssetKey, stream: Stream) -> AssetCheckResult | None:
    """Look at some of the newest batch's events; None where the stream has no timestamps."""
    names = times_of(stream)
    if not names:
        return None
    newest = lake.query(_NEWEST.format(stream=stream.name))[0][0]  # from the catalog
    rows = f'(select * from raw."{stream.name}" where batch_id = {newest})'
    counts = []
    for name in names:
        is_cut = cut_time(stream, name)
        counts += [f"count(*) filter (where {is_cut})", f'min("{name}") filter (where {is_cut})']
    sql = _COUNTS.format(
        counts=", ".join(counts),
        texts=texts_of(stream, names),
        events=events_of(stream, rows),
        limit=_LOOKED_AT,
    )
    events, *found = lake.query(sql)[0]
    cut = {
        name: {"events": found[2 * place], "example": found[2 * place + 1]}
        for place, name in enumerate(names)
        if found[2 * place]
    }
    said = ", ".join(f"{name} {each['events']:,} times, as {each['example']}" for name, each in cut.items())
    text = (
        f"{NOTE}of {events:,} events of the newest batch of {stream.name} times are finer than microseconds; "
        f"staging cuts the rest off: {said}; raw has every digit, and so has a varchar field of that path"
    )
    return AssetCheckResult(
        asset_key=key,
        check_name=CUT_CHECK,
        passed=True,
        description=text if cut else None,
        metadata={
            "outcome": "passed",
            "measured": sum(int(each["events"]) for each in cut.values()),
            "snapshot_id": lake.snapshot_id(),
            "events": events,
            "cut": cut,
        },
    )
