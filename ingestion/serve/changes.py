"""What has changed in a mart between two versions of the lake, as SQL; whoever asks reads it.

Rows that came and rows that went: an update is one of each.
"""

from dataclasses import dataclass

from ingestion.lake.contents import asked_of_catalog
from ingestion.lake.lake import CATALOG_NAME, Lake
from ingestion.lake.versions import METADATA_SCHEMA
from ingestion.serve.shelf import Mart
from ingestion.serve.texts import Columns, literal, quoted

_VERSIONS = f"""
select
    count(*) filter (where snapshot_id > {{since}} and snapshot_id <= {{version}})::bigint,
    coalesce(bool_or(snapshot_id = {{version}}), false),
    (
        select min(there.begin_snapshot) from {METADATA_SCHEMA}.ducklake_table as there
        where there.table_id = (
            select named.table_id from {METADATA_SCHEMA}.ducklake_table as named
            inner join {METADATA_SCHEMA}.ducklake_schema as schemas using (schema_id)
            where schemas.schema_name = {{schema}} and named.table_name = {{table}}
                and named.begin_snapshot <= {{version}}
                and (named.end_snapshot is null or named.end_snapshot > {{version}})
        )
    )
from {METADATA_SCHEMA}.ducklake_snapshot
"""
_WENT = ("delete", "update_preimage")


@dataclass(frozen=True)
class Past:
    """What the lake still knows of the time between two versions.

    Attributes:
        is_there: The later version has not expired.
        complete: None between them has.
        made: The version in which the table was made; None for a view.
    """

    is_there: bool
    complete: bool
    made: int | None


def look_back(lake: Lake, mart: Mart, *, since: int, version: int) -> Past:
    """Ask the catalog.

    Args:
        lake: The lake, opened for time travel.
        mart: The mart.
        since: The earlier version.
        version: The later one.

    Raises:
        ValueError: The lake was not opened for time travel: what it reads of a past version may be wrong.
    """
    if not lake.time_travel:
        raise ValueError("open the lake with time_travel")
    sql = _VERSIONS.format(
        since=since, version=version, schema=literal(mart.schema), table=literal(mart.table)
    )
    ((kept, is_there, made),) = lake.query(asked_of_catalog(sql))
    return Past(bool(is_there), kept >= version - since, None if made is None else int(made))


def relation(mart: Mart, version: int) -> str:
    """SQL of a mart as it was in a version; a view is that of its tables then."""
    return f"{CATALOG_NAME}.{quoted(mart.schema)}.{quoted(mart.table)} at (version => {version})"


def columns_of(lake: Lake, sql: str) -> Columns:
    """The columns of a query."""
    found = lake.connection.sql(f"{sql} limit 0")
    return list(zip(found.columns, found.types, strict=True))


def taken_names(columns: Columns) -> set[str]:
    """The columns that are named as those of a change."""
    return {name.lower() for name, _ in columns} & {"_change", "_snapshot", "_row"}


def change_feed(mart: Mart, columns: Columns, *, since: int, version: int) -> str:
    """A query of the changes after one version up to another: `_change`, insert or delete, and the row.

    Args:
        mart: A table.
        columns: Its columns.
        since: The earlier version.
        version: The later one.
    """
    names = ", ".join(quoted(name) for name, _ in columns)
    feed = (
        f"ducklake_table_changes({literal(CATALOG_NAME)}, {literal(mart.schema)}, {literal(mart.table)}, "
        f"{since + 1}, {version}) as feed(_snapshot, _row, _change, {names})"
    )
    kind = f"if(feed._change in ({', '.join(map(literal, _WENT))}), 'delete', 'insert')"
    return f"select {kind} as _change, feed._snapshot::bigint as _snapshot, {names} from {feed}"
