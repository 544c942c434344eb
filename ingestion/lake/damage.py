"""Which Parquet files of a table cannot be read: DuckDB's own error seldom names the file.

Parquet as DuckDB writes it has no checksums: a flipped byte that still decodes is not found here.
"""

from collections.abc import Iterable

import duckdb

from ingestion.errors import StorageError
from ingestion.lake.lake import CATALOG_NAME, Lake


def require_readable(lake: Lake, tables: Iterable[tuple[str, str]]) -> None:
    """Read every column of every file of some tables' newest version.

    Args:
        lake: The lake.
        tables: (schema, name) of each.

    Raises:
        StorageError: Names the files that cannot be read.
    """
    damaged = []
    for schema, name in tables:
        for (path,) in lake.query(
            f"select data_file from ducklake_list_files('{CATALOG_NAME}', ?, schema => ?)", [name, schema]
        ):
            try:
                lake.query("select max(hash(part)) from read_parquet(?) as part", [path])
            except duckdb.Error as error:
                damaged.append(f"{path} of {schema}.{name} ({str(error).splitlines()[0]})")
    if damaged:
        raise StorageError(
            f"damaged or missing: {'; '.join(damaged)}; restore these files from a backup; every query that "
            "reads them fails"
        )
