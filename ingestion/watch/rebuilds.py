"""How far staging tables are that are being built again beside the old ones (package/macros/rebuilds.sql)."""

from collections.abc import Mapping

from ingestion.lake.contents import asked_of_catalog
from ingestion.lake.lake import Lake
from ingestion.lake.versions import METADATA_SCHEMA

_MARK = "__rebuild_"
_ROWS = f"""
select table_name, coalesce(sum(record_count), 0)::bigint
from {METADATA_SCHEMA}.ducklake_table as tables
join {METADATA_SCHEMA}.ducklake_schema as schemas using (schema_id)
left join {METADATA_SCHEMA}.ducklake_data_file as files
    on files.table_id = tables.table_id and files.end_snapshot is null
where
    tables.end_snapshot is null and schemas.end_snapshot is null
    and schema_name = 'staging' and position('{_MARK}' in table_name) > 0
group by table_name
"""


def rebuilds(lake: Lake) -> Mapping[str, int]:
    """Stream → rows of its new staging table so far, where one is being built. Asked of the catalog alone.

    Args:
        lake: The lake.
    """
    return {
        name.partition(_MARK)[0].removeprefix("stg_"): int(rows)
        for name, rows in lake.query(asked_of_catalog(_ROWS))
    }
