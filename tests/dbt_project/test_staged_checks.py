"""The checks of a staging model: what is counted of its newest hour, the limits, the examples."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from dagster import AssetCheckKey, AssetCheckResult, AssetKey, TextMetadataValue

from ingestion.declare.stream import Stream
from ingestion.watch.fates import fates
from ingestion.watch.recount import verify
from orchestration.checks.staged import StagedChecks, check_staged
from tests.dbt_project.conftest import Warehouse
from tests.dbt_project.raw import START, Event

KEY = AssetKey(["staging", "stg_readings"])


def readings(**values: Any) -> Stream:
    """A stream with limits of its own."""
    fields = {"id": "varchar", "value": {"type": "double", "path": "data.value"}, "on": "date"}
    declared = {"source": {"kafka": "readings"}, "business_id": ["id"], "fields": fields}
    return Stream.model_validate({"name": "readings"} | declared | values)


def reading(number: int, value: object, *, day: str = "2026-03-01", hours: int = 0) -> Event:
    """An event of it."""
    at = START + timedelta(hours=hours)
    return Event({"id": f"r-{number}", "data": {"value": value}, "on": day}, at)


def begun(new_warehouse: Callable[[], Warehouse]) -> Warehouse:
    """A project with the stream's staging model and nothing else."""
    warehouse = new_warehouse()
    for folder in ("models", "tests", "seeds"):
        shutil.rmtree(warehouse.project / folder)
    (warehouse.project / "models" / "staging").mkdir(parents=True)
    warehouse.write_model("staging/stg_readings.sql", "{{ staging('readings') }}\n")
    warehouse.declare((readings(),))
    return warehouse


@pytest.fixture(scope="module")
def staged(new_warehouse: Callable[[], Warehouse]) -> Warehouse:
    """An old hour that is all wrong, and a newest one of 40: three wrong, a conflict, a clock ahead."""
    warehouse = begun(new_warehouse)
    warehouse.raw.add("readings", [reading(number, "bad") for number in range(100, 130)])
    warehouse.dbt("run", "--select", "stg_readings")
    newest = [reading(number, 1.5, hours=5) for number in range(36)]
    ahead = reading(36, 1.5, hours=5)
    newest.append(
        replace(ahead, at=ahead.at + timedelta(days=800), ingested_at=ahead.at + timedelta(seconds=1))
    )
    wrong = [reading(40, "hot", hours=5), reading(41, {"of": "many"}, hours=5)]
    conflict = [reading(1, 9, hours=5), reading(2, 1.5, hours=5)]
    warehouse.raw.add("readings", [*newest, *wrong, reading(42, 2.5, day="soon", hours=5), *conflict])
    warehouse.dbt("run", "--select", "stg_readings")
    return warehouse


def results(warehouse: Warehouse, **values: Any) -> dict[str, AssetCheckResult]:
    """The results by name."""
    found: Iterator[AssetCheckResult] = check_staged(warehouse.lake, KEY, readings(**values))
    return {str(each.check_name): each for each in found}


def outcome(result: AssetCheckResult) -> str:
    """What came out."""
    value = result.metadata["outcome"]
    assert isinstance(value, TextMetadataValue)
    return str(value.text)


def test_the_newest_hour_is_counted_with_the_worst_fields_and_examples(staged: Warehouse) -> None:
    result = results(staged)["cast_errors"]
    assert (outcome(result), result.metadata["measured"].value) == ("warned", 0.075)
    assert result.metadata["worst"].value == {
        "value": {"errors": 2, "event_id": "readings-0@68", "value": '{"of":"many"}'},
        "on": {"errors": 1, "event_id": "readings-0@69", "value": '"soon"'},
    }
    assert (
        "3 of 40 events of readings in its newest hour have values that are not of their type, "
        "and none may: value 2 times"
    ) in str(result.description)
    assert "on once, as" in str(result.description)
    assert 'value 2 times, as {"of":"many"} in readings-0@68' in str(result.description)


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ({}, "warned"),
        ({"warn": 0.074}, "warned"),
        ({"warn": 0.075}, "passed"),
        ({"warn": 0.2, "fail": 0.075}, "passed"),
        ({"warn": 0.2, "fail": 0.07}, "failed"),
    ],
)
def test_the_limits_are_the_stream_s(staged: Warehouse, limits: dict[str, float], expected: str) -> None:
    result = results(staged, cast_errors=limits)["cast_errors"]
    assert (outcome(result), result.passed) == (expected, expected == "passed")


def test_a_conflict_warns_and_names_both_events(staged: Warehouse) -> None:
    result = results(staged)["id_conflicts"]
    assert (outcome(result), result.metadata["measured"].value) == ("warned", 1)
    assert str(result.description).startswith(
        "only a warning: Once in the newest hour of readings, a delivery"
    )
    assert "readings-0@70 that of readings-0@31 (r-1)" in str(result.description)


def test_a_clock_ahead_warns_and_says_by_how_much(staged: Warehouse) -> None:
    result = results(staged)["clock_ahead"]
    assert (outcome(result), result.metadata["measured"].value) == ("warned", 1)
    assert (
        "1 of 40 events of readings in its newest hour claim a time of more than 10 minutes after their "
        "receipt, readings-0@66 by 2 years; their event_at is the time of receipt"
    ) in str(result.description)
    where = "stg_readings where clock_ahead_seconds is not null"
    assert staged.rows(f"staging.{where}", "event_id, event_at = ingested_at, clock_ahead_seconds") == [
        ("readings-0@66", True, 800 * 86400 - 1)
    ]
    found = fates(staged.lake, readings(), [("readings-0", 66), ("readings-0", 31)])
    assert (found["readings-0@66"].staged or {})["clock_ahead_seconds"] == 800 * 86400 - 1
    assert "clock_ahead_seconds" not in (found["readings-0@31"].staged or {})


def test_verify_and_peek_tell_a_conflict_from_a_redelivery(staged: Warehouse) -> None:
    stream = readings()
    count = verify(staged.lake, stream, log=None)
    (row,) = count.partitions
    assert (row.redelivered, row.conflicting, row.verdict) == (1, 1, "warning")
    assert "on_conflict: first" in row.findings[0]
    found = fates(staged.lake, stream, [("readings-0", 70), ("readings-0", 71), ("readings-0", 67)])
    assert found["readings-0@70"].why_not.startswith("readings-0@31 has the same id and another payload")
    assert found["readings-0@71"].why_not == "readings-0@32 has the same id and came first"
    assert (found["readings-0@67"].staged or {})["cast_errors"] == ["value"]


def test_the_model_of_the_package_counts_them_too(staged: Warehouse) -> None:
    models = ("ops_cast_errors", "ops_lateness")
    staged.dbt("run", "--select", *models, "--vars", "{ops_window_hours: 1000000}")
    assert staged.rows("marts.ops_lateness", "events, clock_ahead, clock_ahead_max_seconds") == [
        (70, 1, 800 * 86400 - 1)
    ]
    assert staged.rows("marts.ops_cast_errors", "field, errors, events, last_event_id") == [
        ("on", 1, 70, "readings-0@69"),
        ("value", 32, 70, "readings-0@68"),
    ]


@pytest.mark.slow("a warehouse of its own, built twice")
def test_a_renamed_key_warns_with_its_last_value_and_the_new_name(
    new_warehouse: Callable[[], Warehouse],
) -> None:
    warehouse = begun(new_warehouse)

    def land(hours: range, key: str) -> None:
        for hour in hours:
            at = START + timedelta(hours=hour)
            sent = [{"id": f"{hour}-{n}", "data": {key: 1.5}, "on": "2026-03-01"} for n in range(50)]
            warehouse.raw.add("readings", [Event(payload, at) for payload in sent])
        warehouse.dbt("run", "--select", "stg_readings")

    land(range(3), "value")
    assert outcome(results(warehouse)["missing_fields"]) == "passed"
    land(range(3, 6), "reading")
    result = results(warehouse)["missing_fields"]
    assert (outcome(result), result.metadata["measured"].value) == ("warned", 1)
    assert str(result.description) == (
        "only a warning: value was in 100% of the events of readings until 2026-03-01 10:00:01 UTC and in "
        "none of the 150 after that; 'reading' is a new key since then, perhaps its new name: correct its "
        "path in streams.yml, or the sender, or remove the field"
    )


def test_a_model_is_checked_once_a_while_and_only_where_wanted(staged: Warehouse) -> None:
    checks = StagedChecks({KEY: readings()})
    checks.built([KEY, AssetKey(["marts", "other"])])
    only = [AssetCheckKey(KEY, "cast_errors")]
    assert [each.check_name for each in checks.run(staged.lake, only=only)] == ["cast_errors"]
    checks.built([KEY])
    assert list(checks.run(staged.lake)) == []
    assert len(list(checks.run(staged.lake, all_of_them=True))) == 4
