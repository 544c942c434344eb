"""What a failing check shows: SQL that finds the failing rows again, also after the data was repaired."""

from dataclasses import replace

import pytest
from dagster import AssetCheckKey, AssetKey

from ingestion.lake.lake import Lake
from orchestration.checks.adapter import run_contract
from orchestration.checks.dbt_tests import result_of_test
from orchestration.checks.raw_contracts import raw_contract
from orchestration.cli.query import ask
from orchestration.dbt.results import NodeResult
from tests.orchestration.checks.helpers import STREAM, contract_of

BODY = """
checks:
  - row_count: {threshold: {must_be: 0}}
  - failed_rows: {qualifier: hot, name: none is hot, expression: degrees > 100}
  - duplicate: {columns: [id]}
columns:
  - {name: id, data_type: bigint, checks: [missing: , invalid: {valid_min: 0}]}
  - {name: degrees, data_type: double, checks: [invalid: {valid_max: 400}]}
  - {name: unit, data_type: varchar, checks: [invalid: {valid_values: [C]}]}
"""


def shown(lake: Lake, sql: object) -> list[tuple[object, ...]]:
    """What an operator gets who pastes the metadata's SQL into `millrace query`."""
    text = str(sql).removeprefix("```sql\n").removesuffix("\n```")
    return sorted(ask(lake.settings, text).rows(), key=repr)


@pytest.mark.parametrize("relation", ["table", "view"])
def test_failing_rows_of_a_contract_stay_to_be_seen(shared_lake: Lake, lab: object, relation: str) -> None:
    lake, name = shared_lake, "broken"
    lake.query("create table lab.broken (id bigint, degrees double, unit varchar)")
    lake.query("insert into lab.broken values (1, 20, 'C'), (1, 500, 'C'), (null, 1, 'C'), (-1, 1, 'F')")
    if relation == "view":
        lake.query("create view lab.shown as select * from lab.broken")
        name = "shown"
    found = {
        str(result.check_name): result.metadata
        for result in run_contract(lake, contract_of(name, BODY), AssetKey(["lab", name]))
        if not result.passed
    }
    lake.query("delete from lab.broken")
    rows = {check: shown(lake, metadata["reproduce"].value) for check, metadata in found.items()}
    # What no single row breaks, or no simple clause says: the measuring statement, with its numbers.
    measured = [rows.pop("row_count"), rows.pop("degrees_invalid")]
    assert rows == {
        "failed_rows_hot": [(1, 500.0, "C")],
        "duplicate": [(1, 20.0, "C"), (1, 500.0, "C")],
        "id_missing": [(None, 1.0, "C")],
        "id_invalid": [(-1, 1.0, "F")],
        "unit_invalid": [(-1, 1.0, "F")],
    }
    assert [row[0][0] for row in measured] == [4, 4]
    if relation == "view":
        lake.query("drop view lab.shown")


def test_only_the_batches_that_were_looked_at_are_shown(shared_lake: Lake) -> None:
    lake, name = shared_lake, STREAM.name
    lake.query(f"insert into raw.{name} (batch_id, event_id) values (1, 'old'), (2, 'new')")
    results = run_contract(lake, raw_contract(STREAM), AssetKey(["raw", name]), since_batch=1)
    lake.query(f"delete from raw.{name}")
    metadata = next(result.metadata for result in results if result.check_name == "position_missing")
    (row,) = shown(lake, metadata["reproduce"].value)
    assert "new" in row
    assert all("reproduce" not in result.metadata for result in results if result.passed)


def test_a_dbt_test_s_failing_rows_stay_to_be_seen(shared_lake: Lake, lab: object) -> None:
    lake = shared_lake
    lake.query("create table lab.broken as select 1 as id union all select null")
    compiled = 'select broken.id\nfrom "lake"."lab"."broken" as broken\nwhere broken.id is null'
    node = NodeResult("test.p.t", "fail", 0.1, None, "Got 1 result", 1, None, compiled)
    result = result_of_test(node, AssetCheckKey(AssetKey(["lab", "broken"]), "t"), lake.snapshot_id())
    lake.query("update lab.broken set id = 2")
    assert shown(lake, result.metadata["reproduce"].value) == [(None,)]
    passed = result_of_test(replace(node, status="pass"), AssetCheckKey(AssetKey("broken"), "t"), 1)
    assert "reproduce" not in passed.metadata
