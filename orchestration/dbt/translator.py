"""How dbt's nodes are called and shown as Dagster's assets: keys, groups, owners, kinds.

What they consist of is in specs.py.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from dagster import AssetDep, AssetKey, AssetSpec, MetadataValue
from dagster._core.definitions.utils import is_valid_owner
from dagster._utils.tags import is_valid_tag_key

from orchestration.dbt.names import asset_path, folder_of


def asset_key(node: Mapping[str, Any]) -> AssetKey:
    """Key of a node: a model's is folder and name (marts/orders), a source's is declared in its meta."""
    if node["resource_type"] in ("source", "exposure"):
        meta = node.get("config", {}).get("meta") or node.get("meta", {})
        declared = meta.get("dagster", {}).get("asset_key")
        names = [node["source_name"]] if node["resource_type"] == "source" else []
        return AssetKey(declared or [*names, node["name"]])
    return AssetKey(asset_path(node))


def owners(node: Mapping[str, Any], *, groups: Mapping[str, Any]) -> list[str]:
    """`owner` of a model's meta, a name or several; or the owner of its dbt group.

    Dagster takes addresses and teams only, and refuses all models for one that is neither.

    Args:
        node: The node.
        groups: The manifest's.
    """
    meta = node.get("meta", {})
    declared = meta.get("owner") or meta.get("dagster", {}).get("owners")
    if not declared:
        its = (group for group in groups.values() if group["name"] == node.get("group"))
        declared = next((group["owner"].get("email") for group in its), None)
    names = [declared] if isinstance(declared, str) else declared
    return [_owner(str(name)) for name in names or ()]


def asset_spec(
    node: Mapping[str, Any],
    *,
    groups: Mapping[str, Any],
    key: AssetKey,
    deps: Sequence[AssetDep],
    metadata: Mapping[str, Any],
    code_version: str | None,
) -> AssetSpec:
    """An asset with what people read of it; its SQL is metadata, since it would fill the description.

    Args:
        node: The node.
        groups: The manifest's.
        key: The asset's.
        deps: What it reads.
        metadata: What is known of its table.
        code_version: Of its SQL, or its file.
    """
    sql = node.get("raw_code")
    page = {"sql": MetadataValue.md(f"```sql\n{sql.strip()}\n```")} if sql else {}
    return AssetSpec(
        key=key,
        deps=deps,
        description=node.get("description") or f"dbt {node['resource_type']} {node['name']}",
        metadata={**metadata, **page},
        skippable=True,
        group_name=folder_of(node),
        code_version=code_version,
        owners=owners(node, groups=groups),
        tags={tag: "" for tag in node.get("tags", ()) if is_valid_tag_key(tag)},
        kinds={"dbt", "ducklake"},
    )


def _owner(name: str) -> str:
    return name if is_valid_owner(name) else "team:" + re.sub(r"\W+", "_", name.strip())
