"""`millrace backup` and `millrace restore`: what ingestion/backup/backup.py does, and a summary."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ingestion.backup.backup import BackupReport, back_up
from ingestion.backup.backup import restore as restore_backup
from ingestion.clock import utc_now
from ingestion.settings import Settings, load_settings
from orchestration.cli.context import err, out
from orchestration.cli.tables import table
from orchestration.conditions.rule_alerts import owe_builds
from orchestration.reactions.kept import kept
from orchestration.services.postgres import EmbeddedPostgres
from orchestration.system.data_folder import require_usable
from orchestration.system.lock import only_system


def backup(settings: Settings, destination: Path) -> BackupReport:
    """Take a backup, of a running system or of one that stands still."""
    # The settings of a running system name its catalog.
    if settings.catalog is None:
        with _alone(settings) as found:
            return backup(found, destination)
    with err.status("backing up …"):
        return back_up(settings, destination, now=utc_now(), beside=lambda: kept(settings.data_dir))


def restore(settings: Settings, source: Path, *, session: bool) -> BackupReport:
    """Restore a backup; nothing may run on the data folder."""
    with _alone(settings) as found, err.status("restoring …"):
        report = restore_backup(found, source, session=session)
        owe_builds(found.data_dir)
        return report


@contextmanager
def _alone(settings: Settings) -> Iterator[Settings]:
    """Be the one system of the folder; its embedded PostgreSQL runs meanwhile, unless another is named."""
    require_usable(settings.data_dir)
    with only_system(settings.data_dir):
        if settings.catalog is not None:
            yield settings
            return
        postgres = EmbeddedPostgres(settings.data_dir / "postgres")
        postgres.start()
        try:
            yield settings.model_copy(
                update={
                    "catalog": load_settings(data_dir=settings.data_dir, catalog=postgres.dsn("lake")).catalog
                }
            )
        finally:
            postgres.stop()


def show(report: BackupReport, *, verb: str, as_json: bool) -> int:
    """Print what was done; returns the exit code, 0."""
    manifest = report.manifest
    if as_json:
        facts = manifest.to_json() | {
            "folder": str(report.folder),
            "files_copied": report.files_copied,
        }
        json.dump(facts, sys.stdout, indent=2)
        sys.stdout.write("\n")
        return 0
    made = table("part", "files", "copied", "MiB", right=("files", "copied", "MiB"))
    linked: tuple[tuple[str, dict[str, int], int], ...]
    linked = (("lake", manifest.lake, report.files_copied), ("spool", manifest.spool, len(manifest.spool)))
    if manifest.beside:
        linked = (*linked, ("conditions", manifest.beside, len(manifest.beside)))
    for part, files, copied in linked:
        made.add_row(part, f"{len(files):,}", f"{copied:,}", f"{sum(files.values()) / 2**20:.2f}")
    out.print(made)
    rows = sum(manifest.tables.values())
    out.print(
        f"{verb} {report.folder}: version {manifest.snapshot_id} of the lake, {rows:,} rows of its catalog, "
        f"taken {manifest.taken_at}",
        markup=False,
    )
    return 0
