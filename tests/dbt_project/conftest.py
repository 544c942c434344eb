"""A dbt project of a test's own, on a lake of its own, run in this process as the CLI would run it."""

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from dbt.cli.main import dbtRunner, dbtRunnerResult
from dbt.contracts.graph.manifest import Manifest
from dbt.contracts.graph.nodes import SeedNode

from ingestion.declare.file import load_streams
from ingestion.declare.stream import Stream
from ingestion.lake.lake import Lake
from ingestion.settings import load_settings
from orchestration.dbt.manifest import copy_for_run
from orchestration.dbt.prepared import prepare_project
from tests.dbt_project.raw import RawWriter

ROOT = Path(__file__).resolve().parents[2]
PROJECT = ROOT / "dbt_project"
STREAMS = load_streams(ROOT / "streams.yml")


@dataclass
class Warehouse:
    """A lake, a copy of the dbt project, and dbt."""

    lake: Lake
    project: Path
    raw: RawWriter
    manifests: dict[str, Manifest] = field(default_factory=dict)

    def dbt(
        self,
        *arguments: str,
        target: str = "prod",
        check: bool = True,
        on_event: Callable[[Any], None] | None = None,
    ) -> dbtRunnerResult:
        """Run dbt with the arguments of its CLI, on the manifest of the last parse."""
        if target not in self.manifests:
            self.manifests[target] = self._parsed(target)
        result = run_dbt(
            self.project,
            self.lake.settings.data_dir,
            *arguments,
            target=target,
            manifest=self.manifests[target],
            on_event=on_event,
        )
        if check:
            assert result.success, explain(result)
        return result

    def _parsed(self, target: str) -> Manifest:
        """A copy of what dbt parsed when it first saw this text, in whatever folder that was."""
        key = f"{target} {text_of(self.project)}"
        if key not in PARSED:
            parsed = run_dbt(self.project, self.lake.settings.data_dir, "parse", target=target)
            assert parsed.success, explain(parsed)
            PARSED[key] = parsed.result
        copy = copy_for_run(PARSED[key])
        for node in copy.nodes.values():
            if isinstance(node, SeedNode):  # the only ones whose file is read again, from where it was parsed
                node.root_path = str(self.project)
        return copy

    def rows(self, table: str, columns: str = "*") -> list[tuple[Any, ...]]:
        """All rows of a table, in one order."""
        return self.lake.query(f"select {columns} from lake.{table} order by all")

    def write_model(self, path: str, sql: str) -> None:
        """Write or change a model's SQL."""
        (self.project / "models" / path).write_text(sql)
        self.manifests.clear()

    def declare(self, streams: tuple[Stream, ...]) -> None:
        """Make the raw tables and the dbt sources of streams."""
        self.lake.prepare([stream.name for stream in streams])
        prepare_project(streams, self.project)
        self.manifests.clear()


PARSED: dict[str, Manifest] = {}
"""Target and project → what dbt made of it; a run works on a copy."""


def text_of(project: Path) -> str:
    """A checksum over all that a person or Millrace writes in a project."""
    digest = hashlib.sha256()
    for path in sorted(project.rglob("*")):
        name = path.relative_to(project)
        if name.parts[0] in ("target", "logs") or not (path.is_symlink() or path.is_file()):
            continue
        content = bytes(path.readlink()) if path.is_symlink() else path.read_bytes()
        digest.update(f"{name} {len(content)}\n".encode() + content)
    return digest.hexdigest()


def run_dbt(
    project: Path,
    data_dir: Path,
    *arguments: str,
    target: str = "prod",
    manifest: Manifest | None = None,
    on_event: Callable[[Any], None] | None = None,
) -> dbtRunnerResult:
    """Run dbt in this process, as its CLI would, with the environment that a modeller has."""
    folders = ["--project-dir", str(project), "--profiles-dir", str(project), "--target", target]
    silence = ["--quiet", "--log-level-file", "none", "--no-write-json"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MILLRACE_DATA_DIR", str(data_dir))
        patch.setenv("USER", "ada.l")
        callbacks = [on_event] if on_event else []
        return dbtRunner(manifest=manifest, callbacks=callbacks).invoke([*arguments, *folders, *silence])


def explain(result: dbtRunnerResult) -> str:
    """What went wrong, for the assertion's message."""
    if result.exception is not None or not hasattr(result.result, "results"):
        return str(result.exception)
    bad = [
        each for each in result.result.results if each.status not in ("success", "pass", "skipped", "warn")
    ]
    return "\n".join(f"{each.node.name}: {each.message}" for each in bad)


def copy_project(folder: Path) -> Path:
    """Copy the project without what dbt writes into it."""
    ignored = shutil.ignore_patterns(
        "target", "logs", "dbt_packages", ".millrace_package", "streams.*", ".user.yml"
    )
    return Path(shutil.copytree(PROJECT, folder, ignore=ignored))


@pytest.fixture(scope="session")
def new_warehouse(
    tmp_path_factory: pytest.TempPathFactory, new_database: Callable[[], str]
) -> Iterator[Callable[[], Warehouse]]:
    """Makes a lake with the demo's streams, empty, and a project that sees it."""
    lakes: list[Lake] = []

    def create() -> Warehouse:
        folder = tmp_path_factory.mktemp("warehouse")
        lake = Lake(load_settings(data_dir=folder / "data", catalog=new_database()))
        lakes.append(lake)
        warehouse = Warehouse(lake, copy_project(folder / "dbt"), RawWriter(lake))
        warehouse.declare(STREAMS)
        lake.publish_access()
        return warehouse

    yield create
    for lake in lakes:
        lake.close()


@pytest.fixture
def warehouse(new_warehouse: Callable[[], Warehouse]) -> Warehouse:
    """A warehouse that nobody else has."""
    return new_warehouse()


@pytest.fixture(autouse=True, scope="session")
def _no_telemetry() -> None:
    assert os.environ.get("DO_NOT_TRACK") == "1"
