"""Which files a load has written: those that its tables' folders have then and had not before.

The lake answers it, too (flushing.py), but for 40 ms of CPU, since it looks into every table: it is asked
where the folders do not say it. What other writers put into a shared table meanwhile is among them.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from ingestion.lake.contents import asked_of_catalog
from ingestion.lake.flushing import parquet_files
from ingestion.lake.versions import METADATA_SCHEMA

_NO_DAY = "/".join(f"{part}=__HIVE_DEFAULT_PARTITION__" for part in ("year", "month", "day"))
_DAY = "year=%Y/month=%-m/day=%-d"
_PLACES = asked_of_catalog(f"""
select
    tables.table_name,
    case when tables.path_is_relative and schemas.path_is_relative then metadata.value else '' end
    || case when tables.path_is_relative then schemas.path else '' end || tables.path
from {METADATA_SCHEMA}.ducklake_table as tables
inner join {METADATA_SCHEMA}.ducklake_schema as schemas using (schema_id)
inner join {METADATA_SCHEMA}.ducklake_metadata as metadata on metadata.key = 'data_path'
where schemas.schema_name = 'raw'
    and tables.end_snapshot is null and schemas.end_snapshot is null
""")


class WrittenFiles:
    """Looks before and after each load; for one thread."""

    def __init__(self) -> None:
        self._places: dict[str, Path] = {}
        self._folders: dict[str, list[Path]] = {}
        self._before: dict[str, frozenset[Path]] = {}

    def look(self, connection: duckdb.DuckDBPyConnection, tables: Mapping[str, pa.Table]) -> None:
        """Look before a load.

        Args:
            connection: The lake's, outside of a transaction.
            tables: What is loaded, by the names of raw's tables. The partitioned ones are so by the day of
                `ingested_at`.
        """
        if not tables.keys() <= self._places.keys():
            self._places = {name: Path(place) for name, place in connection.execute(_PLACES).fetchall()}
        self._folders = {
            name: [self._places[name], *(self._places[name] / day for day in _days(rows))]
            for name, rows in tables.items()
            if name in self._places
        }
        self._before = {name: parquet_files(folders) for name, folders in self._folders.items()}

    def found(self, tables: Iterable[str]) -> frozenset[Path] | None:
        """The files that are new since then; None where a table has none, so that they must be elsewhere."""
        new = {
            name: parquet_files(self._folders.get(name, ())) - self._before.get(name, frozenset())
            for name in tables
        }
        if all(new.values()):
            return frozenset[Path]().union(*new.values())
        self._places = {}
        return None


def _days(rows: pa.Table) -> list[str]:
    """DuckLake's folders of the days on which rows were ingested, as its paths have them."""
    if "ingested_at" not in rows.column_names:
        return []
    days = pc.unique(rows["ingested_at"].cast(pa.date32())).to_pylist()
    return [_NO_DAY if day is None else day.strftime(_DAY) for day in days]
