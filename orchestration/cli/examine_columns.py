"""Columns of the lake's tables that cannot hold what their type promises, for doctor."""

from collections.abc import Iterator

from ingestion.connectors.port import Finding
from ingestion.lake.contents import asked_of_catalog
from ingestion.lake.lake import Lake
from ingestion.lake.versions import METADATA_SCHEMA

_MOST_NAMED = 3
_WIDE = (
    f"select s.schema_name || '.' || t.table_name || '.' || c.column_name "
    f"from {METADATA_SCHEMA}.ducklake_column c "
    f"join {METADATA_SCHEMA}.ducklake_table t on t.table_id = c.table_id and t.end_snapshot is null "
    f"join {METADATA_SCHEMA}.ducklake_schema s on s.schema_id = t.schema_id and s.end_snapshot is null "
    "where c.end_snapshot is null and c.column_type in ('int128', 'uint128') order by 1"
)


def wide_integers(lake: Lake) -> Iterator[Finding]:
    """Integers of 128 bits, as `sum` of a bigint gives them: Parquet has no such type, and keeps doubles.

    Args:
        lake: An open lake.
    """
    names = [name for (name,) in lake.query(asked_of_catalog(_WIDE))]
    if names:
        more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
        yield Finding(
            "values",
            "note",
            f"{', '.join(names[:_MOST_NAMED])}{more}: hugeint, which Parquet keeps as a double, so that "
            "numbers beyond 9,007,199,254,740,992 are rounded; cast it in the model, as in sum(n)::bigint or "
            "::decimal(38, 0)",
        )
