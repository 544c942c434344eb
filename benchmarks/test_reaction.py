"""Guard: from a run's launch to its model built, ours against the stock chain, in one run of one test.

Both build the same one-model dbt project on DuckDB. Stock: Dagster's default launcher (a new interpreter) and
dagster-dbt (dbt as a subprocess). Ours: the warm process and dbt in it. Sensor and queue intervals, which are
in our favour too, are left out: benchmarks/stock_chain.py has the whole way.
"""

import subprocess
import sys
import time
from pathlib import Path

import yaml
from dagster import DagsterEventType, DagsterInstance, DagsterRunStatus
from dagster._cli.job import _create_run
from dagster._core.definitions.reconstruct import ReconstructableRepository
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import PythonFileTarget

from orchestration.warm import protocol
from tests.waiting import eventually

ROOT = Path(__file__).parents[1]
LARGEST_RATIO = 0.5
DEFINITIONS = """
import sys
from pathlib import Path
from dagster import Definitions, in_process_executor, job, op
from dagster_dbt import DbtCliResource
from orchestration.dbt.call import DbtProject
from orchestration.dbt.runner import build_args, invoke

FOLDER = Path(__file__).parent / "dbt"

@op
def build_in_process():
    invoke(DbtProject(FOLDER, FOLDER, FOLDER / "state"), build_args("build"))

@op
def build_in_subprocess():
    program = str(Path(sys.executable).with_name("dbt"))
    dbt = DbtCliResource(project_dir=str(FOLDER), profiles_dir=str(FOLDER), dbt_executable=program)
    dbt.cli(["build"]).wait()

@job(executor_def=in_process_executor)
def ours():
    build_in_process()

@job
def stock():
    build_in_subprocess()

defs = Definitions(jobs=[ours, stock])
"""


def make_location(folder: Path) -> Path:
    """A code location with both jobs, and the dbt project that they build."""
    project = folder / "dbt"
    (project / "models").mkdir(parents=True)
    (project / "dbt_project.yml").write_text("{name: tiny, version: '1.0', profile: tiny}")
    database = {"type": "duckdb", "path": str(folder / "tiny.duckdb")}
    (project / "profiles.yml").write_text(
        yaml.safe_dump({"tiny": {"target": "a", "outputs": {"a": database}}})
    )
    (project / "models" / "one.sql").write_text("select 1 as n")
    (folder / "guarded_location.py").write_text(DEFINITIONS)
    return folder / "guarded_location.py"


def make_instance(home: Path, **more: object) -> DagsterInstance:
    home.mkdir()
    (home / "dagster.yaml").write_text(yaml.safe_dump({"telemetry": {"enabled": False}, **more}))
    return DagsterInstance.from_config(str(home))


def reaction_s(instance: DagsterInstance, run_id: str, launched: float) -> float:
    """Seconds from the launch to the end of the run's one step."""
    eventually(
        lambda: (run := instance.get_run_by_id(run_id)) and run.is_finished, "the run's end", seconds=240
    )
    run = instance.get_run_by_id(run_id)
    assert run is not None
    log = instance.all_logs(run_id)
    assert run.status == DagsterRunStatus.SUCCESS, "\n".join(entry.message for entry in log)
    (built,) = instance.all_logs(run_id, of_type=DagsterEventType.STEP_SUCCESS)
    return built.timestamp - launched


def stock_reaction_s(folder: Path, location: Path) -> float:
    """The default launcher, from a code server that is up already."""
    instance = make_instance(folder / "stock")
    target = PythonFileTarget(str(location), "defs", str(location.parent), None)
    with WorkspaceProcessContext(instance, target) as process:
        workspace = process.create_request_context()
        (code,) = workspace.code_locations
        (repository,) = code.get_repositories().values()
        run = _create_run(
            instance, code, repository, repository.get_full_job("stock"), {}, None, None, None
        )  # fmt: skip
        launched = time.time()
        instance.launch_run(run.run_id, workspace)
        seconds = reaction_s(instance, run.run_id, launched)
    instance.dispose()
    return seconds


def our_reaction_s(folder: Path, location: Path) -> float:
    """The warm process, up already; the second of two runs, for the first parses the dbt project."""
    socket_path = folder / "run" / "warm.sock"
    launcher = {"module": "orchestration.warm.launcher", "class": "WarmRunLauncher"}
    instance = make_instance(
        folder / "ours", run_launcher={**launcher, "config": {"socket_path": str(socket_path)}}
    )
    argv = [
        sys.executable,
        "-m",
        "orchestration.warm",
        f"--socket={socket_path}",
        f"--module={location.stem}",
    ]
    argv += [f"--working-directory={location.parent}", f"--log-dir={folder / 'runs'}"]
    argv += ["--die-with-parent"]
    with subprocess.Popen(argv, cwd=ROOT) as warm:
        try:
            eventually(socket_path.exists, "the warm process listens", seconds=120)
            protocol.call(socket_path, {"op": "ping"}, timeout_s=300)
            repository = ReconstructableRepository.for_module(location.stem, "defs", str(location.parent))
            job = repository.get_reconstructable_job("ours")
            for _ in range(2):
                run = instance.create_run_for_job(
                    job.get_definition(), job_code_origin=job.get_python_origin()
                )
                launched = time.time()
                instance.launch_run(run.run_id, None)  # type: ignore[arg-type]
                seconds = reaction_s(instance, run.run_id, launched)
        finally:
            warm.terminate()
    instance.dispose()
    return seconds


def test_we_react_in_less_than_half_the_time_of_the_stock_chain(tmp_path: Path) -> None:
    location = make_location(tmp_path / "code")
    ours, stock = our_reaction_s(tmp_path, location), stock_reaction_s(tmp_path, location)
    print(f"ours {ours:.2f} s, stock {stock:.2f} s: {ours / stock:.2f}")
    assert ours < LARGEST_RATIO * stock
