"""build_defs takes definitions in place of the product's own, each where others refer to it."""

from collections.abc import Callable
from functools import partial

import pytest
from dagster import (
    AssetCheckResult,
    AssetCheckSpec,
    AssetKey,
    AssetSpec,
    Definitions,
    ResourceDefinition,
    SkipReason,
    asset,
    job,
    multi_asset_check,
    op,
    sensor,
)

from ingestion.settings import Settings
from orchestration.build import build_defs
from orchestration.checks.anomalies import DELAY_CHECK, VOLUME_CHECK
from orchestration.keys import AUDIT_JOB, LEDGER_AUDIT, REFRESH_JOB, UPKEEP_JOB, raw_key

Build = Callable[..., Definitions]
ORDERS = raw_key("production_orders")
MART = AssetKey(["marts", "order_progress"])


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Build:
    settings = Settings(_env_file=None, data_dir=tmp_path_factory.mktemp("overrides"))
    return partial(build_defs, settings=lambda: settings)


@asset(key=ORDERS)
def nothing_new() -> None: ...


def test_an_asset_takes_the_place_of_the_one_with_its_key(build: Build) -> None:
    definitions = build(asset_overrides={ORDERS: nothing_new})
    graph = definitions.resolve_asset_graph()
    assert graph.get(ORDERS).assets_def.op.name == nothing_new.op.name
    audited = {LEDGER_AUDIT, VOLUME_CHECK, DELAY_CHECK}  # audits have them
    assert {key.name for key in graph.get(ORDERS).check_keys} == audited
    assert nothing_new.op.name in {node.name for node in definitions.resolve_job_def(REFRESH_JOB).nodes}


def test_a_model_is_overridden_alone(build: Build) -> None:
    spec = AssetSpec(MART, description="somebody else's table")
    before, after = (defs.resolve_asset_graph() for defs in (build(), build(asset_overrides={MART: spec})))
    assert before.get_all_asset_keys() == after.get_all_asset_keys()
    assert after.get(MART).description == spec.description
    assert not after.get(MART).is_materializable
    assert after.materializable_asset_keys == before.materializable_asset_keys - {MART}


def test_one_definition_may_stand_for_several_assets(build: Build) -> None:
    models = next(each for each in build().assets or () if getattr(each, "keys", set()) >= {MART})
    again = build(asset_overrides=dict.fromkeys(models.keys, models))
    assert [each for each in again.assets or () if each is models] == [models]
    assert (
        again.resolve_asset_graph().get_all_asset_keys() == build().resolve_asset_graph().get_all_asset_keys()
    )


def test_checks_take_the_place_of_the_op_with_their_name(build: Build) -> None:
    spec = AssetCheckSpec("trusted", asset=ORDERS)

    @multi_asset_check(name="ledger_audit", specs=[spec])
    def trusting():
        yield AssetCheckResult(passed=True, check_name="trusted", asset_key=ORDERS)

    definitions = build(check_overrides={"ledger_audit": trusting})
    keys = definitions.resolve_asset_graph().asset_check_keys
    assert spec.key in keys
    assert "ledger_audit" not in {key.name for key in keys}
    assert trusting.op.name in {node.name for node in definitions.resolve_job_def(AUDIT_JOB).nodes}


def test_a_job_takes_the_place_of_the_one_with_its_name(build: Build) -> None:
    @op
    def rest() -> None: ...

    @job(name=UPKEEP_JOB)
    def idle() -> None:
        rest()

    definitions = build(job_overrides={UPKEEP_JOB: idle})
    assert [node.name for node in definitions.resolve_job_def(UPKEEP_JOB).nodes] == ["rest"]
    assert definitions.resolve_schedule_def("regular_upkeep").job is idle


def test_a_sensor_takes_the_place_of_the_one_with_its_name(build: Build) -> None:
    @sensor(name="arrivals", job_name=REFRESH_JOB)
    def never() -> SkipReason:
        return SkipReason("not today")

    definitions = build(sensor_overrides={"arrivals": never})
    assert definitions.resolve_sensor_def("arrivals") is never
    assert definitions.resolve_sensor_def("failed_runs") is not None


def test_a_resource_takes_the_place_of_the_one_with_its_name(build: Build) -> None:
    lake = ResourceDefinition.hardcoded_resource("no lake")
    assert build(resource_overrides={"lake_session": lake}).resources == {"lake_session": lake}


@pytest.mark.parametrize(
    ("overrides", "complaint"),
    [
        ({"asset_overrides": {raw_key("none"): nothing_new}}, "no asset raw/none .* raw/production_orders"),
        ({"asset_overrides": {MART: nothing_new}}, "marts/order_progress defines raw/production_orders"),
        ({"check_overrides": {"audits": None}}, "no op of checks audits .* full_scans, .*ledger_audit"),
        ({"job_overrides": {"refreshing": None}}, "no job refreshing .* audit, maintain, refresh, replay"),
        ({"sensor_overrides": {"arrival": None}}, "no sensor arrival .* arrivals, failed_runs"),
        ({"resource_overrides": {"lake": None}}, "no resource lake .* lake_session"),
    ],
)  # fmt: skip
def test_an_override_that_replaces_nothing_is_refused(build: Build, overrides: dict, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        build(**overrides)


def test_an_override_with_another_name_is_refused(build: Build) -> None:
    @sensor(name="elsewhere", job_name=REFRESH_JOB)
    def never() -> None: ...

    with pytest.raises(ValueError, match="override of sensor arrivals is named elsewhere: name it arrivals"):
        build(sensor_overrides={"arrivals": never})
