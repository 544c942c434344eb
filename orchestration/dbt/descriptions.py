"""The project's descriptions → comments in the lake, which BI tools, `describe` and `millrace tables` show.

dbt's `persist_docs` would write all of them with every build, in commits of their own. Here only what differs
is written, once a run and in one commit. What streams and raw tables are is in the manifest as sources.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ingestion.lake.contents import column_comments, relation_comments, write_comments
from ingestion.lake.lake import CATALOG_NAME, Lake
from orchestration.dbt.columns import STAGING_COLUMNS
from orchestration.dbt.project import BUILT_TYPES, ParsedModels

Table = tuple[str, str]
"""Schema and name."""


@dataclass(frozen=True)
class Described:
    """What a project says of a table: its description, and its columns'."""

    description: str
    columns: Mapping[str, str]


def declared_descriptions(parsed: ParsedModels) -> dict[Table, Described]:
    """What the project describes: raw tables, models, seeds, snapshots.

    Args:
        parsed: The project, parsed for production.
    """
    manifest = parsed.manifest
    nodes = [node for node in manifest["nodes"].values() if node["resource_type"] in BUILT_TYPES]
    raw = [(node["schema"], node["identifier"], node) for node in manifest["sources"].values()]
    built = [(node["schema"], node["alias"], node) for node in nodes]
    return {
        (schema, name): Described(node["description"], _columns(node, name, manifest["sources"]))
        for schema, name, node in raw + built
    }


def _columns(node: Mapping[str, Any], name: str, sources: Mapping[str, Any]) -> dict[str, str]:
    """The columns' descriptions; those that every staging model or its stream has need none in its file."""
    described = {column["name"]: column["description"] for column in node["columns"].values()}
    usual: dict[str, str] = {}
    if name.startswith("stg_"):
        usual = dict(STAGING_COLUMNS)
        for source in (sources[each] for each in node["depends_on"]["nodes"] if each in sources):
            usual |= source["meta"].get("descriptions", {})
    return {**usual, **{column: text for column, text in described.items() if text or column not in usual}}


def describe_lake(lake: Lake, wanted: Mapping[Table, Described]) -> int:
    """Write the comments that differ from what is described; tables that the project does not name stay.

    Args:
        lake: The lake, writable.
        wanted: What the project describes.

    Returns:
        How many were written.

    Raises:
        duckdb.Error: Another commit came first; nothing was written, and the next call tries it again.
    """
    statements = list(_differences(lake, wanted))
    if statements:
        write_comments(lake, statements)
    return len(statements)


def _differences(lake: Lake, wanted: Mapping[Table, Described]) -> Iterator[str]:
    columns = column_comments(lake)
    for table, (kind, comment) in relation_comments(lake).items():
        described = wanted.get(table)
        if described is None:
            continue
        place = f'{CATALOG_NAME}."{table[0]}"."{table[1]}"'
        if described.description != comment:
            yield f"comment on {kind} {place} is {_literal(described.description)}"
        for column, comment in columns.get(table, {}).items():
            text = described.columns.get(column, "")
            if text != comment:
                yield f'comment on column {place}."{column}" is {_literal(text)}'


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'" if text else "null"
