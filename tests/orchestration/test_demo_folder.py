"""A demo's folder: beside the project's, wiped by the next demo, but never with what is not the demo's."""

import json
import os
import pty
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ingestion.connectors.kafka.access import KafkaAccess
from ingestion.connectors.mqtt.access import MqttAccess
from ingestion.data_folder import DEMO_MARKER, demo_folder
from ingestion.errors import CatalogUnavailable
from ingestion.lake.catalog import no_catalog
from ingestion.settings import load_settings
from ingestion.spool.writer import SpoolEvent, SpoolWriter
from orchestration.demo.brokers import DemoBrokers
from orchestration.demo.folder import added_by_others, remember_project, wipe
from orchestration.demo.project import plant_project
from orchestration.demo.summary import Delivery
from orchestration.system.lock import only_system
from orchestration.system.runtime import write_runtime
from tests.frozen.commands import Commands, Result
from tests.repository import REPOSITORY

MILLRACE = (sys.executable, "-c", "from orchestration.cli import main; main()")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder that a demo has left, with rows of the plant's."""
    folder = tmp_path / "data-demo"
    folder.mkdir()
    wipe(folder)
    for table in ("plant_telemetry", "batches", "_dlt_loads"):
        put(folder, table)
    return folder


def put(folder: Path, table: str) -> Path:
    file = folder / "lake" / "raw" / table / "rows.parquet"
    file.parent.mkdir(parents=True)
    file.touch()
    return file


def environment(tmp_path: Path, **variables: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MILLRACE_")}
    ours = {"MILLRACE_DATA_DIR": str(tmp_path / "data"), "MILLRACE_ENV_FILE": str(tmp_path / "none.env")}
    return kept | ours | {f"MILLRACE_{name.upper()}": value for name, value in variables.items()}


Millrace = Callable[..., Result]


@pytest.fixture
def millrace(tmp_path: Path, commands: Commands) -> Millrace:
    """Runs the command without a terminal."""
    return lambda *arguments, **variables: commands.run_with(arguments, environment(tmp_path, **variables))


def test_a_demo_runs_beside_a_project_s_data_folder() -> None:
    assert demo_folder(Path("/srv/shop/.millrace")) == Path("/srv/shop/.millrace-demo")
    assert demo_folder(Path("/srv/shop/.millrace-demo")) == Path("/srv/shop/.millrace-demo")


def test_what_a_demo_has_made_may_go(folder: Path) -> None:
    assert added_by_others(folder) == []


def test_events_of_other_streams_are_named(folder: Path) -> None:
    put(folder, "shipments")
    spool = SpoolWriter(folder / "spool" / "doors")
    assert added_by_others(folder) == ["events of 'shipments'"]
    spool.append([SpoolEvent(b"doors/1", b"{}", None, 0)])
    spool.commit()
    spool.close()
    assert added_by_others(folder) == ["events of 'doors'", "events of 'shipments'"]


def test_edits_of_the_demo_s_own_project_are_named(folder: Path, tmp_path: Path) -> None:
    elsewhere = load_settings(project=tmp_path, data_dir=folder)
    project = plant_project(elsewhere)
    assert added_by_others(folder) == []
    mine = project / "dbt_project" / "models" / "mine.sql"
    mine.write_text("select 1 as n")
    assert added_by_others(folder) == [f"edits in {project}"]
    mine.unlink()
    assert added_by_others(folder) == []
    (project / ".env").write_text("MILLRACE_UI_PORT=3001\n")
    assert added_by_others(folder) == [f"edits in {project}"]
    remember_project(folder)
    assert added_by_others(folder) == []


def test_without_a_terminal_a_demo_deletes_nothing_of_others(folder: Path, millrace: Millrace) -> None:
    mine = put(folder, "shipments")
    done = millrace("demo", "--for", "5", "--no-ui")
    assert done.code == 1
    assert f"{folder} holds events of 'shipments', and a new demo would delete it" in done.err
    assert f"--data-dir {folder}-2" in done.err
    assert mine.exists()


def test_on_a_terminal_a_demo_asks_first(folder: Path, tmp_path: Path) -> None:
    mine = put(folder, "shipments")
    ours, theirs = pty.openpty()
    try:
        os.write(ours, b"n\n")
        done = subprocess.run(
            [*MILLRACE, "demo", "--for", "5", "--no-ui"], cwd=REPOSITORY, env=environment(tmp_path),
            stdin=theirs, capture_output=True, text=True, timeout=120,
        )  # fmt: skip
    finally:
        os.close(ours)
        os.close(theirs)
    assert done.returncode == 1
    assert f"{folder} holds events of 'shipments'. Delete it? [y/N]" in done.stdout
    assert mine.exists()


def test_a_folder_that_a_system_has_used_is_refused(tmp_path: Path, millrace: Millrace) -> None:
    used = tmp_path / "used"
    (used / "spool").mkdir(parents=True)
    done = millrace("--data-dir", str(used), "demo", "--for", "5", "--no-ui")
    assert done.code == 1
    assert f"{used} holds a lake or other data that does not belong to a demo" in done.err
    assert sorted(path.name for path in used.iterdir()) == ["spool"]


def test_on_a_demo_s_folder_only_its_own_services_count(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    env_file = tmp_path / "my.env"
    env_file.write_text("MILLRACE_MQTT_HOST=mine\nMILLRACE_CATALOG=postgresql://mine/lake\n")
    monkeypatch.setenv("MILLRACE_ENV_FILE", str(env_file))
    monkeypatch.setenv("MILLRACE_KAFKA_BOOTSTRAP_SERVERS", "mine:9092")
    with only_system(folder):
        write_runtime(folder, {"catalog": "postgresql://demo/lake", "mqtt_host": "its-own"})
        running = load_settings(data_dir=folder)
        assert running.catalog is not None
        assert running.catalog.get_secret_value() == "postgresql://demo/lake"
        assert running.access("mqtt", MqttAccess).host == "its-own"
        assert running.access("kafka", KafkaAccess) == KafkaAccess()
    ended = load_settings(data_dir=folder)
    assert ended.catalog is None
    assert ended.access("mqtt", MqttAccess) == MqttAccess()
    assert "has ended" in str(no_catalog(ended))


def test_alerts_of_a_demo_go_where_the_settings_say(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILLRACE_ALERT_WEBHOOK_URL", "https://pager/t0ken")
    url = DemoBrokers(folder, REPOSITORY).settings().alert_webhook_url
    assert url is not None
    assert url.get_secret_value() == "https://pager/t0ken"


def test_the_doctor_is_content_with_a_demo_that_has_ended(folder: Path, millrace: Millrace) -> None:
    shutil.rmtree(folder / "lake")
    folder.chmod(0o700)
    mine = {"kafka_bootstrap_servers": "127.0.0.1:1", "catalog": "postgresql://me@127.0.0.1:1/lake"}
    done = millrace("--data-dir", str(folder), "doctor", "--json", **mine)
    findings = json.loads(done.out)
    assert [row for row in findings if row["state"] == "problem"] == []
    assert done.code == 0
    (system,) = [row["message"] for row in findings if row["part"] == "system"]
    assert "its demo has ended" in system
    assert "'millrace demo' runs a new one" in system


def test_who_looks_for_a_demo_in_the_project_s_folder_is_shown_the_way(
    folder: Path, tmp_path: Path, millrace: Millrace
) -> None:
    here = tmp_path / "data"
    hint = f"a demo runs beside it: put '--data-dir {folder}' before the command"
    assert hint not in str(no_catalog(load_settings(data_dir=here)))
    with only_system(folder):
        error = no_catalog(load_settings(data_dir=here))
        assert isinstance(error, CatalogUnavailable)
        assert hint in str(error)
        assert hint in millrace("down").out
    assert (folder / DEMO_MARKER).is_file()


@pytest.mark.parametrize(
    ("raw", "marts", "complete"),
    [(10, 9, True), (9, 9, False), (10, 8, False), (10, 10, False), (15, 14, True), (15, 15, False)],
)
def test_a_summary_counts_events_of_others_apart(raw: int, marts: int, complete: bool) -> None:
    """Ten were sent, nine of them belong in the marts; more came from somebody else."""
    delivery = Delivery("Kafka", "orders", 10, raw, 0, 9, marts, None, None)
    assert delivery.complete is complete
