"""The instants that serving publishes, in a backup and back: a restored lake is published as it was, at once.

They lie beside the catalog's tables. An older release's backup has none: then the next build is published.
"""

import json
from pathlib import Path

from psycopg2 import extensions
from psycopg2.extras import execute_values

from ingestion.errors import BackupError
from ingestion.lake.catalog import create_beside_lake

_FILE = "instants.json"
_THERE = "select to_regclass('millrace.instants') is not null"
_READ = {
    "instants": "select stream, snapshot, noted_at::text, shown from millrace.instants order by stream",
    # Whoever builds them now builds them in the old lake: in the restored one they are left over.
    "unfinished": "select model, 'a backup', min(since)::text from millrace.unfinished group by model",
}
_WRITE = {
    "instants": "insert into millrace.instants (stream, snapshot, noted_at, shown) values %s",
    "unfinished": "insert into millrace.unfinished (model, builder, since) values %s",
}


def dump_instants(cursor: extensions.cursor, folder: Path) -> None:
    """Write them into a folder.

    Args:
        cursor: In the transaction that copies the catalog: both are of one instant.
        folder: Of the catalog's tables.
    """
    cursor.execute(_THERE)
    if cursor.fetchone() != (True,):
        return
    found = {}
    for name, query in _READ.items():
        cursor.execute(query)
        found[name] = cursor.fetchall()
    (folder / _FILE).write_text(json.dumps(found), encoding="utf-8")


def load_instants(cursor: extensions.cursor, folder: Path) -> None:
    """Put them where they were; what stands there of another lake goes.

    Args:
        cursor: In the transaction that makes the catalog.
        folder: What `dump_instants` wrote into.

    Raises:
        BackupError: The file is damaged.
    """
    try:
        found = json.loads((folder / _FILE).read_text(encoding="utf-8"))
        rows = {name: [tuple(row) for row in found[name]] for name in _WRITE}
    except FileNotFoundError:
        return
    except (OSError, ValueError, KeyError, TypeError):
        raise BackupError(f"{folder / _FILE} is damaged: take an older backup") from None
    create_beside_lake(cursor)
    for name, query in _WRITE.items():
        cursor.execute(f"delete from millrace.{name}")
        if rows[name]:
            execute_values(cursor, query, rows[name])
