"""`millrace attach`: SQL that opens the lake in a plain DuckDB, from any folder, without a download.

It holds no password: DuckDB reads that from secrets in the data folder, which only their owner can read.
"""

import duckdb

from ingestion.lake.engine import extension_directory, secret_directory
from ingestion.lake.lake import Lake
from ingestion.settings import Settings

_SQL = """\
-- The lake of {project}, read-only, for DuckDB {version} on this machine. Run it first in a session.
-- It holds no password; the secrets are in a folder that only its owner can read.
set autoinstall_known_extensions = false;
set extension_directory = {extensions};
set secret_directory = {secrets};
load ducklake;
load postgres_scanner;
attach if not exists 'ducklake:millrace' as lake (read_only);
-- DuckLake plans time travel by statistics of the newest version, and then misses rows (ducklake#1377): not
-- with this. It makes min(), max() and sorting slower; leave it out where you never say "at (version => …)".
set disabled_optimizers = 'statistics_propagation';
-- Names without a schema are looked for in the marts: from order_delivery, from raw.orders.
use lake.{schema};
"""


def attach_sql(settings: Settings) -> str:
    """The SQL; the secrets that it names are written again, so that they are right.

    Raises:
        CatalogUnavailable: There is no lake to attach.
    """
    with Lake(settings, read_only=True) as lake:
        schemas = {schema for schema, _ in lake.tables()}
        lake.publish_access()
    return _SQL.format(
        project=settings.project,
        version=duckdb.__version__,
        extensions=_quoted(extension_directory(settings.data_dir)),
        secrets=_quoted(secret_directory(settings.data_dir)),
        schema="marts" if "marts" in schemas else "main",
    )


def _quoted(path: object) -> str:
    return "'" + str(path).replace("'", "''") + "'"
