"""A dbt test's result → a Dagster asset check, with the same outcomes and metadata as a contract's."""

from dagster import AssetCheckKey, AssetCheckResult, AssetCheckSeverity

from orchestration.checks.adapter import reproduction
from orchestration.checks.reproduce import at_version
from orchestration.dbt.results import NodeResult
from orchestration.keys import CPU_METADATA, WARNING


def result_of_test(node: NodeResult, key: AssetCheckKey, snapshot_id: int) -> AssetCheckResult:
    """Distinguish an error of the test itself from a failure of the data.

    Args:
        node: dbt's result of the test.
        key: The check that it answers.
        snapshot_id: The lake's snapshot that it read, or an earlier one.
    """
    outcome = {"pass": "passed", "warn": "warned", "fail": "failed"}.get(node.status, "could_not_run")
    return AssetCheckResult(
        asset_key=key.asset_key,
        check_name=key.name,
        passed=outcome == "passed",
        severity=AssetCheckSeverity.WARN if outcome == "warned" else AssetCheckSeverity.ERROR,
        description=f"{WARNING}{node.message or ''}" if outcome == "warned" else node.message,
        metadata={
            "outcome": outcome,
            "measured": node.failures if node.failures is not None else "not measured",
            "threshold": "0 failing rows",
            "seconds": round(node.seconds, 3),
            "snapshot_id": snapshot_id,
            **({} if node.cpu_seconds is None else {CPU_METADATA: round(node.cpu_seconds, 3)}),
            **reproduction(
                at_version(node.sql, snapshot_id) if node.sql and outcome in ("failed", "warned") else ""
            ),
        },
    )
