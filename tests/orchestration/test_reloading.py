"""Edited files while the system runs: taken in once they are still, told when refused, and tried again."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ingestion.errors import ConfigError
from ingestion.settings import Settings, load_settings
from orchestration.records.overview import OverviewReader
from orchestration.records.system_state import read_system_state
from orchestration.services.postgres import EmbeddedPostgres
from orchestration.services.process import wait_until
from orchestration.system.code_server import CodeServer
from orchestration.system.lock import only_system
from orchestration.system.reloading import Reloading
from orchestration.system.running import System
from tests.orchestration.test_processes import sleeper

KAFKA, MQTT = "orders: {source: {kafka: orders}}\n", "readings: {source: {mqtt: plant/#}}\n"


class Files:
    """A streams.yml and a folder of code, with what was read of them and when processes were renewed."""

    def __init__(self, folder: Path) -> None:
        self.streams, self.code = folder / "streams.yml", folder / "code"
        self.code.mkdir()
        self.read: list[str] = []
        self.renewed = 0
        self.trouble: Exception | None = None
        self.meanwhile: Callable[[], object] = lambda: None
        self.streams.write_text("first")
        self.reloading = Reloading(self.streams, [self.code], prepare=self._prepare, renew=self._renew)

    def _prepare(self) -> None:
        self.read.append(self.streams.read_text())
        self.meanwhile()
        sources = self.code / "sources.yml"
        if not sources.exists() or sources.read_text() != self.read[-1]:
            sources.write_text(self.read[-1])
        if self.trouble is not None:
            raise self.trouble

    def _renew(self) -> None:
        self.renewed += 1

    def looked(self, *moments_s: float) -> list[str]:
        """What was read at looks at these moments."""
        self.read.clear()
        for now_s in moments_s:
            self.reloading.look(now_s)
        return self.read


@pytest.fixture
def files(tmp_path: Path) -> Files:
    """In use as they are."""
    files = Files(tmp_path)
    files.reloading.begin()
    return files


def test_an_edit_is_taken_in_once_it_is_still(files: Files) -> None:
    assert files.looked(0, 2) == []
    files.streams.write_text("second")
    assert files.looked(4) == []
    assert files.looked(6, 8, 10, 30) == ["second"], "what `prepare` wrote itself is no edit"
    (files.code / "model.sql").write_text("select 1")
    assert files.looked(32, 34, 36, 50) == ["second"]
    assert (files.renewed, files.reloading.complaint) == (2, "")


def test_an_edit_between_reading_and_the_beginning_is_taken_in(tmp_path: Path) -> None:
    files = Files(tmp_path)
    files.streams.write_text("edited while PostgreSQL starts")
    files.reloading.begin()
    assert files.looked(0, 2, 4) == ["edited while PostgreSQL starts"]


def test_an_edit_that_comes_while_another_is_taken_in_is_not_lost(files: Files) -> None:
    files.meanwhile = lambda: files.streams.write_text("of the meantime")
    files.streams.write_text("second")
    assert files.looked(0, 2) == ["second"]
    assert files.looked(4, 6, 8, 30)[:1] == ["of the meantime"]


@pytest.mark.parametrize(
    ("trouble", "told"),
    [
        (ConfigError("streams.yml line 1 is not YAML"), "streams.yml line 1 is not YAML"),
        (OSError(28, "No space left on device"), "No space left on device"),
        (RuntimeError(), "RuntimeError"),
    ],
)
def test_a_refused_edit_is_told_and_tried_again_with_a_pause(
    files: Files, trouble: Exception, told: str
) -> None:
    files.trouble = trouble
    files.streams.write_text("second")
    files.reloading.look(0)
    assert files.looked(2, 4, 6, 8) == ["second"] * 2, "its own writing looks like an edit, once"
    assert told in files.reloading.complaint
    assert files.looked(*range(10, 60, 2)) == ["second"] * 5
    assert told in files.reloading.complaint
    files.trouble = None
    assert files.looked(*range(60, 120, 2)) == ["second"]
    assert (files.renewed, files.reloading.complaint) == (1, "")


def test_processes_that_were_not_renewed_are_renewed_later(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    files.streams.write_text("second")
    with monkeypatch.context() as broken:
        broken.setattr(files.reloading, "_renew", lambda: (_ for _ in ()).throw(OSError("no process")))
        files.looked(0, 2, 4)
        assert "no process" in files.reloading.complaint
    files.looked(*range(6, 30, 2))
    assert (files.renewed, files.reloading.complaint) == (1, "")


@pytest.fixture
def system(
    tmp_path: Path, own_catalog: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch
) -> Iterator[System]:
    """One with a Kafka stream, a catalog that may go away, and processes that only sleep."""
    own_catalog.start()
    for name, value in {
        "project": tmp_path, "data_dir": tmp_path / "data", "mqtt_host": "127.0.0.1",
        "catalog": own_catalog.dsn("lake"),
    }.items():  # fmt: skip
        monkeypatch.setenv(f"MILLRACE_{name.upper()}", str(value))
    (tmp_path / "data").mkdir()
    (tmp_path / "streams.yml").write_text(KAFKA)
    system = System(load_settings(), mode="up", ui=False, progress=print)
    system._code_server = CodeServer(
        "code-server", address=tmp_path / "code.sock", process=lambda _: sleeper(tmp_path / "logs")
    )
    system._reloading.begin()
    yield system
    system._code_server.stop()
    system.stop()


def collectors(system: System, *moments_s: float) -> list[str]:
    """The rows of the collector after checks at these moments."""
    for now_s in moments_s[:-1]:
        system.check(now_s)
    return [row.name for row in system.check(moments_s[-1]) if row.name == "collector"]


def shown(settings: Settings) -> tuple[str, ...]:
    """What `millrace status` says is wrong."""
    reader = OverviewReader(settings, ())
    try:
        return tuple(condition.text for condition in reader.read().conditions)
    finally:
        reader.close()


def test_a_stream_declared_while_postgres_is_away_is_collected_once_it_is_back(
    system: System, own_catalog: EmbeddedPostgres, tmp_path: Path
) -> None:
    own_catalog.stop()
    (tmp_path / "streams.yml").write_text(KAFKA + MQTT)
    assert collectors(system, 0, 2, 4) == []
    (condition,) = system.conditions
    assert condition.finding.name == "code_not_loaded"
    assert "catalog" in condition.text
    assert [stream.name for stream in system.streams] == ["orders"]
    own_catalog.start()
    assert collectors(system, 6, 8) == []
    system.check(12)
    assert collectors(system, 12.1) == ["collector"]
    assert [each.text for each in system.conditions if each.finding.name != "service_down"] == []
    assert [stream.name for stream in system.streams] == ["orders", "readings"]
    assert wait_until(lambda: _serves(system), timeout_s=60)


def test_a_mistake_in_env_replaces_no_process(
    system: System, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as mistaken:
        mistaken.setenv("MILLRACE_BATCH_MAX_EVENTS", "many")
        (tmp_path / "streams.yml").write_text(KAFKA + MQTT)
        assert collectors(system, 0, 2, 4) == []
        (condition,) = system.conditions
    assert condition.finding.name == "code_not_loaded"
    assert condition.text.startswith("MILLRACE_BATCH_MAX_EVENTS in the environment or .env is wrong")
    assert [stream.name for stream in system.streams] == ["orders"]
    system.check(12)
    assert [stream.name for stream in system.streams] == ["orders", "readings"]


def _serves(system: System) -> bool:
    assert system._code_server is not None
    system._code_server.settle(0)
    return system._code_server.is_running()


def test_status_shows_a_refused_edit_until_it_is_corrected(system: System, tmp_path: Path) -> None:
    with only_system(tmp_path / "data"):
        (tmp_path / "streams.yml").write_text(KAFKA + "readings: [\n")
        for now_s in (0, 2, 4):
            system.check(now_s)
        state = read_system_state(tmp_path / "data")
        assert state is not None
        assert [error for error in shown(system.settings) if "streams.yml line 3 is not YAML" in error]
        (tmp_path / "streams.yml").write_text(KAFKA + "# corrected\n")
        for now_s in (6, 8, 10):
            system.check(now_s)
        assert not [error for error in shown(system.settings) if "streams.yml" in error]
