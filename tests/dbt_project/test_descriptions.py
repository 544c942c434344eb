"""Descriptions of streams and models are comments in the lake, and cost a version only where one changed."""

from types import SimpleNamespace
from typing import Any, cast

import pytest
import yaml

from orchestration.dbt.descriptions import declared_descriptions, describe_lake
from orchestration.dbt.project import ParsedModels, parse_models
from tests.dbt_project.conftest import STREAMS, Warehouse
from tests.dbt_project.raw import START, order_event


def test_what_a_schema_says_of_a_field_is_its_column_s_unless_the_model_says_it() -> None:
    said = {"total": "Ours.", "day": ""}
    model: dict[str, Any] = {
        "resource_type": "model", "schema": "staging", "alias": "stg_orders", "description": "",
        "columns": {name: {"name": name, "description": text} for name, text in said.items()},
        "depends_on": {"nodes": ["source.p.raw.orders", "macro.x"]},
    }  # fmt: skip
    source = {
        "schema": "raw", "identifier": "orders", "description": "", "columns": {},
        "meta": {"descriptions": {"total": "Theirs.", "order_id": "Names it.", "day": "When."}},
    }  # fmt: skip
    manifest = {"nodes": {"model.p.stg_orders": model}, "sources": {"source.p.raw.orders": source}}
    parsed = cast(ParsedModels, SimpleNamespace(manifest=manifest))
    columns = declared_descriptions(parsed)["staging", "stg_orders"].columns
    assert [columns[name] for name in ("total", "order_id", "day")] == ["Ours.", "Names it.", "When."]
    assert columns["batch_id"]


@pytest.mark.slow("the plant is built twice")
def test_descriptions_are_comments_and_only_changes_are_written(warehouse: Warehouse) -> None:
    lake = warehouse.lake
    warehouse.raw.add("production_orders", [order_event(1, "ord-1", "created", START)])
    warehouse.dbt("run", "--select", "+order_progress", "ops_batches")

    def describe() -> tuple[int, int]:
        """How many comments were written, and how many versions that made."""
        before = lake.snapshot_id()
        parsed = parse_models(lake.settings, STREAMS, folder=warehouse.project)
        return describe_lake(lake, declared_descriptions(parsed)), lake.snapshot_id() - before

    def comments(of: str, name: str) -> dict[str, str | None]:
        return dict(lake.query(f"select {of}, comment from duckdb_{of.split('_')[0]}s() where {name}"))

    written, versions = describe()
    assert written > 20
    assert versions == 1
    assert describe() == (0, 0)

    tables = comments("table_name", "schema_name in ('raw', 'staging', 'marts')")
    assert tables["production_orders"] == f"{STREAMS[1].description} One row per event."
    assert str(tables["batches"]).startswith("The ledger:")
    assert str(tables["order_progress"]).endswith("One row per order.")
    assert str(comments("view_name", "schema_name = 'marts'")["ops_batches"]).startswith("What was ingested.")
    columns = comments("column_name", "table_name = 'stg_production_orders'")
    assert columns["batch_id"] == "Number of the batch that brought it."
    assert columns["order_id"]

    # A model that is built again, and from nothing, keeps or gets them.
    warehouse.raw.add("production_orders", [order_event(2, "ord-2", "created", START)])
    warehouse.dbt("run", "--select", "+order_progress")
    assert describe() == (0, 0)

    path = warehouse.project / "models" / "marts" / "order_progress.yml"
    document = yaml.safe_load(path.read_text())
    document["models"][0]["description"] = "It's new. One row per order."
    path.write_text(yaml.safe_dump(document))
    assert describe() == (1, 1)
    assert comments("table_name", "schema_name = 'marts'")["order_progress"] == "It's new. One row per order."
