"""Which time staging takes for an event, whatever the clocks of device and broker say; on DuckDB alone."""

from datetime import UTC, datetime, timedelta
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingestion.log.plausible import believed, believed_times
from orchestration.dbt.casts import typed_payloads

READ = datetime(2026, 3, 1, 12, tzinfo=UTC)
"""When every event was read."""
SENT = READ - timedelta(hours=3)
"""The broker's time: it waited there."""
TOLERANCE = timedelta(minutes=10)
_MINUTE = timedelta(minutes=1)
_YEARS = timedelta(days=3653)


def when(
    device: datetime | None, broker: datetime | None, *, kind: str = "timestamp", minutes: int = 10
) -> tuple[Any, datetime, float | None]:
    """The declared field, `event_at` and `clock_ahead_seconds` as staging shows them."""
    text = "null" if device is None else f'"{device.isoformat() if kind == "timestamp" else device.date()}"'
    event = {
        "batch_id": 1, "source_partition": "s-0", "position": 0, "event_id": "s-0@0", "event_key": None,
        "payload": f'{{"at": {text}}}', "event_time": broker, "ingested_at": READ,
    }  # fmt: skip
    events = pa.Table.from_pylist([event])
    types = {"event_key": pa.string(), "event_time": pa.timestamp("us", tz="UTC")}
    for name, wanted in types.items():
        events = events.set_column(events.schema.get_field_index(name), name, events[name].cast(wanted))
    sql = typed_payloads(
        "events", {"at": {"type": kind, "path": "at"}}, event_time="at", tolerance_minutes=minutes
    )
    with duckdb.connect(":memory:") as connection:
        connection.execute("set TimeZone = 'UTC'")
        connection.register("events", events)
        columns = '"at", event_at, clock_ahead_seconds'
        return connection.execute(f"select {columns} from ({sql})").fetchall()[0]  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("device", "broker", "event_at", "ahead"),
    [
        (SENT, SENT, SENT, None),
        (SENT + 10 * _MINUTE, SENT, SENT + 10 * _MINUTE, None),
        (SENT + 11 * _MINUTE, SENT, SENT, 660.0),  # before it was read, and still not possible
        (SENT + _YEARS, SENT, SENT, _YEARS.total_seconds()),
        (SENT - _YEARS, SENT, SENT - _YEARS, None),  # old is old
        (SENT - _YEARS, SENT - _YEARS, SENT - _YEARS, None),  # sent again with the times of then
        (None, SENT, SENT, None),
        (None, None, READ, None),
        (None, SENT + _YEARS, READ, (_YEARS - timedelta(hours=3)).total_seconds()),
        (SENT, SENT + _YEARS, SENT, None),  # the broker's clock is wrong and not asked
        (READ + _YEARS, SENT + _YEARS, READ, _YEARS.total_seconds()),
        (SENT, datetime(1970, 1, 21, tzinfo=UTC), SENT, None),  # seconds that were sent as milliseconds
        (SENT, None, SENT, None),
        (READ + 11 * _MINUTE, None, READ, 660.0),
    ],
)
def test_no_clock_is_believed_that_is_ahead_of_the_receipt(
    device: datetime | None, broker: datetime | None, event_at: datetime, ahead: float | None
) -> None:
    assert when(device, broker) == (device, event_at, ahead)


def test_the_tolerance_is_the_stream_s() -> None:
    assert when(SENT + 61 * _MINUTE, SENT, minutes=60)[1:] == (SENT, 3660.0)
    assert when(SENT + 60 * _MINUTE, SENT, minutes=60)[1:] == (SENT + 60 * _MINUTE, None)
    assert when(SENT + _MINUTE, SENT, minutes=0)[1:] == (SENT, 60.0)


def test_a_day_that_has_begun_somewhere_is_plausible() -> None:
    late = datetime(2026, 3, 1, 11, tzinfo=UTC)
    day, event_at, ahead = when(late + timedelta(days=1), late, kind="date")
    assert (str(day), event_at, ahead) == ("2026-03-02", datetime(2026, 3, 2, tzinfo=UTC), None)
    assert when(late + timedelta(days=2), late, kind="date")[1] == late


MOMENTS = st.one_of(
    st.none(), st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))
)


@settings(max_examples=25, deadline=None)
@given(MOMENTS, MOMENTS)
def test_whatever_is_sent_event_at_is_never_ahead_of_the_reading(
    device: datetime | None, broker: datetime | None
) -> None:
    shown, event_at, ahead = when(device, broker)
    assert shown == device
    assert event_at <= READ + TOLERANCE
    assert event_at in (device, broker, READ)
    assert ahead is None or ahead > TOLERANCE.total_seconds()
    assert (event_at == device) or device is None or ahead is not None


def test_a_column_of_times_and_a_single_one_are_judged_alike() -> None:
    times = [None, SENT, READ + TOLERANCE, READ + TOLERANCE + timedelta(microseconds=1), READ + _YEARS]
    column = pa.chunked_array([times], pa.timestamp("us", tz="UTC"))
    judged = believed_times(column, received_at=READ, tolerance=TOLERANCE).to_pylist()
    assert judged == [None, SENT, READ + TOLERANCE, None, None]
    assert judged == [believed(time, received_at=READ, tolerance=TOLERANCE) for time in times]
