"""Our specs of dbt's nodes are those that dagster-dbt makes of the same manifest."""

import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from dagster import AssetCheckSpec, AssetSpec
from dagster_dbt import DagsterDbtTranslator
from dagster_dbt.asset_utils import build_dbt_specs

from orchestration.dbt import translator
from orchestration.dbt.names import folder_of
from orchestration.dbt.project import FULL_SCAN, FULL_SCAN_TAG, NO_ASSETS, ParsedModels
from orchestration.dbt.specs import dbt_specs

Manifest = dict[str, Any]
pytestmark = pytest.mark.xdist_group("parsed_plant")
STAGED = "model.plant.stg_production_orders"


class Translator(DagsterDbtTranslator):
    """Calls assets as we do."""

    def get_asset_key(self, dbt_resource_props: Mapping[str, Any]) -> Any:
        return translator.asset_key(dbt_resource_props)

    def get_group_name(self, dbt_resource_props: Mapping[str, Any]) -> str | None:
        return folder_of(dbt_resource_props)


def as_it_is(_: Manifest) -> None: ...


def a_model_without_a_table(manifest: Manifest) -> None:
    manifest["nodes"][STAGED]["config"]["materialized"] = "ephemeral"


def a_model_that_is_left_out_with_its_tests(manifest: Manifest) -> None:
    manifest["nodes"][STAGED]["tags"] = [FULL_SCAN_TAG]


def a_group_with_an_owner(manifest: Manifest) -> None:
    manifest["groups"] = {"group.plant.g": {"name": "g", "owner": {"email": "ada@example.com"}}}
    manifest["nodes"][STAGED] |= {"group": "g", "tags": ["one", "no tag!"], "description": "of orders"}


def some_tests_of_several_models(manifest: Manifest) -> None:
    """One names its model, one does not, one names a model that is not there."""
    test = next(node for node in manifest["nodes"].values() if node["resource_type"] == "test")
    several = [STAGED, "model.plant.order_progress"]
    for number, meta in enumerate(
        [{}, {"dagster": {"ref": {"name": "order_progress"}}}, {"dagster": {"ref": {"name": "x"}}}]
    ):
        unique_id = f"test.plant.several_{number}"
        manifest["nodes"][unique_id] = test | {
            "unique_id": unique_id,
            "name": f"several_{number}",
            "attached_node": None,
            "meta": meta,
            "config": test["config"] | {"meta": meta, "severity": "WARN"},
            "depends_on": {"nodes": several, "macros": []},
        }
        manifest["parent_map"][unique_id] = several
        manifest["child_map"][unique_id] = []
        for parent in several:
            manifest["child_map"][parent].append(unique_id)


@pytest.mark.parametrize(
    "change",
    [
        as_it_is,
        a_model_without_a_table,
        a_model_that_is_left_out_with_its_tests,
        a_group_with_an_owner,
        some_tests_of_several_models,
    ],
)
@pytest.mark.parametrize("tag", ["", FULL_SCAN_TAG])
def test_specs_are_those_of_dagster_dbt(
    parsed_plant: ParsedModels, change: Callable[[Manifest], None], tag: str
) -> None:
    manifest = json.loads(json.dumps(parsed_plant.manifest))
    change(manifest)
    assets, checks = build_dbt_specs(
        translator=Translator(),
        manifest=manifest,
        select="fqn:*",
        exclude=f"{FULL_SCAN} {NO_ASSETS}" if tag else NO_ASSETS,
        selector="",
        io_manager_key=None,
        project=None,
    )
    ours = dbt_specs(manifest, without_tag=tag)
    assert len(ours.assets) > 5
    assert len(ours.checks) > 5
    assert {spec.key: asset(spec) for spec in ours.assets} == {spec.key: asset(spec) for spec in assets}
    assert {spec.key: check(spec) for spec in ours.checks} == {spec.key: check(spec) for spec in checks}


def test_two_nodes_of_one_name_are_refused(parsed_plant: ParsedModels) -> None:
    manifest = json.loads(json.dumps(parsed_plant.manifest))
    manifest["nodes"]["model.other.order_progress"] = manifest["nodes"]["model.plant.order_progress"]
    with pytest.raises(
        ValueError, match=r"model\.other\.order_progress and model\.plant\.order_progress would both be"
    ):
        dbt_specs(manifest)


def asset(spec: AssetSpec) -> dict[str, Any]:
    """What is compared: all but texts for people, kinds, and dagster-dbt's own objects."""
    objects = ("dagster_dbt/manifest", "dagster_dbt/dagster_dbt_translator", "sql")
    return {
        "deps": {dep.asset_key: dict(dep.metadata or {}) for dep in spec.deps},
        "metadata": {name: value for name, value in spec.metadata.items() if name not in objects},
        "group": spec.group_name,
        "code": spec.code_version,
        "owners": list(spec.owners),
        "tags": {name: value for name, value in spec.tags.items() if not name.startswith("dagster/kind/")},
        "skippable": spec.skippable,
        "automation": spec.automation_condition,
        "partitions": spec.partitions_def,
    }


def check(spec: AssetCheckSpec) -> dict[str, Any]:
    return {
        "deps": {dep.asset_key for dep in spec.additional_deps},
        "metadata": dict(spec.metadata),
        "description": spec.description,
        "blocking": spec.blocking,
    }
