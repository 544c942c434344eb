"""Backups of the lake and of what waits for it in the spool, taken while everything runs; and the way back.

One folder per backup, whole in itself. Why a backup is consistent: docs/decisions/009-backups.md.
"""

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from filecmp import cmp
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ingestion.backup.catalog import catalog_instant, load_catalog
from ingestion.backup.files import as_sentence, place, require, seal, sync_folders
from ingestion.collect.members import Member, members_with_state
from ingestion.collect.status import state_folder
from ingestion.durable import make_folder, sync_folder
from ingestion.errors import BackupError
from ingestion.faultpoints import faultpoint
from ingestion.lake.claim import CLAIM_FILE, claim_lake
from ingestion.lake.lake import Lake
from ingestion.lake.storage import storage_of
from ingestion.project import DISTRIBUTION
from ingestion.settings import Settings
from ingestion.spool.copy import SpoolHold
from ingestion.upkeep.maintenance import upkeep_lock

_FORMAT = 1
_MANIFEST = "manifest.json"
_IDENTITY = "_client_id"
_PARTIAL = ".partial"
_CATALOG, _LAKE, _SPOOL, _BESIDE = "catalog", "lake", "spool", "beside"
_RESTORED = ".restored"


@dataclass(frozen=True)
class Manifest:
    """What a backup holds.

    Attributes:
        format: Of the folder.
        taken_at: UTC, ISO 8601.
        snapshot_id: The lake's version.
        millrace: The release that took it.
        duckdb: DuckDB's release.
        tables: Table of the catalog → rows.
        lake: Path of a data file below the lake's folder → bytes.
        spool: Path below the spool's folder → bytes.
        identities: Collector (its kind, and a number where it is a further one) → the name under which the
            broker keeps what it queues for it.
        beside: Path below the data folder → bytes, of what else belongs to the lake: who has heard of what.
    """

    format: int
    taken_at: str
    snapshot_id: int
    millrace: str
    duckdb: str
    tables: dict[str, int]
    lake: dict[str, int]
    spool: dict[str, int]
    identities: Mapping[str, str] = field(default_factory=dict)
    beside: dict[str, int] = field(default_factory=dict)

    def to_json(self) -> dict[str, object]:
        """As the file holds it: an identity is a key of its own, `<kind>_client_id`."""
        content = asdict(self)
        identities = content.pop("identities")
        return content | {f"{kind}{_IDENTITY}": identity for kind, identity in identities.items()}

    @staticmethod
    def of_json(content: dict[str, Any]) -> "Manifest":
        """Read what `to_json` gave.

        Raises:
            TypeError: It is something else.
        """
        named = {key: str(content[key]) for key in content if key.endswith(_IDENTITY)}
        identities = {key.removesuffix(_IDENTITY): identity for key, identity in named.items() if identity}
        return Manifest(
            **{key: value for key, value in content.items() if key not in named}, identities=identities
        )


@dataclass(frozen=True)
class BackupReport:
    """What was done.

    Attributes:
        folder: The backup's folder.
        manifest: What is in it.
        files_copied: Data files that had to be copied; the others are hard links.
    """

    folder: Path
    manifest: Manifest
    files_copied: int


def back_up(
    settings: Settings, destination: Path, *, now: datetime, beside: Callable[[], Mapping[str, bytes]] = dict
) -> BackupReport:
    """Take a backup; nothing has to stand still.

    Args:
        settings: Where everything is.
        destination: A folder of backups; made when missing.
        now: UTC.
        beside: What else it is to hold: path below the data folder → content; asked after the lake's instant.

    Raises:
        BackupError: There is no lake, or it is damaged.
        StreamBusy: Upkeep, or another backup, is at work.
        StorageError: The folder cannot be written.
    """
    source = _lake_folder(settings)
    if destination.resolve().is_relative_to(source):
        raise BackupError(f"{destination} lies in the lake's own folder: name another one")
    partial = destination / _PARTIAL
    with upkeep_lock(settings), as_sentence(destination):
        previous = next((folder / _LAKE for folder in reversed(backups_of(destination))), None)
        if partial.exists():
            shutil.rmtree(partial)  # of one that was killed
        make_folder(destination, mode=0o700)
        partial.mkdir(mode=0o700)
        (partial / _CATALOG).mkdir()
        snapshot_id, tables, files, spool = _copy_instant(settings, partial)
        faultpoint("backup.catalog")
        copied = sum(
            place(source / name, partial / _LAKE / name, size=size, twin=previous and previous / name)
            for name, size in files.items()
        )
        others = beside()
        for name, content in others.items():
            (partial / _BESIDE / name).parent.mkdir(parents=True, exist_ok=True)
            (partial / _BESIDE / name).write_bytes(content)
        manifest = Manifest(
            format=_FORMAT,
            taken_at=now.isoformat(timespec="seconds"),
            snapshot_id=snapshot_id,
            millrace=version(DISTRIBUTION),
            duckdb=version("duckdb"),
            tables=tables,
            lake=files,
            spool=spool,
            identities=_identities(settings),
            beside={name: len(content) for name, content in others.items()},
        )
        (partial / _MANIFEST).write_text(json.dumps(manifest.to_json(), indent=1))
        faultpoint("backup.written")
        seal(partial)
        folder = _unused(destination / f"{now:%Y%m%dT%H%M%SZ}-{snapshot_id}")
        partial.rename(folder)
        sync_folder(destination)
    return BackupReport(folder, manifest, copied)


def restore(settings: Settings, source: Path, *, session: bool = False) -> BackupReport:
    """Make a lake from a backup, where there is none. Nothing else may run on the data folder.

    Killed midway there is no lake yet, and the same call does the rest.

    Args:
        settings: Where the lake is to be: its catalog's database exists.
        source: A backup, or a folder of backups: then the newest.
        session: Go on as the collector of the system that was backed up, which must never run again; else
            this is another client of the broker, for which nothing was queued.

    Raises:
        BackupError: There is no whole backup, it knows no such collector, or something is there already.
        LakeClaimed: The folder belongs to another lake.
    """
    folder = source if (source / _MANIFEST).exists() else next(reversed(backups_of(source)), None)
    if folder is None:
        raise BackupError(f"{source} holds no backup: name a folder that 'millrace backup' wrote to")
    manifest = _read_manifest(folder)
    if session and not manifest.identities:
        raise BackupError(f"{folder} knows of no collector's session to go on with: restore it without")
    target, spool = _lake_folder(settings), settings.data_dir / "spool"
    contents = {_LAKE: manifest.lake, _SPOOL: manifest.spool, _BESIDE: manifest.beside}
    for part, sizes in contents.items():
        for name, size in sizes.items():
            require(folder / part / name, size, remedy="the backup is damaged, take another one")
    present = {str(path.relative_to(target)) for path in target.rglob("*") if path.is_file()}
    present.discard(CLAIM_FILE)  # our own, of a restore that was killed; another one's is refused below
    if (strange := present - manifest.lake.keys()) or not _is_ours(spool, folder / _SPOOL, manifest.spool):
        where = target / min(strange) if strange else spool
        raise BackupError(f"{where} is there already: restore into an empty data folder (--data-dir)")
    with as_sentence(settings.data_dir):
        make_folder(settings.data_dir, mode=0o700)
        claim_lake(settings)
        copied = sum(
            place(folder / _LAKE / name, target / name, size=size, twin=None)
            for name, size in manifest.lake.items()
        )
        sync_folders(target)
        new_spool = settings.data_dir / f"{_SPOOL}{_RESTORED}"
        shutil.rmtree(new_spool, ignore_errors=True)
        new_spool.mkdir()
        for name, size in manifest.spool.items():
            place(folder / _SPOOL / name, new_spool / name, size=size, twin=None, link=False)
        seal(new_spool)
        for key, identity in manifest.identities.items() if session else ():
            if member := Member.keyed(key):
                member.connector.take_over(state_folder(settings.data_dir, *member), identity)
        _bring_beside(folder / _BESIDE, settings.data_dir, manifest.beside)
        faultpoint("restore.files")
        load_catalog(
            settings, folder / _CATALOG, manifest.tables, before_commit=lambda: _move(new_spool, spool)
        )
    with Lake(settings, read_only=True) as lake:
        if lake.snapshot_id() != manifest.snapshot_id:
            raise BackupError(
                f"the restored lake is not at version {manifest.snapshot_id}: take an older backup"
            )
    return BackupReport(folder, manifest, copied)


def backups_of(destination: Path) -> list[Path]:
    """The whole backups in a folder, oldest first."""
    return sorted(path.parent for path in destination.glob(f"[0-9]*/{_MANIFEST}"))


def _unused(folder: Path) -> Path:
    """The folder, or one whose name sorts after it where a backup of the same second is there."""
    names = (folder, *(folder.with_name(f"{folder.name}-{number}") for number in range(2, 100)))
    return next((name for name in names if not name.exists()), folder)


def _copy_instant(
    settings: Settings, folder: Path
) -> tuple[int, dict[str, int], dict[str, int], dict[str, int]]:
    """Catalog and spool of one instant; the lake's files that it names stay while the upkeep lock is held."""
    while True:
        with SpoolHold(settings.data_dir / "spool") as spool:
            newest = spool.hold()
            with catalog_instant(settings) as catalog:
                spool.hold()
                if not all(path.exists() for path in newest):
                    continue
                faultpoint("backup.instant")
                tables, files = catalog.dump(folder / _CATALOG), catalog.files()
            return catalog.snapshot_id, tables, files, spool.write(folder / _SPOOL)


def _is_ours(spool: Path, saved: Path, sizes: dict[str, int]) -> bool:
    """Whether a spool folder may be replaced: there is none, or a restore that was killed put it there."""
    there = {str(path.relative_to(spool)) for path in spool.rglob("*") if path.is_file()}
    return not there or (
        there == sizes.keys() and all(cmp(saved / name, spool / name, shallow=False) for name in there)
    )


def _bring_beside(saved: Path, data_dir: Path, sizes: Mapping[str, int]) -> None:
    """Bring what else a backup holds, folder by folder; one that is there already knows more, and stays."""
    for top in sorted({Path(name).parts[0] for name in sizes}):
        new = data_dir / f"{top}{_RESTORED}"
        shutil.rmtree(new, ignore_errors=True)
        if (data_dir / top).exists():
            continue
        for name, size in sizes.items():
            if Path(name).parts[0] == top:
                place(saved / name, new / Path(*Path(name).parts[1:]), size=size, twin=None, link=False)
        seal(new)
        new.rename(data_dir / top)
    sync_folder(data_dir)


def _move(new_spool: Path, spool: Path) -> None:
    shutil.rmtree(spool, ignore_errors=True)
    new_spool.rename(spool)
    sync_folder(spool.parent)
    faultpoint("restore.spool")


def _lake_folder(settings: Settings) -> Path:
    path = settings.resolved_lake_path
    if not storage_of(settings).linkable:
        raise BackupError(
            f"the lake's files are in {path}, and a backup is of folders only: use that storage's versioning "
            "and a backup of the PostgreSQL"
        )
    return Path(path)


def _identities(settings: Settings) -> dict[str, str]:
    known = {
        member.key: member.connector.identity(state_folder(settings.data_dir, *member))
        for member in members_with_state(settings.data_dir)
    }
    return {kind: identity for kind, identity in known.items() if identity}


def _read_manifest(folder: Path) -> Manifest:
    try:
        found = json.loads((folder / _MANIFEST).read_text())
        if found["format"] == _FORMAT:
            return Manifest.of_json(found)
    except (ValueError, KeyError, TypeError):
        raise BackupError(f"{folder / _MANIFEST} is damaged: take another backup") from None
    raise BackupError(f"{folder} was written by Millrace {found.get('millrace')}: restore it with that one")
