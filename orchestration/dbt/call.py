"""One call of dbt in this process, on a manifest that it is given: folders, flags, environment, interrupts.

No Dagster. How dbt is called programmatically:
https://docs.getdbt.com/reference/programmatic-invocations
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ingestion.environment import exported
from orchestration.dbt.interrupts import DeferredException

_LOG_BYTES = 2 * 1024 * 1024
_QUIET = (
    "--quiet",
    "--no-use-colors",
    "--no-use-colors-file",
    "--log-level=none",
    "--log-level-file=info",
    f"--log-file-max-bytes={_LOG_BYTES}",
    "--no-partial-parse",
    "--no-send-anonymous-usage-stats",
    "--no-version-check",
)

Event = Any  # dbt_common.events.base_types.EventMsg, which has no types


@dataclass(frozen=True)
class DbtProject:
    """A dbt project and how this process runs it.

    Attributes:
        project_dir: the folder with dbt_project.yml.
        profiles_dir: the folder with profiles.yml.
        state_dir: a folder for parsed manifests, compiled SQL and the log; never the modeller's `target`.
        target: the target in profiles.yml; None for its default.
        variables: values for `var()`.
        environment: values for `env_var()`, exported while dbt works; they may be secret.
        packages: folders of packages that it uses; a change there is a change of the project.
    """

    project_dir: Path
    profiles_dir: Path
    state_dir: Path
    target: str | None = None
    variables: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    packages: tuple[Path, ...] = ()


def call_dbt(
    project: DbtProject,
    args: Sequence[str],
    *,
    manifest: Any,
    on_event: Callable[[Event], None] | None,
    target_path: Path,
    costs: dict[str, float] | None = None,
    on_built: Callable[[str], None] | None = None,
) -> Any:
    """Run one dbt command; one at a time, as dbt keeps global state.

    Args:
        project: What to run.
        args: A command and its arguments; the project's folders, target and variables are added.
        manifest: dbt's Manifest, which a run writes on; None lets dbt parse the project.
        on_event: Called with each of dbt's events.
        target_path: Folder for compiled SQL.
        costs: Gets the CPU-seconds of each node by dbt's id, where no events are asked for.
        on_built: Called with dbt's id of each node that succeeded, right after it and in dbt's own thread,
            where no events are asked for.

    Returns:
        dbt's own outcome (dbtRunnerResult), a failed one included.
    """
    from dbt.cli.main import dbtRunner

    from orchestration.dbt.events import NodeCosts, without_debug_events
    from orchestration.dbt.sparing import be_sparing

    be_sparing()
    project.state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    command = [
        *_QUIET,
        *args,
        f"--project-dir={project.project_dir}",
        f"--profiles-dir={project.profiles_dir}",
        f"--target-path={target_path}",
        f"--log-path={project.state_dir / 'logs'}",
        f"--vars={json.dumps(dict(project.variables))}",
    ]
    if project.target is not None:
        command.append(f"--target={project.target}")
    deferred = DeferredException()
    runner = dbtRunner(manifest=manifest, callbacks=[deferred.guard(on_event)] if on_event else [])
    spent = NodeCosts(deferred.guard(on_built) if on_built else None)
    quiet = without_debug_events(spent) if on_event is None else nullcontext()
    with exported(project.environment), deferred.interrupts(_end_queries), quiet:
        outcome = runner.invoke(command)
    deferred.release()
    if costs is not None:
        costs |= spent.seconds
    if outcome.exception is not None and not isinstance(outcome.exception, Exception):
        raise outcome.exception
    return outcome


def _end_queries() -> None:
    """End what dbt's threads have DuckDB do at this moment."""
    from dbt.adapters.contracts.connection import ConnectionState
    from dbt.adapters.factory import FACTORY

    for adapter in list(FACTORY.adapters.values()):
        # Its lock is not taken: dbt holds that while it waits for a query before a rollback.
        for connection in list(adapter.connections.thread_connections.values()):
            with suppress(Exception):  # closed meanwhile
                if connection.state == ConnectionState.OPEN:
                    adapter.connections.env().cancel(connection)
