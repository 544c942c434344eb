"""The tables of raw: which ones a lake needs, whether everything is there, and creating what is missing.

A change of a table that exists is a migration (migrations.py).
"""

from collections.abc import Collection, Sequence

import duckdb
import psycopg2.errors
import pyarrow as pa
from psycopg2 import extensions

from ingestion.errors import StorageError
from ingestion.lake.first_rows import LACKING, MAY_STAY_EMPTY
from ingestion.lake.indexes import INDEXES
from ingestion.lake.migrations import compress_files, newest
from ingestion.lake.versions import METADATA_SCHEMA
from ingestion.log.envelope import BATCH_SCHEMA, EVENT_SCHEMA, REJECT_SCHEMA, RESOLUTION_SCHEMA, SQL_TYPES

LEDGER = "batches"
ACCEPTED_GAPS = "_accepted_gaps"
PROFILES = "_profiles"
_OUR_TABLES = {"rejects": REJECT_SCHEMA, "reject_resolutions": RESOLUTION_SCHEMA, LEDGER: BATCH_SCHEMA}
_DLT_TABLES = """
create table if not exists raw._dlt_loads (
    load_id varchar, schema_name varchar, status bigint, inserted_at timestamptz, schema_version_hash varchar
);
create table if not exists raw._dlt_version (
    version bigint, engine_version bigint, inserted_at timestamptz, schema_name varchar, version_hash varchar,
    schema varchar
);
"""
"""dlt's own tables, created up front: two first loads at once would both create them, and one would fail."""

_DBT_TABLES = {
    "_editions": "table_name varchar, edition varchar, declaration varchar, generation bigint, "
    "built_at timestamptz",
    "_conflicts": "table_name varchar, batch_id bigint, event_id varchar, first_event_id varchar, "
    "business_id varchar, found_at timestamptz",
    ACCEPTED_GAPS: "stream varchar, sender varchar, opened_until timestamptz, accepted_at timestamptz, "
    "note varchar",
    PROFILES: "stream varchar, hour timestamptz, field varchar, events bigint, empty bigint, "
    "different bigint, delay_seconds double",
}
"""What dbt notes in the transactions that build models (orchestration/dbt/package/macros): by which
declaration each was built (the row of the highest generation counts), and deliveries with one id and several
payloads. And what an operator accepts as lost (ingestion/watch/sequences.py), and what each hour of a stream
was like (ingestion/watch/profiles.py)."""

_READY = f"""
select
    (
        select bool_or(version = %(newest)s and done_at is not null) and max(version) = %(newest)s
        from {METADATA_SCHEMA}.millrace_versions
    )
    and to_regclass('millrace.consumers') is not null
    and %(tables)s::text[] <@ (
        select coalesce(array_agg(table_name::text), '{{}}')
        from {METADATA_SCHEMA}.ducklake_table as tables
        join {METADATA_SCHEMA}.ducklake_schema as schemas using (schema_id)
        where schema_name = 'raw' and tables.end_snapshot is null and schemas.end_snapshot is null
    )
    and not exists ({LACKING})
    and %(indexes)s::text[] <@ (
        select coalesce(array_agg(indexname::text), '{{}}')
        from pg_indexes
        where schemaname = '{METADATA_SCHEMA}'
    )
"""


def is_ready(connection: extensions.connection, streams: Collection[str]) -> bool:
    """Whether a lake is at the newest version and lacks nothing: one read of the catalog.

    Args:
        connection: To the catalog's database, in autocommit mode.
        streams: The streams that need a table.
    """
    wanted = {
        "newest": newest(),
        "tables": [*streams, *_OUR_TABLES, *_DBT_TABLES],
        "indexes": list(INDEXES),
        "may_stay_empty": list(MAY_STAY_EMPTY),
    }
    with connection.cursor() as cursor:
        try:
            cursor.execute(_READY, wanted)
        except psycopg2.errors.UndefinedTable:
            return False
        return cursor.fetchone() == (True,)


def create_tables(
    connection: duckdb.DuckDBPyConnection, streams: Sequence[str], *, known: Collection[str]
) -> None:
    """Create the tables that are missing, in one transaction.

    Args:
        connection: With the lake attached and current.
        streams: The streams that need a table.
        known: The tables of raw that are there.

    Raises:
        StorageError: They cannot be created; says why.
    """
    wanted: dict[str, pa.Schema] = {name: EVENT_SCHEMA for name in streams} | _OUR_TABLES
    missing = {name: schema for name, schema in wanted.items() if name not in known}
    notes = {name: columns for name, columns in _DBT_TABLES.items() if name not in known}
    if not missing and not notes:
        return
    connection.execute("begin")
    try:
        if LEDGER in missing:
            connection.execute("create schema if not exists raw")
            connection.execute(_DLT_TABLES)
            compress_files(connection)
        for name, columns in notes.items():
            connection.execute(f"create table raw.{name} ({columns})")
        for name, schema in missing.items():
            columns = ", ".join(f'"{field.name}" {SQL_TYPES[field.type]}' for field in schema)
            connection.execute(f'create table raw."{name}" ({columns}, _dlt_load_id varchar)')
            if schema in (EVENT_SCHEMA, REJECT_SCHEMA):
                connection.execute(
                    f'alter table raw."{name}" set partitioned by '
                    "(year(ingested_at), month(ingested_at), day(ingested_at))"
                )
        connection.execute("commit")
    except duckdb.Error as error:
        connection.execute("rollback")
        raise StorageError(f"the raw tables cannot be created: {error}") from None
