"""A failure that a later cycle of the same run passes can still be seen."""

import pytest
from dagster import (
    AssetCheckEvaluation,
    AssetCheckKey,
    AssetCheckResult,
    AssetCheckSeverity,
    AssetCheckSpec,
    AssetKey,
    AssetMaterialization,
    DagsterInstance,
    MaterializeResult,
    asset,
    materialize,
)

from orchestration.run.earlier import EarlierFailures

ORDERS = AssetKey("orders")


def result(
    *, passed: bool, why: str = "", severity: AssetCheckSeverity = AssetCheckSeverity.ERROR
) -> AssetCheckEvaluation:
    return AssetCheckEvaluation(
        asset_key=ORDERS,
        check_name="whole",
        passed=passed,
        metadata={},
        severity=severity,
        description=why,
    )


@asset(check_specs=[AssetCheckSpec("whole", asset="orders")])
def orders():  # type: ignore[no-untyped-def]
    """An asset that a run builds and checks again and again; the first result is the step's own."""
    yield from EarlierFailures().remembered(
        [
            MaterializeResult(),
            AssetCheckResult(
                asset_key=ORDERS, check_name="whole", passed=False, description="two rows are missing"
            ),
            result(passed=False, why="one row is missing"),
            AssetMaterialization("orders"),
            result(passed=True),
        ]
    )


def test_what_dagster_keeps_of_the_run_names_the_failure() -> None:
    with DagsterInstance.ephemeral() as instance:
        materialize([orders], instance=instance)
        key = AssetCheckKey(ORDERS, "whole")
        records = instance.event_log_storage.get_asset_check_execution_history(key, limit=10)
        assert len(records) == 1, "one result a run: this module is needed as long as that is so"
        event = records[0].event
        assert event is not None
        assert event.dagster_event is not None
        kept = event.dagster_event.asset_check_evaluation_data
        assert kept.passed
        assert kept.metadata["failed_before"].value == 2
        assert str(kept.description).startswith(
            "note: passes now; failed 2 time(s) in this run before, last at "
        )
        assert str(kept.description).endswith("one row is missing")


@pytest.mark.parametrize("severity", [AssetCheckSeverity.WARN, None], ids=["warned", "passed"])
def test_what_never_failed_is_passed_on_as_it_is(severity: AssetCheckSeverity | None) -> None:
    before = result(passed=severity is None, severity=severity or AssetCheckSeverity.ERROR)
    events = [before, AssetMaterialization("orders"), result(passed=True)]
    assert [*EarlierFailures().remembered(events)] == events
