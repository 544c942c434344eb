"""A project is a folder: how it is found, and that its own folders and the product's packages stay apart."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ingestion.errors import ConfigError
from ingestion.project import PRODUCT_DIR, NoProject, find_project
from ingestion.settings import current_project, load_settings


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """One that declares no stream."""
    folder = tmp_path / "mine"
    (folder / "dbt_project" / "models" / "sources").mkdir(parents=True)
    (folder / "dbt_project" / "dbt_project.yml").touch()
    (folder / "dbt_project" / "models" / "sources" / "streams.yml").touch()
    (folder / "streams.yml").touch()
    return folder


@pytest.mark.parametrize("inside", [".", "dbt_project", "dbt_project/models/sources"])
def test_it_is_found_from_each_of_its_folders(project: Path, inside: str) -> None:
    assert find_project(project / inside) == project


@pytest.mark.parametrize("missing", ["streams.yml", "dbt_project/dbt_project.yml"])
def test_one_of_its_two_files_is_enough(project: Path, missing: str) -> None:
    (project / missing).unlink()
    assert find_project(project / "dbt_project" / "models") == project


def test_it_can_be_named(project: Path, tmp_path: Path) -> None:
    assert find_project(tmp_path, named="mine") == project
    assert find_project(tmp_path, named=str(project)) == project


def test_a_named_folder_that_is_no_project_is_an_error(project: Path) -> None:
    with pytest.raises(ConfigError, match=r"MILLRACE_PROJECT names .*/mine/nowhere, which holds neither"):
        find_project(project, named="nowhere")


def test_without_one_the_error_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(NoProject, match=r"change to the folder that holds streams.yml, or name it in"):
        load_settings()
    assert current_project(required=False) == tmp_path
    monkeypatch.undo()


def test_everything_relative_counts_from_the_project(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (project / ".env").write_text("MILLRACE_KAFKA_SSL_CA_FILE=certs/ca.pem\nMILLRACE_LAKE_PATH=parquet\n")
    monkeypatch.setenv("MILLRACE_ENV_FILE", ".env")
    monkeypatch.setenv("MILLRACE_PROJECT", str(project))
    from ingestion.connectors.kafka.access import KafkaAccess

    settings = load_settings()
    assert settings.data_dir == project / ".millrace"
    assert settings.streams_file == project / "streams.yml"
    assert settings.dbt_folder == project / "dbt_project"
    assert settings.resolved_lake_path == f"{project / 'parquet'}/"
    assert settings.access("kafka", KafkaAccess).ssl_ca_file == project / "certs" / "ca.pem"


def test_a_project_s_own_folders_shadow_no_package(project: Path) -> None:
    for package in ("ingestion", "orchestration"):
        (project / package).mkdir()
        (project / package / "__init__.py").write_text("raise SystemExit('the project\\'s own was imported')")
    command = Path(sys.executable).with_name("millrace")
    environment = os.environ | {"MILLRACE_ENV_FILE": ".env"}
    for argv in ([command, "--version"], [command, "ingest", "nowhere"]):
        done = subprocess.run(argv, cwd=project, env=environment, capture_output=True, text=True)
        assert "own was imported" not in done.stdout + done.stderr
    assert "'nowhere' is not declared" in done.stderr


def test_the_product_is_where_it_is_imported_from() -> None:
    assert (PRODUCT_DIR / "ingestion" / "project.py").is_file()


def test_a_demo_s_own_project_is_found_through_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / ".millrace-demo"
    made = folder / "project"
    made.mkdir(parents=True)
    (made / "streams.yml").touch()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(NoProject):
        load_settings(data_dir=folder)
    (folder / "demo").touch()
    settings = load_settings(data_dir=folder)
    monkeypatch.undo()
    assert (settings.project, settings.data_dir) == (made, folder)
