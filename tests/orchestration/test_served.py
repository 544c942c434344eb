"""Which marts programs may read, and what a build says of them."""

import copy
from dataclasses import replace

import pytest
from dagster import AssetKey

from ingestion.declare.file import load_streams
from ingestion.settings import load_settings
from orchestration.dbt.lineage import Lineage
from orchestration.dbt.project import ParsedModels, parse_models
from orchestration.dbt.served import Served, served_models, shown_by

ORDERS, TELEMETRY = "production_orders", "plant_telemetry"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> tuple[ParsedModels, Lineage]:
    settings = load_settings(data_dir=tmp_path_factory.mktemp("served"))
    streams = load_streams(settings.streams_file)
    parsed = parse_models(settings, streams)
    return parsed, Lineage.of(parsed, [stream.name for stream in streams])


def test_marts_are_served_and_nothing_else(project: tuple[ParsedModels, Lineage]) -> None:
    served = {each.mart.name: each.mart for each in served_models(*project)}
    assert {"machine_status", "order_progress", "ops_lag"} <= served.keys()
    assert {mart.schema for mart in served.values()} == {"marts"}
    assert not {name for name in served if name.startswith(("stg_", "int_"))}
    assert served["order_progress"].streams == (ORDERS,)


def test_serve_false_leaves_one_out(project: tuple[ParsedModels, Lineage]) -> None:
    parsed, lineage = project
    manifest = copy.deepcopy(dict(parsed.manifest))
    (node,) = (node for node in manifest["nodes"].values() if node["name"] == "order_progress")
    node["config"]["meta"]["serve"] = False
    names = [each.mart.name for each in served_models(replace(parsed, manifest=manifest), lineage)]
    assert "machine_status" in names
    assert "order_progress" not in names


def test_a_mart_shows_a_batch_once_all_on_its_way_is_built(project: tuple[ParsedModels, Lineage]) -> None:
    by_name = {each.mart.name: each for each in served_models(*project)}
    orders: Served = by_name["order_progress"]
    way = orders.needs[ORDERS]
    assert {AssetKey(["staging", f"stg_{ORDERS}"]), AssetKey(["marts", "order_progress"])} <= way
    released = {ORDERS: 7, TELEMETRY: 9}
    assert shown_by([orders], way, released) == {"order_progress": {ORDERS: 7}}
    assert shown_by([orders], way - {AssetKey(["staging", f"stg_{ORDERS}"])}, released) == {}
    assert shown_by([orders], way, {TELEMETRY: 9}) == {}
