"""The lake's versions as moments: when one was committed, and which one first changed a table since another.

Upkeep expires versions: nothing is known of those any more, and nothing is guessed.
"""

from collections.abc import Collection
from datetime import UTC, datetime

from ingestion.lake.contents import asked_of_catalog
from ingestion.lake.lake import Lake
from ingestion.lake.versions import METADATA_SCHEMA

_MOMENTS = f"""
select snapshot_id, snapshot_time from {METADATA_SCHEMA}.ducklake_snapshot
where snapshot_id in ({{versions}})
"""
_CHANGES = f"""
select schema_name, table_name, min(snapshot_id)
from (
    select snapshot_id, found[2]::bigint as table_id
    from {METADATA_SCHEMA}.ducklake_snapshot_changes
    cross join lateral
        regexp_matches(changes_made, '(inserted_into_table|deleted_from_table):([0-9]+)', 'g') as found
    where snapshot_id > {{after}}
) as changes
inner join {METADATA_SCHEMA}.ducklake_table using (table_id)
inner join {METADATA_SCHEMA}.ducklake_schema using (schema_id)
where ducklake_table.end_snapshot is null and ducklake_schema.end_snapshot is null
group by schema_name, table_name
"""
Table = tuple[str, str]
"""Schema and name."""


def moments(lake: Lake, versions: Collection[int]) -> dict[int, datetime]:
    """When versions were committed (UTC); those that have expired are left out."""
    if not versions:
        return {}
    sql = _MOMENTS.format(versions=", ".join(map(str, versions)))
    return {int(version): moment.astimezone(UTC) for version, moment in lake.query(asked_of_catalog(sql))}


def first_changes(lake: Lake, *, after: int) -> dict[Table, int]:
    """Table → the first version that is kept and changed rows of it after a version."""
    rows = lake.query(asked_of_catalog(_CHANGES.format(after=after)))
    return {(schema, name): int(version) for schema, name, version in rows}
