"""The contracts of the marts agree with the models, hold for good rows and break for bad ones."""

from datetime import UTC, datetime, timedelta

import pytest
import yaml

from ingestion.lake.lake import Lake
from orchestration.checks.contracts import Contract
from orchestration.checks.soda import verify
from orchestration.dbt.prepared import PACKAGE
from tests.orchestration.checks.helpers import CONTRACTS, NOW, not_passed
from tests.repository import REPOSITORY

FOLDERS = (REPOSITORY / "dbt_project" / "models" / "marts", PACKAGE / "models" / "ops")
MARTS = {path.stem: path for folder in FOLDERS for path in folder.glob("*.sql")}

MINUTE = datetime(2026, 3, 1, 11, 55, tzinfo=UTC)
GOOD: dict[str, dict[str, object]] = {
    "machine_minute": {
        "machine_id": "press-01", "line_id": "line-1", "minute_at": MINUTE, "readings": 60,
        "temperature_celsius_avg": 55.0, "temperature_celsius_min": 50.0, "temperature_celsius_max": 60.0,
        "vibration_mm_s_avg": 2.0, "vibration_mm_s_min": 1.0, "vibration_mm_s_max": 3.0,
        "power_kw_avg": 40.0, "power_kw_min": 40.0, "power_kw_max": 40.0,
        "running_share": 1.0, "fault_readings": 0, "first_event_at": MINUTE,
        "last_event_at": MINUTE + timedelta(seconds=59), "last_batch_id": 7,
    },
    "machine_status": {
        "machine_id": "press-01", "line_id": "line-1", "machine_kind": "press", "status": "running",
        "temperature_celsius": 55.0, "vibration_mm_s": 2.0, "power_kw": 40.0, "last_event_at": MINUTE,
        "last_ingested_at": MINUTE, "last_event_id": "readings-0@1", "last_batch_id": 7,
    },
    "order_progress": {
        "order_id": "o-1", "product": "gear", "quantity": 5, "machine_id": "press-01", "state": "completed",
        "last_stage_number": 3, "created_at": MINUTE, "started_at": MINUTE + timedelta(seconds=10),
        "completed_at": MINUTE + timedelta(seconds=40), "cancelled_at": None, "lead_seconds": 40.0,
        "first_event_at": MINUTE, "last_event_at": MINUTE + timedelta(seconds=40), "events": 3,
        "last_batch_id": 7,
    },
    "order_quality": {
        "order_id": "o-1", "product": "gear", "quantity": 5, "machine_id": "press-01", "state": "completed",
        "inspections": 2, "inspected": 5, "passed": 4, "reworked": 1, "scrapped": 0, "first_pass_yield": 0.8,
        "last_defect": "burr", "first_inspected_at": MINUTE,
        "last_inspected_at": MINUTE + timedelta(seconds=40), "last_batch_id": 7,
    },
    "alerts": {
        "rule_id": "press_overheating", "machine_id": "press-01", "line_id": "line-1", "severity": "warning",
        "description": "Press too hot", "metric": "temperature_celsius", "operator": ">", "threshold": 80.0,
        "opened_at": MINUTE, "closed_at": None, "last_breach_at": MINUTE, "breach_seconds": 0.0,
        "readings": 9, "peak_value": 91.0,
    },
}  # fmt: skip
BREACHES: list[tuple[str, dict[str, object], dict[str, str]]] = [
    ("machine_minute", {"machine_id": None}, {"machine_id_missing": "failed"}),
    ("machine_minute", {"temperature_celsius_max": 501.0}, {"failed_rows_range": "failed"}),
    ("machine_minute", {"temperature_celsius_avg": 61.0}, {"failed_rows_order": "failed"}),
    ("machine_minute", {"running_share": 1.2}, {"running_share_invalid": "failed"}),
    ("machine_minute", {"last_event_at": MINUTE + timedelta(seconds=60)}, {"failed_rows_window": "failed"}),
    ("machine_minute", {"readings": 0}, {"readings_invalid": "failed"}),
    ("machine_status", {"status": "asleep"}, {"status_invalid": "warned"}),
    ("machine_status", {"temperature_celsius": -51.0}, {"failed_rows_range": "failed"}),
    ("machine_status", {"last_event_at": NOW - timedelta(hours=1)}, {"freshness": "warned"}),
    ("order_progress", {"state": "lost"}, {"state_invalid": "warned"}),
    ("order_progress", {"quantity": 0}, {"quantity_invalid": "warned"}),
    ("order_progress", {"started_at": MINUTE + timedelta(hours=1)},
     {"failed_rows_window": "failed", "failed_rows_sequence": "warned"}),
    ("order_quality", {"inspections": 0}, {"inspections_invalid": "failed"}),
    ("order_quality", {"inspected": -1}, {"inspected_invalid": "failed"}),
    ("order_quality", {"reworked": -1}, {"failed_rows_parts": "warned"}),
    ("order_quality", {"first_pass_yield": 1.5}, {"first_pass_yield_invalid": "warned"}),
    ("order_quality", {"first_inspected_at": MINUTE + timedelta(hours=1)}, {"failed_rows_window": "failed"}),
    ("alerts", {"severity": "mild"}, {"severity_invalid": "failed"}),
    ("alerts", {"closed_at": MINUTE - timedelta(seconds=1)}, {"failed_rows_window": "failed"}),
    ("alerts", {"peak_value": None}, {"peak_value_missing": "failed"}),
]  # fmt: skip
KEYS = {
    "machine_minute": "duplicate",
    "machine_status": "machine_id_duplicate",
    "order_progress": "order_id_duplicate",
    "order_quality": "order_id_duplicate",
    "alerts": "duplicate",
}


def fill(lake: Lake, table: str, *rows: dict[str, object]) -> Contract:
    """Make the mart as dbt declares it, with these rows, and return its contract."""
    columns = ", ".join(f'"{name}" {kind}' for name, kind in dbt_columns(table).items())
    lake.connection.execute(f"create or replace table marts.{table} ({columns})")
    for row in rows:
        marks = ", ".join("?" for _ in row)
        lake.connection.execute(
            f"insert into marts.{table} ({', '.join(row)}) values ({marks})", [*row.values()]
        )
    return CONTRACTS[table]


def dbt_columns(table: str) -> dict[str, str]:
    model = next(
        model
        for model in yaml.safe_load(MARTS[table].with_suffix(".yml").read_text())["models"]
        if model["name"] == table
    )
    return {column["name"]: column["data_type"] for column in model["columns"]}


def test_every_mart_has_a_contract_and_no_contract_is_left_over() -> None:
    assert set(CONTRACTS) == set(MARTS)
    assert {contract.schema for contract in CONTRACTS.values()} == {"marts"}


@pytest.mark.parametrize("table", sorted(CONTRACTS))
def test_contract_and_model_declare_the_same_columns(table: str) -> None:
    spelled = {
        name: kind.replace("timestamptz", "timestamp with time zone")
        for name, kind in dbt_columns(table).items()
    }
    columns = yaml.safe_load(CONTRACTS[table].text)["columns"]
    assert [(column["name"], column["data_type"]) for column in columns] == list(spelled.items())


@pytest.mark.parametrize("table", sorted(GOOD))
def test_a_good_mart_keeps_its_contract(shared_lake: Lake, table: str) -> None:
    assert not_passed(verify(shared_lake.connection, fill(shared_lake, table, GOOD[table]), now=NOW)) == {}


@pytest.mark.parametrize("table", sorted(KEYS))
def test_a_key_that_stands_twice_is_found(shared_lake: Lake, table: str) -> None:
    contract = fill(shared_lake, table, GOOD[table], GOOD[table])
    assert not_passed(verify(shared_lake.connection, contract, now=NOW)) == {KEYS[table]: "failed"}


@pytest.mark.parametrize(("table", "change", "expected"), BREACHES)
def test_a_breach_is_found(
    shared_lake: Lake, table: str, change: dict[str, object], expected: dict[str, str]
) -> None:
    contract = fill(shared_lake, table, GOOD[table] | change)
    assert not_passed(verify(shared_lake.connection, contract, now=NOW)) == expected


def test_an_empty_mart_is_stale_and_nothing_worse(shared_lake: Lake) -> None:
    for table in GOOD:
        outcomes = verify(shared_lake.connection, fill(shared_lake, table), now=NOW)
        assert set(not_passed(outcomes).items()) <= {("freshness", "warned")}, table


def test_old_rows_are_not_read_again(shared_lake: Lake) -> None:
    old = GOOD["machine_minute"] | {"minute_at": MINUTE - timedelta(days=3), "running_share": 9.0}
    contract = fill(shared_lake, "machine_minute", GOOD["machine_minute"], old)
    assert not_passed(verify(shared_lake.connection, contract, now=NOW)) == {}
    assert "running_share_invalid" in not_passed(
        verify(shared_lake.connection, contract, now=NOW - timedelta(days=3))
    )


def test_a_mart_that_lost_a_column_fails_its_contract(shared_lake: Lake) -> None:
    contract = fill(shared_lake, "alerts", GOOD["alerts"])
    shared_lake.connection.execute("alter table marts.alerts drop column severity")
    found = not_passed(verify(shared_lake.connection, contract, now=NOW))
    assert found == {
        "schema": "failed",
        "severity_missing": "could_not_run",
        "severity_invalid": "could_not_run",
    }
