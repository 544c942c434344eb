"""dbt commands in this process, on the parsed manifest (manifest.py), with results as plain values.

No Dagster, and no choice of what to run: callers select (build_args).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from orchestration.dbt.call import DbtProject, Event, call_dbt
from orchestration.dbt.manifest import copy_for_run, load_manifest
from orchestration.dbt.results import DbtResult, failure, read_nodes


class RunDbt(Protocol):
    """Runs a dbt command on a project, as `invoke` does."""

    def __call__(
        self, project: DbtProject, args: Sequence[str], *, on_built: Callable[[str], None] | None = None
    ) -> DbtResult:
        """Raises DbtFailed."""
        ...


def build_args(
    command: str,
    *,
    select: Sequence[str] = (),
    exclude: Sequence[str] = (),
    full_refresh: bool = False,
) -> list[str]:
    """Arguments of a dbt command that runs nodes.

    Args:
        command: build, run, test, seed or snapshot.
        select: dbt selectors, joined by "or"; empty for the whole project.
        exclude: dbt selectors of what to leave out.
        full_refresh: rebuild incremental models and seeds from nothing.
    """
    args = [command]
    if select:
        args += ["--select", *select]
    if exclude:
        args += ["--exclude", *exclude]
    if full_refresh:
        args.append("--full-refresh")
    return args


def warm_up(project: DbtProject) -> None:
    """Load what dbt loads for its first command, without a database and without leaving a thread.

    A process that forks does it once before: it takes longer than a small build.

    Raises:
        DbtFailed: the project does not parse.
    """
    manifest = copy_for_run(load_manifest(project))
    args = ["list", "--resource-types=model", "--output=name"]
    call_dbt(project, args, manifest=manifest, on_event=None, target_path=project.state_dir / "target")


def connect(project: DbtProject, model: str) -> None:
    """Open dbt's connection, which stays for further commands, and compile a model over it.

    Raises:
        DbtFailed: the lake cannot be reached, or the model does not compile.
    """
    invoke(project, ["compile", "--select", f"fqn:{model}"])


def disconnect() -> None:
    """Close dbt's connection; the next command opens a new one."""
    from dbt.adapters.duckdb.connections import DuckDBConnectionManager

    DuckDBConnectionManager.close_all_connections()


def invoke(
    project: DbtProject,
    args: Sequence[str],
    *,
    manifest: Any = None,
    on_event: Callable[[Event], None] | None = None,
    on_built: Callable[[str], None] | None = None,
) -> DbtResult:
    """Run a dbt command in this process; one at a time, as dbt keeps global state.

    Args:
        project: what to run; its folders, target and variables are added to the arguments.
        args: a command and its arguments (build_args).
        manifest: from load_manifest; None takes the kept one.
        on_event: called with each of dbt's events.
        on_built: called with each node that succeeded (call_dbt), where no events are asked for.

    Returns:
        The result of each node.

    Raises:
        DbtFailed: a node failed, or dbt could not run.
    """
    if manifest is None:
        manifest = load_manifest(project)
    costs: dict[str, float] = {}
    outcome = call_dbt(
        project,
        [*args, "--no-write-json", "--cache-selected-only"],
        # A run marks the nodes it compiles; a second run on them would miss the CTEs of ephemeral models.
        manifest=copy_for_run(manifest),
        on_event=on_event,
        target_path=project.state_dir / "target",
        costs=costs,
        on_built=on_built,
    )
    nodes = read_nodes(outcome.result, costs)
    if not outcome.success:
        raise failure(f"dbt {' '.join(args)}", nodes, outcome.exception)
    return DbtResult(nodes)
