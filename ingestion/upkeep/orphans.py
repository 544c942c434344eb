"""Files in the lake's folder that the catalog does not know: of writers that died before their commit.

Only files that this system has written are orphans: their names say so, and they lie in a schema's folder.
Whatever else somebody keeps below the lake's path stays.
"""

import re
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime
from pathlib import Path

from ingestion.lake.catalog import connect_catalog
from ingestion.lake.lake import Lake
from ingestion.lake.storage import storage_of
from ingestion.lake.versions import METADATA_SCHEMA

_OURS = re.compile(r"(ducklake|millrace)-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}(-delete)?\.parquet")
"""`ducklake-<uuid>` is what DuckLake writes; what is moved or registered into the lake: `millrace-<uuid>`."""

_SCHEMAS = "select path from {0}.ducklake_schema where path_is_relative"
_KNOWN = """
with files as (
    select table_id, path, path_is_relative from {0}.ducklake_data_file
    union all
    select table_id, path, path_is_relative from {0}.ducklake_delete_file
),

tables as (select distinct table_id, schema_id, path from {0}.ducklake_table),

schemas as (select distinct schema_id, path from {0}.ducklake_schema)

select case when files.path_is_relative then concat(schemas.path, tables.path) else '' end || files.path
from files
left join tables using (table_id)
left join schemas using (schema_id)
union
select path from {0}.ducklake_files_scheduled_for_deletion
"""


def find_orphans(lake: Lake, *, before: datetime) -> dict[str, list[Path]]:
    """Files that were last written before a time (UTC), and that the catalog does not know.

    Returns:
        Schema and table as the folders are called, `raw/orders` → files. A batch may be writing them still.
    """
    if not storage_of(lake.settings).linkable:
        return {}
    folder = Path(lake.settings.resolved_lake_path)
    old = list(_old(folder, _ask(lake, _SCHEMAS), before))  # first these: what is committed later is known
    known = known_files(lake)
    orphans: dict[str, list[Path]] = {}
    for path in old:
        if str(path) not in known:
            table = "/".join(path.relative_to(folder).parts[:2])
            orphans.setdefault(table, []).append(path)
    return orphans


def known_files(lake: Lake) -> frozenset[str]:
    """Every file that the catalog names, as an absolute path."""
    folder = Path(lake.settings.resolved_lake_path)
    return frozenset(str(folder / path) for path in _ask(lake, _KNOWN))


def _old(folder: Path, schemas: frozenset[str], before: datetime) -> Iterator[Path]:
    for schema in sorted(schemas):
        for path in (folder / schema).rglob("*.parquet"):
            if _OURS.fullmatch(path.name) and path.lstat().st_mtime < before.timestamp():
                yield path


def _ask(lake: Lake, query: str) -> frozenset[str]:
    connection = connect_catalog(lake.settings, application_name=lake.application_name)
    with closing(connection), connection.cursor() as cursor:
        cursor.execute(query.format(METADATA_SCHEMA))
        return frozenset(path for (path,) in cursor.fetchall())
