"""The dbt package `millrace` in a project: linked where dbt looks for it, right for any streams."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ingestion.declare.stream import Stream
from orchestration.dbt.prepared import PACKAGE, prepare_project
from tests.dbt_project.conftest import STREAMS, Warehouse, copy_project, explain, run_dbt
from tests.dbt_project.raw import START, order_event

LINKS = ("dbt_packages/millrace", ".millrace_package")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A prepared copy of the plant's dbt project."""
    folder = copy_project(tmp_path / "here" / "dbt_project")
    prepare_project(STREAMS, folder)
    return folder


def plain_dbt(project: Path, data_dir: Path, *arguments: str) -> str:
    """dbt in a shell of its own, as a modeller types it."""
    done = subprocess.run(
        [Path(sys.executable).with_name("dbt"), *arguments], cwd=project, capture_output=True, text=True,
        env=os.environ | {"MILLRACE_DATA_DIR": str(data_dir), "USER": "ada"},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_it_is_linked_and_stays_as_it_is(project: Path) -> None:
    before = [(project / link).lstat().st_ino for link in LINKS]
    assert [(project / link).resolve() for link in LINKS] == [PACKAGE.resolve()] * 2
    prepare_project(STREAMS, project)
    assert [(project / link).lstat().st_ino for link in LINKS] == before


@pytest.mark.parametrize("wrong", ["missing", "broken", "elsewhere", "a copy"])
def test_a_link_that_is_not_right_is_made_again(project: Path, tmp_path: Path, wrong: str) -> None:
    for name in LINKS:
        link = project / name
        link.unlink()
        if wrong == "broken":
            link.symlink_to(tmp_path / "nowhere")
        elif wrong == "elsewhere":
            link.symlink_to(tmp_path)
        elif wrong == "a copy":
            shutil.copytree(PACKAGE, link)
    prepare_project(STREAMS, project)
    assert [(project / link).resolve() for link in LINKS] == [PACKAGE.resolve()] * 2


def test_inside_a_repository_the_link_moves_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    repository = tmp_path / "repository"
    shutil.copytree(PACKAGE, repository / "product" / "package")
    monkeypatch.setattr("orchestration.dbt.prepared.PACKAGE", repository / "product" / "package")
    prepare_project(STREAMS, copy_project(repository / "dbt_project"))
    moved = repository.rename(tmp_path / "moved")
    for link in LINKS:
        assert (moved / "dbt_project" / link / "dbt_project.yml").is_file()


def test_no_versioned_file_has_an_absolute_path(project: Path) -> None:
    ignored = {"dbt_packages", ".millrace_package"}
    for path in project.rglob("*"):
        if path.is_file() and not ignored & set(path.relative_to(project).parts):
            text = path.read_text()
            assert str(PACKAGE) not in text, path
            assert str(project) not in text, path


def test_it_parses_without_any_stream(tmp_path: Path) -> None:
    project = copy_project(tmp_path / "dbt_project")
    for name in ("models", "tests", "contracts", "seeds"):
        shutil.rmtree(project / name)
    (project / "dbt_project.yml").write_text("{name: bare, version: 1.0.0, profile: millrace}\n")
    prepare_project((), project)
    result = run_dbt(project, tmp_path / "no-lake", "parse", "--warn-error")
    assert result.success, explain(result)
    models = {node.name for node in result.result.nodes.values()}
    assert models == {"ops_batches", "ops_cast_errors", "ops_lag", "ops_lateness", "ops_rejects"}


def test_lateness_shows_the_streams_that_are_staged(project: Path, tmp_path: Path) -> None:
    air = Stream.model_validate({"name": "air", "source": {"kafka": "air"}})

    def staged() -> set[str]:
        prepare_project((*STREAMS, air), project)
        parsed = run_dbt(project, tmp_path / "no-lake", "parse", "--warn-error")
        assert parsed.success, explain(parsed)
        return set(parsed.result.nodes["model.millrace.ops_lateness"].depends_on.nodes)

    plant = {f"model.plant.stg_{stream.name}" for stream in STREAMS}
    assert staged() == plant
    (project / "models" / "staging" / "stg_air.sql").write_text("{{ staging('air') }}\n")
    assert staged() == plant | {"model.plant.stg_air"}


@pytest.mark.slow("plain dbt builds the whole project twice, in processes of its own")
def test_plain_dbt_builds_here_and_after_the_project_has_moved(warehouse: Warehouse) -> None:
    data_dir = warehouse.lake.settings.data_dir
    warehouse.raw.add("production_orders", [order_event(1, "ord-1", "created", START)])
    plain_dbt(warehouse.project, data_dir, "build", "--select", "+order_progress")
    moved = warehouse.project.rename(warehouse.project.with_name("moved"))
    plain_dbt(moved, data_dir, "build", "--full-refresh", "--select", "+order_progress")
    plain_dbt(moved, data_dir, "deps")
    plain_dbt(moved, data_dir, "build", "--select", "+order_progress")
    assert warehouse.rows("dev_ada.order_progress", "order_id, events") == [("ord-1", 1)]
