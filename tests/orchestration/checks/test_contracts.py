"""Contracts as text: names, thresholds in words, and errors that name file and remedy."""

import re
from pathlib import Path

import pytest

from ingestion.declare.file import load_streams
from ingestion.errors import ConfigError
from orchestration.checks.contracts import (
    list_checks,
    load_contract,
)
from orchestration.checks.outcomes import first_line
from orchestration.checks.raw_contracts import batches_contract, raw_contract, rejects_contract
from tests.orchestration.checks.helpers import CONTRACTS, STREAM, contract_of
from tests.repository import REPOSITORY


def test_names_are_stable_and_unique() -> None:
    streams = load_streams(REPOSITORY / "streams.yml")
    contracts = [*map(raw_contract, streams), rejects_contract(), batches_contract(), *CONTRACTS.values()]
    for contract in contracts:
        names = [check.name for check in list_checks(contract)]
        assert len(set(names)) == len(names)
        assert all(re.fullmatch("[a-z0-9_]+", name) for name in names)
    assert [check.name for check in list_checks(raw_contract(STREAM))] == [
        "schema", "failed_rows_identity", "batch_id_missing", "source_partition_missing", "position_missing",
        "position_invalid", "event_id_missing", "event_id_duplicate", "ingested_at_missing",
    ]  # fmt: skip
    warned = {check.name for check in list_checks(CONTRACTS["order_progress"]) if check.severity == "warn"}
    assert warned == {"freshness", "failed_rows_sequence", "quantity_invalid", "state_invalid"}


def test_thresholds_are_said_in_words() -> None:
    body = """
checks:
  - row_count:
  - row_count: {qualifier: some, threshold: {must_be_between: {greater_than: 3, less_than_or_equal: 9}}}
  - freshness: {column: a, threshold: {unit: hour, must_be_less_than: 2}}
columns:
  - {name: a, checks: [missing: {threshold: {metric: percent, must_be_less_than: 5}}]}
"""
    said = [check.threshold for check in list_checks(contract_of("t", body))]
    assert said == ["> 0", "> 3 and <= 9", "< 2 hours", "< 5%"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("dataset: lake/marts", "must name the lake, a schema and a table"),
        ("dataset: lake/marts/t", "'columns' must be a list"),
        ("dataset: lake/marts/t\ncolumns: [{name: a, checks: [missing]}]", "write its type with a colon"),
        ("dataset: lake/marts/t\ncolumns: [{name: a, checks: [misssing: ]}]", "'misssing' is not a check"),
        (
            "dataset: lake/marts/t\ncolumns: [{name: a, checks: [missing: , missing: ]}]",
            "two checks are named 'a_missing'",
        ),
        ("dataset: [", "is not YAML"),
        ("- a", "a contract is a mapping"),
    ],
)
def test_a_malformed_contract_is_refused_by_name(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "mine.yml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=rf"^mine\.yml.*{re.escape(message)}"):
        load_contract(path)


def test_errors_are_shown_without_credentials() -> None:
    error = (
        "cannot reach host=db password=hunter2 user=u, postgresql://u:hunter2@db/x SECRET 'hunter2'\nhunter2"
    )
    assert "hunter2" not in first_line(error.replace("SECRET '", "secret='"))
