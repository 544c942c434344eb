"""What is in the lake: its tables and views with rows, bytes, last change and description, in one query.

DuckLake's own catalog is asked, so no data file is read. dlt's two tables are left out: they describe loads.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from ingestion.lake.lake import CATALOG_NAME, Lake
from ingestion.lake.versions import METADATA_SCHEMA

_RELATIONS = f"""
comments as (
    select object_id, value from {METADATA_SCHEMA}.ducklake_tag where end_snapshot is null and key = 'comment'
),

relations as (
    select schema_name, id, name, kind, coalesce(value, '') as description
    from (
        select schema_id, table_id as id, table_name as name, 'table' as kind
        from {METADATA_SCHEMA}.ducklake_table where end_snapshot is null
        union all
        select schema_id, view_id, view_name, 'view'
        from {METADATA_SCHEMA}.ducklake_view where end_snapshot is null
    ) as there
    inner join {METADATA_SCHEMA}.ducklake_schema using (schema_id)
    left join comments on comments.object_id = there.id
    where ducklake_schema.end_snapshot is null
)
"""
_CONTENTS = f"""
with {_RELATIONS},

changes as (
    select found[2]::bigint as table_id, max(snapshot_id) as snapshot_id
    from {METADATA_SCHEMA}.ducklake_snapshot_changes
    cross join lateral
        regexp_matches(changes_made, '(inserted_into_table|deleted_from_table):([0-9]+)', 'g') as found
    group by 1
),

files as (
    select
        table_id, sum(record_count) as rows, sum(file_size_bytes) as bytes,
        max(coalesce(partial_max, begin_snapshot)) as snapshot_id
    from {METADATA_SCHEMA}.ducklake_data_file where end_snapshot is null group by 1
),

deletions as (
    select table_id, sum(delete_count) as rows, sum(file_size_bytes) as bytes
    from {METADATA_SCHEMA}.ducklake_delete_file where end_snapshot is null group by 1
)

select
    schema_name, name, kind,
    case when kind = 'table' then coalesce(files.rows, 0) - coalesce(deletions.rows, 0) end::bigint as rows,
    case when kind = 'table' then coalesce(files.bytes, 0) + coalesce(deletions.bytes, 0) end::bigint as size,
    case when coalesce(changes.snapshot_id, files.snapshot_id) is not null then (
        -- Of an expired version no time is kept: the next one that is kept came within an hour of it.
        select min(snapshot_time) from {METADATA_SCHEMA}.ducklake_snapshot
        where ducklake_snapshot.snapshot_id >= coalesce(changes.snapshot_id, files.snapshot_id)
    ) end as changed_at,
    description
from relations
left join files on files.table_id = relations.id
left join deletions on deletions.table_id = relations.id
left join changes on changes.table_id = relations.id
where name not in ('_dlt_loads', '_dlt_version', '_editions', '_conflicts', '_accepted_gaps', '_profiles')
order by 1, 2
"""
_COLUMNS = f"""
select schema_name, table_name, column_name, value
from {METADATA_SCHEMA}.ducklake_column
inner join {METADATA_SCHEMA}.ducklake_table using (table_id)
inner join {METADATA_SCHEMA}.ducklake_schema using (schema_id)
left join {METADATA_SCHEMA}.ducklake_column_tag as tags
    on tags.table_id = ducklake_column.table_id and tags.column_id = ducklake_column.column_id
    and tags.end_snapshot is null and key = 'comment'
where
    ducklake_column.end_snapshot is null and ducklake_table.end_snapshot is null
    and ducklake_schema.end_snapshot is null and parent_column is null
"""


@dataclass(frozen=True)
class Relation:
    """A table or view of the lake.

    Attributes:
        schema: Its schema.
        name: Its name.
        kind: table or view.
        rows: How many; None for a view.
        bytes: Size of its files; None for a view.
        changed_at: When rows last came or went, UTC, to the hour once that version has expired; None for a
            view, and for a table without rows.
        description: Its comment; empty without one.
    """

    schema: str
    name: str
    kind: str
    rows: int | None
    bytes: int | None
    changed_at: datetime | None
    description: str


def contents_sql() -> str:
    """The query behind list_contents, with columns as the attributes of Relation but `size` for bytes."""
    return asked_of_catalog(_CONTENTS)


def list_contents(lake: Lake) -> list[Relation]:
    """The lake's tables and views, by schema and name."""
    return [Relation(*row) for row in lake.query(contents_sql())]


def relation_comments(lake: Lake) -> dict[tuple[str, str], tuple[str, str]]:
    """(schema, table) → table or view, and its comment; quicker than list_contents."""
    sql = f"with {_RELATIONS} select schema_name, name, kind, description from relations"
    return {
        (schema, name): (kind, comment) for schema, name, kind, comment in lake.query(asked_of_catalog(sql))
    }


def column_comments(lake: Lake) -> dict[tuple[str, str], dict[str, str]]:
    """(schema, table) → column → its comment, empty without one; DuckLake has none on columns of views."""
    found: dict[tuple[str, str], dict[str, str]] = {}
    for schema, table, column, comment in lake.query(asked_of_catalog(_COLUMNS)):
        found.setdefault((schema, table), {})[column] = comment or ""
    return found


def write_comments(lake: Lake, statements: Sequence[str]) -> None:
    """Run `comment on` statements in one transaction.

    Raises:
        duckdb.Error: Another commit came first; nothing was written.
    """
    connection = lake.connection
    connection.execute("begin")
    try:
        for statement in statements:
            connection.execute(statement)
        connection.execute("commit")
    except BaseException:
        connection.execute("rollback")
        raise


def asked_of_catalog(sql: str) -> str:
    """A statement of PostgreSQL on the catalog, as one that the lake runs."""
    return f"select * from postgres_query('__ducklake_metadata_{CATALOG_NAME}', $asked${sql}$asked$)"
