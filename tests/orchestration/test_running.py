"""A running system goes on when a write of its own fails, and says so."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from ingestion.settings import load_settings
from orchestration.cli.live import interruptible, watch
from orchestration.records.system_state import STATE_FILE
from orchestration.services.process import LOG_LIMIT_BYTES
from orchestration.system.running import System

FULL = Path("/dev/full")
pytestmark = pytest.mark.skipif(not FULL.exists(), reason="a disk that is full on demand is Linux only")


@pytest.fixture
def system(tmp_path: Path) -> System:
    """One that runs no service."""
    return System(load_settings(data_dir=tmp_path), mode="up", ui=False, progress=print)


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """What stands where system.json is written first: every write there finds the disk full."""
    place = tmp_path / f"{STATE_FILE}.new"
    place.symlink_to(FULL)
    yield place
    place.unlink(missing_ok=True)


def complaints(system: System) -> list[str]:
    return [condition.text for condition in system.conditions]


def test_a_full_disk_is_a_complaint_until_there_is_room(
    system: System, full_disk: Path, tmp_path: Path
) -> None:
    system.check(0.0)
    (complaint,) = complaints(system)
    assert f"{tmp_path / STATE_FILE} cannot be written (No space left on device)" in complaint
    full_disk.unlink()
    system.check(1.0)
    assert complaints(system) == []
    assert (tmp_path / STATE_FILE).exists()


def test_a_log_that_cannot_be_moved_is_a_complaint_and_the_others_are_moved(
    system: System, tmp_path: Path
) -> None:
    logs = tmp_path / "logs"
    logs.mkdir()
    for name in ("a", "b", "c"):
        with (logs / f"{name}.log").open("wb") as log:
            log.truncate(LOG_LIMIT_BYTES + 1)
    (logs / "b.log.1").symlink_to(FULL)
    system.check(0.0)
    (complaint,) = complaints(system)
    assert str(logs / "b.log") in complaint
    assert {path.name for path in logs.glob("*.log") if path.stat().st_size} == {"b.log"}
    (logs / "b.log.1").unlink()
    system.check(1.0)
    assert complaints(system) == [complaint], "logs are looked at twice a minute"
    system.check(31.0)
    assert complaints(system) == []
    assert (logs / "b.log").stat().st_size == 0


@pytest.mark.usefixtures("full_disk")
def test_without_a_terminal_a_complaint_is_told_once(
    system: System, capsys: pytest.CaptureFixture[str]
) -> None:
    deadline = time.monotonic() + 1.2
    watch(system, title="It runs", until=lambda: time.monotonic() > deadline)
    told = capsys.readouterr()
    assert "It runs" in told.out
    assert told.err.count("cannot be written") == 1


def test_a_stop_during_a_query_is_not_lost(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    """DuckDB makes an error of its own of an interrupt, and looks like a query that failed."""

    def a_query_that_is_interrupted(_now_s: float) -> tuple[()]:
        with suppress(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGTERM)
        return ()

    monkeypatch.setattr(system, "check", a_query_that_is_interrupted)
    with interruptible() as interrupted, pytest.raises(KeyboardInterrupt):
        watch(system, title="", until=interrupted)
