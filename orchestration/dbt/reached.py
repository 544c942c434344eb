"""Which models show a stream's events, read from the parsed project without Dagster: tables, views, keys.

The product's own models (ops) count events and show none: they are left out.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ingestion.trace.rows import Table
from orchestration.dbt.names import asset_path
from orchestration.dbt.project import BUILT_TYPES, ParsedModels

_UNIQUE = ("unique_together", "unique_combination_of_columns")
OWN_PACKAGE = "millrace"
"""The product's dbt package."""


@dataclass(frozen=True)
class Reached:
    """A model that shows a stream's events.

    Attributes:
        table: Its table or view.
        asset: Its asset's key, as a path.
        is_staging: It is the stream's own staging model.
        reads: Those of the others that it reads, also through ephemeral models.
    """

    table: Table
    asset: str
    is_staging: bool
    reads: frozenset[str] = frozenset()


def reached_from(parsed: ParsedModels, stream: str) -> list[Reached]:
    """The models that follow from a stream, in an order in which each comes after what it reads.

    Args:
        parsed: The project.
        stream: The stream's name.
    """
    nodes, keys = parsed.manifest["nodes"], row_keys(parsed.manifest)
    found: list[Reached] = []
    shown_by: dict[str, frozenset[str]] = {}
    for unique_id in _in_order(parsed.manifest, stream):
        node = nodes[unique_id]
        if node["resource_type"] not in BUILT_TYPES or node["package_name"] == OWN_PACKAGE:
            continue
        kind = node["config"].get("materialized")
        parents = node.get("depends_on", {}).get("nodes", ())
        reads = frozenset[str]().union(*(shown_by.get(parent, frozenset()) for parent in parents))
        shown_by[unique_id] = reads if kind == "ephemeral" else frozenset({"/".join(asset_path(node))})
        if kind == "ephemeral":
            continue
        table = Table(node["schema"], node["alias"], kind == "view", keys.get(unique_id, ()))
        is_staging = (table.schema, table.name) == ("staging", f"stg_{stream}")
        found.append(Reached(table, "/".join(asset_path(node)), is_staging, reads))
    return found


def _in_order(manifest: Mapping[str, Any], stream: str) -> list[str]:
    """dbt's ids of what follows from a raw table, parents first."""
    nodes, children = manifest["nodes"], manifest["child_map"]
    roots = [
        unique_id
        for unique_id, source in manifest["sources"].items()
        if (source["source_name"], source["name"]) == ("raw", stream)
    ]
    ordered: dict[str, None] = {}

    def visit(unique_id: str) -> None:
        for child in sorted(children.get(unique_id, ())):
            if child in nodes and child not in ordered:
                visit(child)
        if unique_id in nodes:
            ordered[unique_id] = None

    for root in roots:
        visit(root)
    return list(reversed(ordered))


def row_keys(manifest: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """dbt's id of a model → the columns that identify its rows: `unique_key`, else what a test says."""
    keys: dict[str, tuple[str, ...]] = {}
    for unique_id, columns in _tested(manifest):
        keys.setdefault(unique_id, columns)
    for unique_id, node in manifest["nodes"].items():
        if declared := node["config"].get("unique_key"):
            keys[unique_id] = (declared,) if isinstance(declared, str) else tuple(declared)
    return keys


def _tested(manifest: Mapping[str, Any]) -> Iterator[tuple[str, tuple[str, ...]]]:
    for node in manifest["nodes"].values():
        test = node.get("test_metadata") or {}
        arguments = test.get("kwargs") or {}
        attached = node.get("attached_node")
        if not attached:
            continue
        if test.get("name") in _UNIQUE:
            columns = arguments.get("columns") or arguments.get("combination_of_columns") or ()
            yield attached, tuple(map(str, columns))
        elif test.get("name") == "unique" and arguments.get("column_name"):
            yield attached, (str(arguments["column_name"]),)
