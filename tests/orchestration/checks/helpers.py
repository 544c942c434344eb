"""Small things that several tests of checks say."""

from datetime import UTC, datetime

from ingestion.declare.stream import Stream
from orchestration.checks.contracts import Contract, load_contract
from orchestration.checks.outcomes import Outcome
from orchestration.dbt.prepared import PACKAGE
from tests.repository import REPOSITORY

STREAM = Stream.model_validate({"name": "readings", "source": {"mqtt": "plant/#"}})
CONTRACTS = {
    path.stem: load_contract(path)
    for folder in (PACKAGE, REPOSITORY / "dbt_project")
    for path in sorted((folder / "contracts").glob("*.yml"))
}
"""Of the marts, by table."""
NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def contract_of(table: str, body: str) -> Contract:
    return Contract("lab", table, f"dataset: lake/lab/{table}\n{body}", "a test's contract")


def results(outcomes: tuple[Outcome, ...]) -> dict[str, str]:
    return {outcome.check: outcome.result for outcome in outcomes}


def not_passed(outcomes: tuple[Outcome, ...]) -> dict[str, str]:
    return {check: result for check, result in results(outcomes).items() if result != "passed"}
