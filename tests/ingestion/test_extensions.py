"""DuckDB's extensions are their wheels' files, and nobody else can replace them."""

import json
import os
import shutil
from collections.abc import Callable
from importlib.metadata import Distribution, distribution
from pathlib import Path

import pytest

from ingestion.errors import ConfigError
from ingestion.lake import wheels
from ingestion.lake.wheels import proven_extension, refuse_replaceable


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of an installed wheel; its library's path."""
    original = distribution("duckdb-extension-httpfs")
    site = tmp_path / "site"
    for file in original.files or ():
        if "__pycache__" not in file.parts:
            place = site / file
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(str(original.locate_file(file)), place)
    copy = Distribution.at(next(site.glob("*.dist-info")))
    monkeypatch.setattr(wheels, "distribution", lambda name: copy)
    return next(site.rglob("*.duckdb_extension"))


def prove(tmp_path: Path) -> Path:
    return proven_extension("httpfs", folder=tmp_path / "extensions")


def test_a_file_is_hashed_once_and_again_when_it_may_have_changed(
    wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert prove(tmp_path) == wheel
    with monkeypatch.context() as patch:
        patch.delattr(wheels.hashlib, "file_digest")
        assert prove(tmp_path) == wheel
    times, content = wheel.stat(), bytearray(wheel.read_bytes())
    content[1000] ^= 1
    wheel.write_bytes(content)
    os.utime(wheel, ns=(times.st_atime_ns, times.st_mtime_ns))
    with pytest.raises(
        ConfigError, match="is not the file that the package duckdb-extension-httpfs came with"
    ):
        prove(tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        lambda file: file.chmod(0o646),
        lambda file: file.parent.chmod(0o777),
        lambda file: os.chown(file, 4711, -1),
        lambda file: os.chown(file.parents[1], 4711, -1),
        lambda file: (os.chown(file, -1, 4711), file.chmod(0o664)),
    ],
)
def test_what_another_user_can_replace_is_refused(
    wheel: Path, tmp_path: Path, change: Callable[[Path], object]
) -> None:
    prove(tmp_path)
    if os.geteuid() != 0 and change.__code__.co_names[0] == "os":
        change = lambda file: file.chmod(0o666)  # noqa: E731 - only root can give a file away
    change(wheel)
    with pytest.raises(ConfigError, match=r"another user can replace .*chmod go-w"):
        prove(tmp_path)


def test_notes_that_another_user_can_write_prove_nothing(wheel: Path, tmp_path: Path) -> None:
    prove(tmp_path)
    notes = tmp_path / "extensions" / "proven.json"
    wheel.write_bytes(b"x")
    found, (proof,) = wheel.stat(), json.loads(notes.read_text()).values()
    forged = [found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns, proof[-1]]
    notes.write_text(json.dumps({str(wheel): forged}))
    assert prove(tmp_path) == wheel, "so it is believed"
    notes.chmod(0o666)
    with pytest.raises(ConfigError, match="is not the file"):
        prove(tmp_path)


def test_a_wheel_without_a_hash_is_refused(wheel: Path, tmp_path: Path) -> None:
    record = next(wheel.parents[3].glob("*.dist-info")) / "RECORD"
    record.write_text(record.read_text().replace("sha256=", ""))
    with pytest.raises(ConfigError, match="has no hash of"):
        prove(tmp_path)


def test_a_folder_like_tmp_and_a_group_of_ones_own_are_no_danger(tmp_path: Path) -> None:
    folder = tmp_path / "shared"
    folder.mkdir()
    file = folder / "library"
    file.write_bytes(b"x")
    folder.chmod(0o1777)  # whoever may write there can neither replace nor rename the file of another user
    refuse_replaceable(file)
    folder.chmod(0o755)
    os.chown(file, -1, os.getegid())
    file.chmod(0o664)
    refuse_replaceable(file)
    file.chmod(0o1666)  # of a file the bit means nothing
    with pytest.raises(ConfigError, match="another user can replace"):
        refuse_replaceable(file)
    with pytest.raises(ConfigError, match="cannot be read"):
        refuse_replaceable(tmp_path / "missing")
