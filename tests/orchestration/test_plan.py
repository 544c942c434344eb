"""What a run for new events builds, read from the project's own graph."""

from dataclasses import replace
from pathlib import Path

import pytest
from dagster import AssetKey

from ingestion.declare.file import load_streams
from ingestion.settings import load_settings
from orchestration.dbt.lineage import Lineage
from orchestration.dbt.project import ParsedModels, models_that_are_there
from orchestration.dbt.reached import reached_from
from orchestration.keys import CODE_TAG, MODELS_TAG, raw_key
from orchestration.run.plan import RefreshPlan, refresh_plan

pytestmark = pytest.mark.xdist_group("parsed_plant")
ORDERS, TELEMETRY = "production_orders", "plant_telemetry"


@pytest.fixture(scope="module")
def plan(parsed_plant: ParsedModels) -> RefreshPlan:
    lineage = Lineage.of(parsed_plant, [ORDERS, TELEMETRY])
    return refresh_plan(lineage, fingerprint=parsed_plant.fingerprint)


def built(plan: RefreshPlan, *streams: str, models: str) -> set[AssetKey]:
    return set(plan.request(streams, built=models).asset_selection or ())


def test_new_events_build_what_follows_from_them_and_no_view_over_the_ledger(plan: RefreshPlan) -> None:
    orders = built(plan, ORDERS, models=plan.fingerprint)
    assert {raw_key(ORDERS), AssetKey(["marts", "order_progress"])} <= orders
    assert not {key for key in orders if key.path[0] == "ops" or TELEMETRY in key.path[-1]}
    assert MODELS_TAG not in plan.request([ORDERS], built=plan.fingerprint).tags
    both = built(plan, ORDERS, TELEMETRY, models=plan.fingerprint)
    assert both == orders | built(plan, TELEMETRY, models=plan.fingerprint)


def test_a_run_that_goes_on_carries_the_state_of_the_files_of_its_plan(
    plan: RefreshPlan,
) -> None:
    planned = replace(plan, code="the files of today")
    request = planned.request([ORDERS], built=plan.fingerprint, goes_on=[ORDERS])
    assert request.tags[CODE_TAG] == "the files of today"


def test_models_whose_text_has_changed_are_built_as_a_whole(plan: RefreshPlan) -> None:
    everything = built(plan, ORDERS, models="another")
    assert {AssetKey(["ops", "ops_lag"]), AssetKey(["marts", "machine_minute"])} <= everything
    assert everything == plan.models | {raw_key(ORDERS)}
    assert plan.request([ORDERS], built="another").tags[MODELS_TAG] == plan.fingerprint


def test_what_follows_from_a_batch_that_is_held_back_is_not_among_all_models(plan: RefreshPlan) -> None:
    request = plan.request([ORDERS], built="another", not_modelled=[TELEMETRY])
    keys = set(request.asset_selection or ())
    assert AssetKey(["staging", "stg_plant_telemetry"]) not in keys
    assert {raw_key(ORDERS), AssetKey(["marts", "order_progress"])} <= keys
    assert MODELS_TAG not in request.tags  # all of them are still to be built
    assert (
        plan.request([TELEMETRY], built="another", not_modelled=[TELEMETRY]).tags[MODELS_TAG]
        == plan.fingerprint
    )


def test_which_models_show_a_stream_and_by_what_their_rows_are_known_is_read_without_dagster(
    parsed_plant: ParsedModels,
) -> None:
    found = {each.asset: each for each in reached_from(parsed_plant, TELEMETRY)}
    keys = Lineage.of(parsed_plant, [TELEMETRY]).followers[TELEMETRY]
    assert set(found) == {"/".join(key.path) for key in keys if key.path[0] != "ops"}
    assert [each.is_staging for each in found.values()] == [True] + [False] * (len(found) - 1)
    assert {name: each.table.key for name, each in found.items() if each.table.schema == "marts"} == {
        "marts/machine_minute": ("machine_id", "minute_at"),
        "marts/machine_status": ("machine_id",),
        "marts/alerts": ("rule_id", "machine_id", "opened_at"),
    }
    assert found["marts/alerts"].table.is_view
    order = list(found)
    assert order.index("intermediate/int_alert_runs") < order.index("marts/alerts")


def test_who_only_looks_begins_no_dbt_project(tmp_path: Path) -> None:
    tmp_path.joinpath("streams.yml").write_text("clicks: {source: {http: clicks}}\n")
    settings = load_settings(project=tmp_path, data_dir=tmp_path / "data")
    found = models_that_are_there(settings, load_streams(settings.streams_file))
    assert reached_from(found, "clicks") == []
    assert not settings.dbt_folder.exists()
