"""dbt nodes → Dagster assets: keys, groups and kinds. One place decides how models are named."""

from collections.abc import Mapping
from typing import Any

from dagster import AssetKey, AssetSpec
from dagster_dbt import DagsterDbtTranslator


class ModelTranslator(DagsterDbtTranslator):
    """A model's key is its folder and its name: staging/stg_orders, marts/orders."""

    def get_asset_key(self, dbt_resource_props: Mapping[str, Any]) -> AssetKey:
        """Key of a node; a source's is declared in its meta."""
        if dbt_resource_props["resource_type"] in ("source", "exposure"):
            return super().get_asset_key(dbt_resource_props)
        return AssetKey([_folder(dbt_resource_props), dbt_resource_props["name"]])

    def get_group_name(self, dbt_resource_props: Mapping[str, Any]) -> str | None:
        """Group of a node: its folder."""
        return _folder(dbt_resource_props)

    def get_asset_spec(self, manifest: Mapping[str, Any], unique_id: str, project: Any) -> AssetSpec:
        """The spec without the SQL text in its description, which would fill the asset page."""
        spec = super().get_asset_spec(manifest, unique_id, project)
        return spec.replace_attributes(
            description=manifest["nodes"].get(unique_id, {}).get("description") or spec.description,
            kinds={"dbt", "ducklake"},
        )


def _folder(props: Mapping[str, Any]) -> str:
    if props["resource_type"] == "seed":
        return "seeds"
    path = props["fqn"][1:-1]
    return str(path[0]) if path else "models"
