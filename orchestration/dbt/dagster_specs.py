"""Specs as dagster-dbt makes them, called as we call assets, without what only dagster-dbt needs of them."""

from collections.abc import Mapping
from typing import Any

from dagster import AssetCheckSpec, AssetKey, AssetSpec, MetadataValue
from dagster_dbt import DagsterDbtTranslator
from dagster_dbt.asset_utils import build_dbt_specs

from orchestration.dbt import translator
from orchestration.dbt.names import folder_of

_OWN = ("dagster_dbt/manifest", "dagster_dbt/dagster_dbt_translator", "dagster_dbt/dbt_project")


class ModelTranslator(DagsterDbtTranslator):
    """A model's key is its folder and its name: staging/stg_orders, marts/orders."""

    def get_asset_key(self, dbt_resource_props: Mapping[str, Any]) -> AssetKey:
        """Key of a node; a source's is declared in its meta."""
        if dbt_resource_props["resource_type"] in ("source", "exposure"):
            return super().get_asset_key(dbt_resource_props)
        return translator.asset_key(dbt_resource_props)

    def get_group_name(self, dbt_resource_props: Mapping[str, Any]) -> str | None:
        """Group of a node: its folder."""
        return folder_of(dbt_resource_props)

    def get_owners(self, dbt_resource_props: Mapping[str, Any]) -> list[str]:
        """Of its meta, or the owner of its dbt group."""
        return translator.owners(dbt_resource_props, super().get_owners(dbt_resource_props))

    def get_asset_spec(self, manifest: Mapping[str, Any], unique_id: str, project: Any) -> AssetSpec:
        """The spec without the SQL text in its description, which would fill the asset page."""
        spec = super().get_asset_spec(manifest, unique_id, project)
        node = manifest["nodes"].get(unique_id, {})
        metadata = {name: value for name, value in spec.metadata.items() if name not in _OWN}
        if sql := node.get("raw_code"):
            metadata["sql"] = MetadataValue.md(f"```sql\n{sql.strip()}\n```")
        return spec.replace_attributes(
            description=node.get("description") or f"dbt {node.get('resource_type')} {node.get('name')}",
            metadata=metadata,
            kinds={"dbt", "ducklake"},
        )


def make_specs(manifest: Mapping[str, Any], *, exclude: str) -> tuple[list[AssetSpec], list[AssetCheckSpec]]:
    """The specs of assets and of checks.

    Args:
        manifest: dbt's, as JSON.
        exclude: What is left out, in dbt's words.
    """
    assets, checks = build_dbt_specs(
        translator=ModelTranslator(), manifest=manifest, select="fqn:*", exclude=exclude, selector="",
        io_manager_key=None, project=None,
    )  # fmt: skip
    return [_without_own(spec) for spec in assets], list(checks)


def _without_own(spec: AssetSpec) -> AssetSpec:
    """Without the manifest and the translator, which only dagster-dbt's own functions read."""
    return spec.replace_attributes(
        metadata={name: value for name, value in spec.metadata.items() if name not in _OWN}
    )
