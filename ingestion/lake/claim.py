"""A lake's folder belongs to one catalog: a marker file in it names the catalog's identity.

The identity is a row in the catalog's database, beside the writers and not among DuckLake's tables: a copy of
the database keeps the claim, a backup restored elsewhere makes one of its own. It is made before the marker,
and both before the lake: killed in between, the next call does the rest.
"""

import json
import os
import uuid
from contextlib import ExitStack, closing, suppress
from datetime import UTC, datetime
from pathlib import Path

import psycopg2.errors
from psycopg2 import extensions

from ingestion.durable import make_folder, sync_folder
from ingestion.errors import LakeClaimed, StorageError
from ingestion.lake.catalog import catalog_parameters, connect_catalog, process_name
from ingestion.lake.storage import storage_of
from ingestion.settings import Settings

CLAIM_FILE = "millrace-lake.json"
_CREATE = """
create schema if not exists millrace;
create table if not exists millrace.lake (
    id uuid not null, only_one boolean primary key default true check (only_one), made_at timestamptz not null
);
insert into millrace.lake values (%s, true, now()) on conflict do nothing
"""


def claim_lake(settings: Settings, connection: extensions.connection | None = None) -> None:
    """Make the lake's folder, where it is missing, and claim it for the catalog, where nobody has.

    Args:
        settings: Where both are.
        connection: To the catalog's database, in autocommit mode; None opens one for this call.

    Raises:
        LakeClaimed: It belongs to another catalog; names the ways out.
        StorageError: The folder cannot be written.
        CatalogUnavailable: The catalog does not answer.
    """
    if not storage_of(settings).linkable:
        return
    ours, marker = _identity(settings, connection), Path(settings.resolved_lake_path) / CLAIM_FILE
    try:
        if not marker.exists():
            make_folder(marker.parent, mode=0o700)
            _mark(marker, ours, settings)
        found = json.loads(marker.read_text(encoding="utf-8"))
        theirs, where = str(found["lake"]), str(found["catalog"])
    except OSError as error:
        raise StorageError(
            f"the lake's folder {marker.parent} cannot be written ({error.strerror or error}): make room, or "
            "correct its permissions"
        ) from None
    except (ValueError, KeyError, TypeError):
        raise LakeClaimed(
            f"{marker}, which names the lake that the folder belongs to, is damaged: restore it, or delete "
            "it if no other lake is in that folder"
        ) from None
    if theirs != ours:
        raise LakeClaimed(
            f"the folder {marker.parent} belongs to another lake, whose catalog is {where}: name another "
            f"folder in MILLRACE_LAKE_PATH, or the catalog that it belongs to in MILLRACE_CATALOG; if that "
            f"lake is gone for good, delete {marker}"
        )


def _identity(settings: Settings, connection: extensions.connection | None) -> str:
    with ExitStack() as held:
        if connection is None:
            connection = connect_catalog(settings, application_name=process_name())
            held.enter_context(closing(connection))
        cursor = held.enter_context(connection.cursor())
        return _known(cursor) or _made(cursor)


def _known(cursor: extensions.cursor) -> str:
    try:
        cursor.execute("select id from millrace.lake")
    except (psycopg2.errors.UndefinedTable, psycopg2.errors.InvalidSchemaName):
        return ""
    row = cursor.fetchone()
    return str(row[0]) if row else ""


def _made(cursor: extensions.cursor) -> str:
    # Released with the connection; another lock than that of Lake.prepare, which holds its own meanwhile.
    cursor.execute("select pg_advisory_lock(hashtext('millrace claim'))")
    cursor.execute(_CREATE, (str(uuid.uuid4()),))
    return _known(cursor)


def _mark(marker: Path, identity: str, settings: Settings) -> None:
    """Put the marker there, whole and durable, unless another one is there meanwhile."""
    parameters = catalog_parameters(settings)
    server = f"{parameters.get('host', 'localhost')}:{parameters.get('port', '5432')}"
    content = {
        "lake": identity,
        "catalog": f"database '{parameters.get('dbname', '')}' on {server}",
        "claimed_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    fresh = marker.with_name(f"{marker.name}.{identity}")
    fresh.unlink(missing_ok=True)
    with fresh.open("x", encoding="utf-8") as file:
        json.dump(content, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(fresh, marker)  # of two that try, one is refused
    except FileExistsError:
        pass
    except OSError:  # a file system without links
        fresh.rename(marker)
    with suppress(FileNotFoundError):
        fresh.unlink()
    sync_folder(marker.parent)
