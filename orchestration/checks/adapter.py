"""Contract outcomes → Dagster asset checks. Four outcomes stay four; only `passed` is a pass."""

from collections.abc import Iterator, Mapping

from dagster import (
    AssetCheckExecutionContext,
    AssetCheckResult,
    AssetChecksDefinition,
    AssetCheckSeverity,
    AssetCheckSpec,
    AssetKey,
    MetadataValue,
    multi_asset_check,
)

from ingestion.lake.lake import Lake
from ingestion.land.session import LakeSession
from orchestration.checks.audits import fails_with_its_checks, hourly
from orchestration.checks.contracts import Contract, list_checks
from orchestration.checks.soda import verify
from orchestration.keys import WARNING


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


def contract_audit(name: str, contracts: Mapping[AssetKey, Contract]) -> AssetChecksDefinition:
    """Contracts over whole tables, as one op for a schedule; tables that do not exist yet are left out.

    Args:
        name: The op's name.
        contracts: Asset → its contract.
    """
    specs = [
        spec for key, contract in contracts.items() for spec in check_specs(contract, key, blocking=False)
    ]

    @multi_asset_check(
        name=name, specs=hourly(specs), can_subset=True, required_resource_keys={"lake_session"}
    )
    @fails_with_its_checks
    def audit(context: AssetCheckExecutionContext) -> Iterator[AssetCheckResult]:
        session: LakeSession = context.resources.lake_session
        existing = session.lake.tables()
        for key, contract in contracts.items():
            if (contract.schema, contract.table) not in existing:
                context.log.info(f"not checked, because no run has built it yet: {key.to_user_string()}")
            elif any(check.asset_key == key for check in context.selected_asset_check_keys):
                yield from run_contract(session.lake, contract, key)

    return audit


def reproduction(sql: str) -> dict[str, MetadataValue]:
    """Metadata with the statement that shows again what a check found; empty without a statement."""
    return {"reproduce": MetadataValue.md(f"```sql\n{sql}\n```")} if sql else {}


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
    outcomes = verify(lake.connection, contract, since_batch=since_batch)
    # A check names the version that it read; one that read none names the newest.
    is_named = all(outcome.snapshot_id is not None for outcome in outcomes)
    newest = None if is_named else lake.snapshot_id()
    return [
        AssetCheckResult(
            check_name=outcome.check,
            asset_key=key,
            passed=outcome.result == "passed",
            severity=AssetCheckSeverity.WARN if outcome.result == "warned" else AssetCheckSeverity.ERROR,
            description=(WARNING if outcome.result == "warned" else "") + outcome.message or None,
            metadata={
                "outcome": outcome.result,
                "measured": "not measured" if outcome.measured is None else outcome.measured,
                "threshold": outcome.threshold,
                "query": MetadataValue.md(f"```sql\n{outcome.query}\n```"),
                "snapshot_id": newest if outcome.snapshot_id is None else outcome.snapshot_id,
                **reproduction(outcome.reproduce),
            },
        )
        for outcome in outcomes
    ]
