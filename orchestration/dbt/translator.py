"""dbt nodes → Dagster assets: keys, groups and kinds. One place decides how models are named."""

import re
from collections.abc import Mapping
from typing import Any

from dagster import AssetKey, AssetSpec, MetadataValue
from dagster._core.definitions.utils import is_valid_owner
from dagster_dbt import DagsterDbtTranslator

from orchestration.dbt.names import asset_path, folder_of


class ModelTranslator(DagsterDbtTranslator):
    """A model's key is its folder and its name: staging/stg_orders, marts/orders."""

    def get_asset_key(self, dbt_resource_props: Mapping[str, Any]) -> AssetKey:
        """Key of a node; a source's is declared in its meta."""
        if dbt_resource_props["resource_type"] in ("source", "exposure"):
            return super().get_asset_key(dbt_resource_props)
        return AssetKey(asset_path(dbt_resource_props))

    def get_group_name(self, dbt_resource_props: Mapping[str, Any]) -> str | None:
        """Group of a node: its folder."""
        return folder_of(dbt_resource_props)

    def get_owners(self, dbt_resource_props: Mapping[str, Any]) -> list[str]:
        """`owner` of a model's meta, a name or several, or the owner of its dbt group.

        Dagster takes addresses and teams only, and refuses all models for one that is neither.
        """
        declared = dbt_resource_props.get("meta", {}).get("owner")
        names = [declared] if isinstance(declared, str) else declared
        return [_owner(str(name)) for name in names or super().get_owners(dbt_resource_props) or ()]

    def get_asset_spec(self, manifest: Mapping[str, Any], unique_id: str, project: Any) -> AssetSpec:
        """The spec without the SQL text in its description, which would fill the asset page."""
        spec = super().get_asset_spec(manifest, unique_id, project)
        node = manifest["nodes"].get(unique_id, {})
        if sql := node.get("raw_code"):
            spec = spec.merge_attributes(metadata={"sql": MetadataValue.md(f"```sql\n{sql.strip()}\n```")})
        return spec.replace_attributes(
            description=node.get("description") or spec.description,
            kinds={"dbt", "ducklake"},
        )


def _owner(name: str) -> str:
    return name if is_valid_owner(name) else "team:" + re.sub(r"\W+", "_", name.strip())
