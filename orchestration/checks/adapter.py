"""Contract outcomes → Dagster asset checks. Four outcomes stay four; only `passed` is a pass."""

from dagster import AssetCheckResult, AssetCheckSeverity, AssetCheckSpec, AssetKey, MetadataValue

from ingestion.lake import Lake
from orchestration.checks.contracts import Contract, list_checks
from orchestration.checks.soda import verify


def check_specs(contract: Contract, key: AssetKey, *, blocking: bool) -> list[AssetCheckSpec]:
    """Declare a contract's checks.

    Args:
        contract: The contract.
        key: The asset that it is about.
        blocking: Whether an error holds back what is downstream; a warning never does.
    """
    return [
        AssetCheckSpec(
            check.name,
            asset=key,
            description=check.description,
            blocking=blocking and check.severity == "error",
        )
        for check in list_checks(contract)
    ]


def run_contract(
    lake: Lake, contract: Contract, key: AssetKey, *, since_batch: int | None = None
) -> list[AssetCheckResult]:
    """Verify a contract on the lake; one result per declared check, always.

    Args:
        lake: The lake.
        contract: The contract.
        key: The asset that it is about.
        since_batch: For raw tables: only rows of later batches.
    """
    snapshot_id = lake.snapshot_id()
    return [
        AssetCheckResult(
            check_name=outcome.check,
            asset_key=key,
            passed=outcome.result == "passed",
            severity=AssetCheckSeverity.WARN if outcome.result == "warned" else AssetCheckSeverity.ERROR,
            description=outcome.message or None,
            metadata={
                "outcome": outcome.result,
                "measured": "not measured" if outcome.measured is None else outcome.measured,
                "threshold": outcome.threshold,
                "query": MetadataValue.md(f"```sql\n{outcome.query}\n```"),
                "snapshot_id": snapshot_id,
            },
        )
        for outcome in verify(lake.connection, contract, since_batch=since_batch)
    ]
