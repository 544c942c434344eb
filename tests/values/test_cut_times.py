"""Times finer than a microsecond are counted: those of which staging cuts digits off, and no others."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from typing import Any

import duckdb
import pytest
from dagster import AssetKey
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from ingestion.connectors.messages import Message
from ingestion.declare.sources import Seen
from ingestion.declare.stream import Stream
from ingestion.lake.lake import Lake
from ingestion.settings import load_settings
from ingestion.watch.fates import Fate
from orchestration.checks.cut_times import cut_result, cut_spec
from orchestration.cli.messages import show
from orchestration.cli.tables import checks_summary
from orchestration.dbt.casts import is_cut_time
from orchestration.dbt.cut_times import cut_times
from orchestration.records.reader import check_record
from tests.dbt_project.raw import START, Event, RawWriter

NANOSECONDS = {"format": "%Y%m%d%H%M%S%n", "pattern": r"\d{23}"}
FRACTION = {"format": "%Y-%m-%d %H:%M:%S.%f", "pattern": r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{1,9}"}


def are_cut(texts: list[str], **declared: Any) -> list[bool]:
    """What the SQL says of texts."""
    with duckdb.connect(":memory:") as connection:
        sql = f"select coalesce({is_cut_time('text', declared)}, false) from (select unnest(?) as text)"
        return [found for (found,) in connection.execute(sql, [texts]).fetchall()]


@pytest.mark.parametrize(
    ("text", "declared", "expected"),
    [
        ("2026-03-01T08:00:00.123456789Z", {}, True),
        ("2026-03-01T08:00:00,1234567+01:00", {}, True),
        ("2026-03-01T08:00:00.123456000Z", {}, False),
        ("2026-03-01T08:00:00.123456Z", {}, False),
        ("2026-03-01T08:00:00Z", {}, False),
        ("not a time of .1234567", {}, False),
        ("1772352000123456789", {}, True),
        ("1772352000123456000", {}, False),
        ("1772352000.1234567", {}, True),
        ("1772352000.123456", {}, False),
        ("1772352000123.4567", {}, True),
        ("1772352000123.456", {}, False),
        ("1772352000123456.5", {}, True),
        ("1772352000.1234560000001", {}, True),
        ("17723520001234567", {"unit": "ns"}, True),
        ("17723520001234000", {"unit": "ns"}, False),
        ("20513.00000000000001", {"unit": "days"}, True),
        ("20513.5", {"unit": "days"}, False),
        ("17", {}, False),
        ("20260301080000123456789", NANOSECONDS, True),
        ("20260301080000123456000", NANOSECONDS, False),
        ("2026-03-01 08:00:00.123", FRACTION, False),
    ],
)
def test_digits_that_are_cut_off_are_noticed(text: str, declared: dict[str, str], expected: bool) -> None:
    assert are_cut([text], **declared) == [expected]


@settings(max_examples=20, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 10**9 - 1), st.integers(1, 9)), min_size=20, max_size=100))
def test_a_fraction_is_cut_if_and_only_if_a_digit_beyond_the_sixth_counts(
    drawn: list[tuple[int, int]],
) -> None:
    fractions = [f"{nanoseconds:09d}"[:digits] for nanoseconds, digits in drawn]
    expected = [bool(fraction[6:].strip("0")) for fraction in fractions]
    assert are_cut([f"2026-03-01T08:00:00.{fraction}Z" for fraction in fractions]) == expected
    assert are_cut([f"1772352000.{fraction}" for fraction in fractions]) == expected


def test_the_newest_batch_is_looked_at_and_status_shows_the_note(
    tmp_path: Path, new_database: Callable[[], str]
) -> None:
    key = AssetKey(["staging", "stg_s"])
    fields = {"at": "timestamp", "stamp": {"type": "timestamp", "path": "inner.stamp", "unit": "ns"}}
    stream = Stream.model_validate({"name": "s", "source": {"kafka": "s"}, "fields": fields})
    with Lake(load_settings(data_dir=tmp_path / "data", catalog=new_database())) as lake:
        lake.prepare(["s"])
        raw = RawWriter(lake)
        fine = {"at": "2026-03-01T08:00:00.1234567Z", "inner": {"stamp": 1772352000123456789}}
        raw.add("s", [Event(fine, START) for _ in range(3)])
        result = cut_result(lake, key, stream)
        raw.add("s", [Event({"at": "2026-03-01T08:00:00.123456Z"}, START)])
        nothing = cut_result(lake, key, stream)
    assert result is not None
    assert nothing is not None
    assert result.passed
    assert nothing.description is None
    note = (
        "of 3 events of the newest batch of s times are finer than microseconds; staging cuts the rest off: "
        "at 3 times, as 2026-03-01T08:00:00.1234567Z, stamp 3 times, as 1772352000123456789; raw has every "
        "digit, and so has a varchar field of that path"
    )
    assert result.description == f"note: {note}"
    evaluation = {"description": result.description, "metadata": {}}
    event = json.dumps({"dagster_event": {"event_specific_data": evaluation}})
    record = check_record('["staging", "stg_s"]', "cut_times", "SUCCEEDED", event, datetime.now(UTC))
    assert (record.outcome, record.message) == ("passed", note)
    console = Console(width=400, file=StringIO())
    console.print(checks_summary([record]))
    assert note in console.file.getvalue()  # type: ignore[attr-defined]
    assert "each build" in console.file.getvalue()  # type: ignore[attr-defined]


def test_a_stream_whose_times_are_the_broker_s_has_no_such_check() -> None:
    fields = {"at": {"broker_time": True}, "day": "date"}
    stream = Stream.model_validate({"name": "s", "source": {"kafka": "s"}, "fields": fields})
    assert cut_spec(AssetKey(["staging", "stg_s"]), stream) is None


def test_peek_shows_what_was_sent(
    tmp_path: Path, new_database: Callable[[], str], capsys: pytest.CaptureFixture[str]
) -> None:
    fields = {"at": "timestamp", "day": "timestamp"}
    stream = Stream.model_validate({"name": "s", "source": {"kafka": "s"}, "unnest": "all", "fields": fields})
    with Lake(load_settings(data_dir=tmp_path / "data", catalog=new_database())) as lake:
        lake.prepare(["s"])
        whole, fine = {"at": "2026-03-01T08:00:00.123456Z"}, {"at": "2026-03-01T08:00:00.1234567Z"}
        RawWriter(lake).add("s", [Event({"all": [whole, fine]}, START), Event({"all": [whole]}, START)])
        found = cut_times(lake, stream, ["s-0@0", "s-0@1"])
    assert found == {"s-0@0": {"at": fine["at"]}}
    message = Message("s-0", 0, None, b"{}", None, None)
    fate = Fate(1, staged={"at": "2026-03-01"}, cut=found["s-0@0"])
    show([(Seen(message, None, "{}"), fate)], origin="Kafka s", nothing="", as_json=False)
    assert f"staging  cut to microseconds: at, sent as {fine['at']}\n" in capsys.readouterr().out
    show([(Seen(message, None, "{}"), fate)], origin="Kafka s", nothing="", as_json=True)
    assert json.loads(capsys.readouterr().out)["cut"] == {"at": fine["at"]}
