"""Files of a backup are as private as those they come from, and belong to their owner alone."""

import os
import stat
from pathlib import Path

import pytest

from ingestion.backup import files
from ingestion.backup.files import is_private, place, seal


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "lake" / "file.parquet"
    path.parent.mkdir(mode=0o755)
    path.write_bytes(b"rows")
    path.chmod(0o644)
    return path


def test_a_link_to_a_file_of_a_private_folder_is_private(source: Path, tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    assert is_private(source.parent), "a folder above it lets nobody in"
    target = tmp_path / "backup" / "new" / "file.parquet"
    assert not place(source, target, size=4, twin=None)
    assert (target.stat().st_ino, mode(target)) == (source.stat().st_ino, 0o600)
    assert mode(target.parent) == 0o700


def test_a_link_to_a_file_that_others_may_read_stays_as_it_is(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "is_private", lambda folder: False)
    target = tmp_path / "backup" / "file.parquet"
    assert not place(source, target, size=4, twin=None)
    assert mode(target) == 0o644, "it is the lake's own file"


def test_a_copy_is_private_whatever_it_was_copied_from(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "backup" / "file.parquet"
    umask = os.umask(0)
    try:
        assert place(source, target, size=4, twin=None, link=False)
    finally:
        os.umask(umask)
    assert (mode(target), target.read_bytes()) == (0o600, b"rows")
    assert target.stat().st_nlink == 1


def test_sealing_leaves_files_with_another_name_alone(source: Path, tmp_path: Path) -> None:
    backup = tmp_path / "backup"
    (backup / "catalog").mkdir(parents=True, mode=0o755)
    own, linked = backup / "catalog" / "table", backup / "file.parquet"
    own.write_bytes(b"x")
    own.chmod(0o644)
    os.link(source, linked)
    seal(backup)
    assert (mode(own), mode(linked)) == (0o600, 0o644)
    assert (mode(backup), mode(own.parent)) == (0o700, 0o700)
