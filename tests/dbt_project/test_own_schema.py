"""A modeller's own schema: what is not built there comes from production, at once and with plain commands."""

from pathlib import Path
from typing import Any

import pytest

from tests.dbt_project.conftest import STREAMS, Warehouse, copy_project, explain, prepare_project, run_dbt
from tests.dbt_project.raw import START, order_event

OWN = "dev_ada_l"


def shown(warehouse: Warehouse, model: str, *, target: str = "dev") -> list[Any]:
    """Column `order_id` of a model as `dbt show` prints it."""
    result = warehouse.dbt("show", "--select", model, "--limit", "-1", target=target).result
    (table,) = [each.agate_table for each in result.results if each.node.name == model]
    return sorted(table.columns["order_id"].values())


@pytest.mark.slow("the dbt command line runs three times")
def test_one_model_is_built_shown_and_documented_without_its_parents(warehouse: Warehouse) -> None:
    warehouse.raw.add("production_orders", [order_event(1, "ord-1", "created", START)])
    warehouse.dbt("build", "--select", "+order_quality")
    assert shown(warehouse, "order_progress") == ["ord-1"]

    warehouse.dbt("build", "--select", "order_progress+", target="dev")
    assert warehouse.rows(f"{OWN}.order_progress", "order_id, events") == [("ord-1", 1)]
    assert (OWN, "stg_production_orders") not in warehouse.lake.tables()

    # Built once, it is incremental; what it shows is the mart, not the rows that it lacks.
    assert shown(warehouse, "order_progress") == ["ord-1"]
    assert shown(warehouse, "order_progress", target="prod") == ["ord-1"]

    warehouse.raw.add("production_orders", [order_event(2, "ord-2", "created", START)])
    warehouse.dbt("build", "--select", "+order_progress")
    warehouse.dbt("build", "--select", "order_progress", target="dev")
    assert warehouse.rows(f"{OWN}.order_progress", "order_id") == [("ord-1",), ("ord-2",)]

    warehouse.dbt("docs", "generate", "--select", "+order_progress", target="dev")


def test_what_is_built_in_one_s_own_schema_goes_before_production(warehouse: Warehouse) -> None:
    warehouse.raw.add("production_orders", [order_event(1, "ord-1", "created", START)])
    warehouse.dbt("build", "--select", "+order_progress")
    warehouse.raw.add("production_orders", [order_event(2, "ord-2", "created", START)])
    warehouse.dbt("run", "--select", "stg_production_orders", "int_order_events", target="dev")
    assert shown(warehouse, "order_progress") == ["ord-1", "ord-2"]
    assert shown(warehouse, "order_progress", target="prod") == ["ord-1"]


def test_freshness_of_sources_is_there_to_be_asked_for(warehouse: Warehouse) -> None:
    warehouse.raw.add("production_orders", [order_event(1, "ord-1", "created", START)])
    result = warehouse.dbt("source", "freshness", target="dev").result
    status = {each.node.name: str(each.status) for each in result.results}
    assert status == dict.fromkeys(
        ["batches", "plant_telemetry", "production_orders", "quality_inspections"], "warn"
    )


def test_without_a_running_system_dbt_says_so_in_a_sentence(tmp_path: Path) -> None:
    project = copy_project(tmp_path / "dbt")
    prepare_project(STREAMS, project)
    result = run_dbt(project, tmp_path / "data", "build", target="dev")
    assert not result.success
    assert f"no lake is running on {tmp_path / 'data'}: start one with 'millrace up'" in explain(result)
    assert type(result.exception).__module__.startswith("dbt"), "anything else is shown with a traceback"
