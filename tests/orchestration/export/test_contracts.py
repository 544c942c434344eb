"""Contract files follow the standard's own schema, and say what the lake and the checks say."""

import json
import shutil
from copy import deepcopy
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import open_data_contract_standard
import pytest
import yaml
from open_data_contract_standard.model import OpenDataContractStandard

from ingestion.declare.file import load_streams
from ingestion.declare.stream import Stream
from ingestion.errors import ConfigError
from ingestion.lake.lake import Lake
from ingestion.settings import Settings, load_settings
from orchestration.checks.contracts import Contract, list_checks
from orchestration.dbt.project import ParsedModels, dbt_project, parse_models
from orchestration.dbt.runner import build_args, invoke
from orchestration.export.contracts import mart_contracts, stream_contract, write_contracts
from orchestration.export.odcs import API_VERSION, Column, Table, document, text

pytestmark = pytest.mark.xdist_group("parsed_plant")
STREAMS = load_streams(load_settings().streams_file)
SCHEMA = json.loads((resources.files(open_data_contract_standard) / "schema.json").read_text())
VALIDATOR = jsonschema.Draft201909Validator(SCHEMA)
_SPELLED = {"timestamp with time zone": "timestamptz", "integer": "int"}


def require_valid(contract: Any) -> None:
    errors = [f"{each.json_path}: {each.message}" for each in VALIDATOR.iter_errors(contract)]
    assert not errors, "\n".join(errors)


def marts(parsed: ParsedModels) -> dict[str, Any]:
    made, problems = mart_contracts(parsed, project="plant")
    assert problems == ()
    return {each["name"]: each for each in made}


def test_every_file_follows_the_standard(tmp_path: Path, parsed_plant: ParsedModels) -> None:
    files, problems = write_contracts(
        tmp_path / "made", STREAMS, parsed_plant, project="plant", replace=False
    )
    assert problems == ()
    names = {path.name.removesuffix(".odcs.yaml") for path in files}
    assert names == {
        *(f"mart.{name}" for name in marts(parsed_plant)),
        *(f"stream.{each.name}" for each in STREAMS),
    }
    assert len(names) == 8
    for path in files:
        require_valid(yaml.safe_load(path.read_text()))
        assert OpenDataContractStandard.from_file(str(path)).apiVersion == API_VERSION


def test_the_standards_schema_refuses_what_is_wrong(parsed_plant: ParsedModels) -> None:
    wrong = deepcopy(marts(parsed_plant)["order_progress"])
    wrong["schema"][0]["properties"][0]["logicalType"] = "varchar"
    with pytest.raises(AssertionError, match="logicalType"):
        require_valid(wrong)


def test_every_check_of_a_contract_is_there(parsed_plant: ParsedModels) -> None:
    folder = parsed_plant.project.project_dir / "contracts"
    for name, made in marts(parsed_plant).items():
        contract = Contract("marts", name, (folder / f"{name}.yml").read_text(), name)
        wanted = {(each.name, each.severity) for each in list_checks(contract) if each.type != "schema"}
        (table,) = made["schema"]
        checks = [
            *table.get("quality", ()),
            *(q for each in table["properties"] for q in each.get("quality", ())),
        ]
        assert {(each["name"], each["severity"].removesuffix("ing")) for each in checks} == wanted


def test_keys_and_budgets_are_there(parsed_plant: ParsedModels) -> None:
    made = marts(parsed_plant)["machine_minute"]
    keys = {each["name"]: each.get("primaryKeyPosition") for each in made["schema"][0]["properties"]}
    assert {name: at for name, at in keys.items() if at} == {"machine_id": 1, "minute_at": 2}
    (promised,) = made["slaProperties"]
    assert (promised["property"], promised["unit"], promised["element"]) == (
        "latency",
        "s",
        "marts.machine_minute",
    )


def test_types_and_columns_are_those_of_the_lake(tmp_path: Path, settings: Settings) -> None:
    with Lake(settings) as lake:
        lake.prepare(each.name for each in STREAMS)
        lake.publish_access()
    parsed = parse_models(settings, STREAMS)
    invoke(dbt_project(settings), build_args("run", select=["+order_progress", "+order_quality"]))
    made = [
        stream_contract(each, parsed, project="plant") for each in STREAMS if each.name != "plant_telemetry"
    ]
    made += [marts(parsed)[name] for name in ("order_progress", "order_quality")]
    compared = 0
    with Lake(settings, read_only=True) as lake:
        for table in (each for contract in made for each in contract["schema"]):
            described = lake.query(f"select column_name, column_type from (describe {table['physicalName']})")
            there = {name: kind.lower() for name, kind in described}
            declared = {each["name"]: each["physicalType"].lower() for each in table["properties"]}
            spelled = {name: _SPELLED.get(kind, kind) for name, kind in declared.items()}
            assert spelled == {name: _SPELLED.get(kind, kind) for name, kind in there.items()}, table["name"]
            compared += len(declared)
    assert compared > 60


def test_the_version_moves_with_what_is_promised_only() -> None:
    table = Table("marts", "orders", "table", "", [Column("id", "bigint")])
    made = document("orders", [table], project="shop", purpose="Orders.")
    assert made == document("orders", [table], project="shop", purpose="Orders.")
    wider = document("orders", [replace(table, key=["id"])], project="shop", purpose="Orders.")
    assert (wider["id"], wider["version"] != made["version"]) == (made["id"], True)
    assert document("orders", [table], project="other", purpose="Orders.")["id"] != made["id"]


CONTRACT = """
dataset: lake/marts/orders
columns:
  - name: id
    data_type: varchar
    checks:
      - missing: {threshold: {metric: percent, must_be_less_than: 5}}
      - duplicate: {threshold: {must_be_between: {greater_than: 1, less_than: 3}}}
      - invalid: {valid_values: [a, "b:\\n#"], threshold: {level: warn, must_be_less_than_or_equal: 2}}
  - name: only_here
    data_type: decimal(10,2)
checks:
  - duplicate: {columns: [id, only_here]}
  - row_count: {threshold: {must_be_greater_than: 1}}
"""


def test_thresholds_are_the_standards_where_it_has_them() -> None:
    contract = Contract("marts", "orders", CONTRACT, "orders.yml")
    columns = [Column("id", "varchar"), Column("only_here", "decimal(10,2)"), Column("untyped")]
    made = document(
        "orders",
        [Table("marts", "orders", "view", "", columns, ("id",), contract)],
        project="shop",
        purpose="x",
    )
    require_valid(made)
    again = yaml.safe_load(text(made))
    assert again == made
    (table,) = again["schema"]
    missing, duplicate, invalid = table["properties"][0]["quality"]
    assert (missing["metric"], missing["mustBeLessThan"], missing["unit"]) == ("missingValues", 5, "percent")
    assert (duplicate["type"], duplicate["engine"]) == ("custom", "soda")
    assert yaml.safe_load(duplicate["implementation"])["duplicate"]["threshold"]["must_be_between"]
    assert invalid["arguments"] == {"validValues": ["a", "b:\n#"]}
    assert invalid["mustBeLessOrEqualTo"] == 2
    pair, count = table["quality"]
    assert pair["arguments"] == {"properties": ["id", "only_here"]}
    assert count["type"] == "custom"
    assert "required" not in table["properties"][0]  # some rows may miss it
    assert [each["logicalType"] for each in table["properties"]] == ["string", "number", "string"]
    assert table["properties"][2]["customProperties"][0]["property"] == "typeDeclared"


def test_a_stream_of_any_shape_has_a_contract(parsed_plant: ParsedModels) -> None:
    stream = Stream.model_validate(
        {
            "name": "elsewhere", "source": {"kafka": "elsewhere"}, "description": "Ürgs: [1] {2} #3 'x'",
            "fields": {"amount": "decimal(10,2)", "at": "timestamp", "rest": {"type": "json", "path": "a.b"}},
            "owners": ["team:plant"], "tags": ["nightly"],
        }
    )  # fmt: skip
    made = stream_contract(stream, parsed_plant, project="plant")
    require_valid(yaml.safe_load(text(made)))
    assert made["team"] == {"name": "team:plant"}
    assert [each["physicalName"] for each in made["schema"]] == ["raw.elsewhere"]  # it has no staging model


def test_what_is_there_is_replaced_with_force_alone(tmp_path: Path, parsed_plant: ParsedModels) -> None:
    write_contracts(tmp_path, STREAMS, parsed_plant, project="plant", replace=False)
    mine = tmp_path / "mine.yml"
    shutil.copy(tmp_path / "mart.alerts.odcs.yaml", mine)
    (tmp_path / "mart.alerts.odcs.yaml").write_text("edited")
    with pytest.raises(ConfigError, match="is there already"):
        write_contracts(tmp_path, STREAMS, parsed_plant, project="plant", replace=False)
    assert (tmp_path / "mart.alerts.odcs.yaml").read_text() == "edited"
    write_contracts(tmp_path, STREAMS, parsed_plant, project="plant", replace=True)
    assert (tmp_path / "mart.alerts.odcs.yaml").read_text() == mine.read_text()
