"""dbt's nodes as specs of assets and checks: what dagster-dbt makes of them, from the manifest's JSON alone.

dagster-dbt would do it (the tests compare), but imports dbt, sqlglot and more: over a second of every start.
What an asset is called is in translator.py.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

from dagster import AssetCheckSpec, AssetDep, AssetKey, AssetSpec, MetadataValue, TableColumn, TableSchema

from orchestration.dbt import translator
from orchestration.dbt.project import BUILT_TYPES

UNIQUE_ID = "dagster_dbt/unique_id"
"""dbt's id in the metadata of specs, under the name that dagster-dbt gives it."""
_NO_TABLES = ("metric", "semantic_model", "saved_query", "function")


@dataclass(frozen=True)
class DbtSpecs:
    """A project's models, seeds and snapshots, and their tests.

    Attributes:
        assets: In the manifest's order.
        checks: One for each test of one of these.
    """

    assets: list[AssetSpec]
    checks: list[AssetCheckSpec]


def dbt_specs(manifest: Mapping[str, Any], *, without_tag: str = "") -> DbtSpecs:
    """The specs.

    Args:
        manifest: dbt's, as JSON.
        without_tag: Nodes with this tag, and tests of such, are left out.

    Raises:
        ValueError: Two nodes are called the same.
    """
    left_out = _tagged(manifest, without_tag) if without_tag else frozenset()
    project_id = manifest.get("metadata", {}).get("project_id")
    adapter = manifest.get("metadata", {}).get("adapter_type")
    assets, checks, names = [], {}, defaultdict(set)
    for unique_id, node in manifest["nodes"].items():
        if node["resource_type"] not in BUILT_TYPES or _is_without_table(node) or unique_id in left_out:
            continue
        key = translator.asset_key(node)
        upstream = sorted(_upstream(manifest, node))
        for each in (unique_id, *upstream):
            names[translator.asset_key(_node(manifest, each))].add(each)
        metadata = {
            **_metadata(node, storage=adapter),
            UNIQUE_ID: unique_id,
            **({"dagster_dbt/project_id": MetadataValue.text(project_id)} if project_id else {}),
        }
        assets.append(
            translator.asset_spec(
                node, groups=manifest.get("groups", {}), key=key, metadata=metadata,
                deps=_deps(manifest, upstream, storage=adapter), code_version=_code_version(node),
            )
        )  # fmt: skip
        for child in manifest["child_map"].get(unique_id, ()):
            if child.startswith("test.") and child not in left_out:
                checks.update({spec.key: spec for spec in _checks(manifest, child, key)})
    _require_different(names)
    return DbtSpecs(assets, list(checks.values()))


def _tagged(manifest: Mapping[str, Any], tag: str) -> AbstractSet[str]:
    """The nodes with a tag, and the tests of such, as dbt selects them."""
    tagged = {unique_id for unique_id, node in manifest["nodes"].items() if tag in node.get("tags", ())}
    return tagged | {
        child
        for unique_id in tagged
        for child in manifest["child_map"].get(unique_id, ())
        if child.startswith("test.")
    }


def _deps(manifest: Mapping[str, Any], upstream: list[str], *, storage: str | None) -> list[AssetDep]:
    """What an asset reads; of a source it is said what table that is, since nothing else defines it."""
    deps: dict[AssetKey, AssetDep] = {}
    for unique_id in upstream:
        node = _node(manifest, unique_id)
        is_source = node["resource_type"] == "source"
        key = translator.asset_key(node)
        deps[key] = AssetDep(key, metadata=_metadata(node, storage=storage) if is_source else None)
    return list(deps.values())


def _upstream(manifest: Mapping[str, Any], node: Mapping[str, Any]) -> Iterator[str]:
    """The nodes that a node reads; in the place of one without a table, those that it reads."""
    seen: set[str] = set()
    waiting = list(node.get("depends_on", {}).get("nodes", ()))
    while waiting:
        unique_id = waiting.pop()
        if unique_id in seen:
            continue
        seen.add(unique_id)
        parent = _node(manifest, unique_id)
        if _is_without_table(parent):
            waiting += parent.get("depends_on", {}).get("nodes", ())
        elif parent["resource_type"] in (*BUILT_TYPES, "source"):
            yield unique_id


def _is_without_table(node: Mapping[str, Any]) -> bool:
    is_ephemeral = node["resource_type"] == "model" and node["config"].get("materialized") == "ephemeral"
    return is_ephemeral or node["resource_type"] in _NO_TABLES


def _metadata(node: Mapping[str, Any], *, storage: str | None) -> dict[str, Any]:
    """Columns, name and kind of a table, under Dagster's names."""
    parts = [node.get("database"), node.get("schema"), node.get("alias")]
    if node["resource_type"] == "source":
        parts.append(node["name"])
    columns = [
        TableColumn(
            name,
            column.get("data_type") or "?",
            column.get("description"),
            tags={tag: "" for tag in column.get("tags", ())},
        )
        for name, column in node.get("columns", {}).items()
    ]
    metadata = {
        "dagster-dbt/materialization_type": node["config"].get("materialized"),
        "dagster/column_schema": TableSchema(columns=columns) if columns else None,
        "dagster/table_name": ".".join(part for part in parts if part) or None,
        "dagster/storage_kind": storage,
    }
    return {name: value for name, value in metadata.items() if value is not None}


def _code_version(node: Mapping[str, Any]) -> str | None:
    if code := node.get("raw_code"):
        return hashlib.sha1(code.encode(), usedforsecurity=False).hexdigest()
    checksum: str | None = node.get("checksum", {}).get("checksum")
    return checksum


def _checks(manifest: Mapping[str, Any], unique_id: str, key: AssetKey) -> Iterator[AssetCheckSpec]:
    """A test as the check of an asset; none where it belongs to another one, or to none."""
    test = _node(manifest, unique_id)
    about = _attached(manifest, test)
    if about is None or translator.asset_key(_node(manifest, about)) != key:
        return
    parents = manifest["parent_map"].get(unique_id, ())
    yield AssetCheckSpec(
        name=test["name"],
        asset=key,
        description=test.get("meta", {}).get("description"),
        additional_deps={translator.asset_key(_node(manifest, parent)) for parent in parents} - {key},
        metadata={UNIQUE_ID: unique_id},
        blocking=(test["config"].get("severity") or "error").lower() == "error",
    )


def _attached(manifest: Mapping[str, Any], test: Mapping[str, Any]) -> str | None:
    """dbt's id of the node that a test is about: of several, what `meta: {dagster: {ref: …}}` names."""
    meta = test["config"].get("meta") or test.get("meta", {})
    if ref := meta.get("dagster", {}).get("ref"):
        package = ref.get("package") or manifest["metadata"]["project_name"]
        wanted = (ref["name"], package, ref.get("version"))
        for unique_id, node in manifest["nodes"].items():
            if (node["name"], node["package_name"], node.get("version")) == wanted:
                return str(unique_id)
        return None
    read = set(test["depends_on"]["nodes"])
    if len(read) == 1:
        return str(*read)
    attached: str | None = test.get("attached_node")
    return attached


def _node(manifest: Mapping[str, Any], unique_id: str) -> Mapping[str, Any]:
    """A node of whatever type."""
    for kind in ("nodes", "sources", "exposures", "metrics", "semantic_models", "saved_queries", "functions"):
        found: Mapping[str, Any] | None = manifest.get(kind, {}).get(unique_id)
        if found is not None:
            return found
    raise ValueError(f"dbt's manifest names {unique_id} and does not have it")


def _require_different(names: Mapping[AssetKey, AbstractSet[str]]) -> None:
    for key, unique_ids in names.items():
        if len(unique_ids) > 1:
            raise ValueError(
                f"{' and '.join(sorted(unique_ids))} would both be the asset {key.to_user_string()}; "
                "rename one of them"
            )
