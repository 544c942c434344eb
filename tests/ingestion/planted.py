"""Migrations that only tests know, so that this product is a newer one, and a lake from before versions."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager

import duckdb

from ingestion.faultpoints import faultpoint
from ingestion.lake import migrations
from ingestion.lake.catalog import connect_catalog
from ingestion.lake.migrations import Migration
from ingestion.settings import Settings
from tests.repository import REPOSITORY


@contextmanager
def newer(*planted: Migration) -> Iterator[None]:
    """Be a release that has these migrations too."""
    before = migrations.MIGRATIONS
    migrations.MIGRATIONS = (*before, *planted)
    try:
        yield
    finally:
        migrations.MIGRATIONS = before


def marking(number: int) -> Migration:
    """Adds a column `mark_<number>` to the ledger and fills it; between the two is `planted.half`."""

    def mark(connection: duckdb.DuckDBPyConnection) -> None:
        connection.execute(f"alter table raw.batches add column if not exists mark_{number} bigint")
        faultpoint("planted.half")
        connection.execute(f"update raw.batches set mark_{number} = batch_id")

    return Migration(number, f"the ledger has mark {number}", mark)


def forget_versions(settings: Settings) -> None:
    """Make the lake one of a release that did not know versions yet."""
    with (
        closing(connect_catalog(settings, application_name="test")) as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute("drop table ducklake.millrace_versions")


def killed_at(point: str, settings: Settings, *, planted: range) -> str:
    """Prepare the lake as a newer release, in a process that kills itself at a fault point.

    Args:
        point: The fault point.
        settings: Where the lake is.
        planted: Numbers of the migrations that the release has besides.

    Returns:
        What it said before.
    """
    url = settings.catalog.get_secret_value() if settings.catalog else ""
    code = f"""
import os, signal
from pathlib import Path
from ingestion.faultpoints import install_hook
from ingestion.lake.lake import Lake
from ingestion.migrate.prepare import prepare_lake
from ingestion.settings import load_settings
from tests.ingestion.planted import marking, newer
install_hook(lambda name: os.kill(os.getpid(), signal.SIGKILL) if name == {point!r} else None)
settings = load_settings(data_dir=Path({str(settings.data_dir)!r}), catalog={url!r})
with newer(*map(marking, {planted!r})), Lake(settings) as lake:
    prepare_lake(lake, [], progress=lambda text: print(text, flush=True))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    return done.stdout
