"""dbt in this process, on a manifest that is parsed once per state of the project.

No Dagster, and no choice of what to run: callers select (build_args). How dbt is called programmatically:
https://docs.getdbt.com/reference/programmatic-invocations
"""

from __future__ import annotations

import fcntl
import functools
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from orchestration.dbt.interrupts import Held
from orchestration.dbt.results import DbtResult, failure, read_nodes
from orchestration.fingerprint import fingerprint

_KEPT_STATES = 3
_LOG_BYTES = 2 * 1024 * 1024
_PACKAGES = ("dbt-core", "dbt-adapters", "dbt-duckdb")
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

# dbt's static parser leaves a pool of native threads behind, and this process may have to fork.
_PARSE = ("parse", "--no-static-parser")

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
    """

    project_dir: Path
    profiles_dir: Path
    state_dir: Path
    target: str | None = None
    variables: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)


def build_args(
    command: str,
    *,
    select: Sequence[str] = (),
    exclude: Sequence[str] = (),
    full_refresh: bool = False,
    threads: int | None = None,
    fail_fast: bool = False,
) -> list[str]:
    """Arguments of a dbt command that runs nodes.

    Args:
        command: build, run, test, seed or snapshot.
        select: dbt selectors, joined by "or"; none means the whole project.
        exclude: dbt selectors of what to leave out.
        full_refresh: rebuild incremental models and seeds from nothing.
        threads: nodes at a time; None for the profile's number.
        fail_fast: stop at the first failing node.
    """
    args = [command]
    if select:
        args += ["--select", *select]
    if exclude:
        args += ["--exclude", *exclude]
    if full_refresh:
        args.append("--full-refresh")
    if threads is not None:
        args += ["--threads", str(threads)]
    if fail_fast:
        args.append("--fail-fast")
    return args


def project_fingerprint(project: DbtProject) -> str:
    """Identify all that parsing depends on: files, dbt's versions, target, variables, environment."""
    digest = hashlib.blake2b(digest_size=12)
    parts: list[object] = [
        fingerprint([project.project_dir, project.profiles_dir]),
        _versions(),
        str(project.project_dir.absolute()),
        project.target,
        sorted(project.variables.items()),
        sorted(project.environment.items()),
    ]
    digest.update(json.dumps(parts, default=str).encode())
    return digest.hexdigest()


@functools.cache
def _versions() -> list[str]:
    return [version(package) for package in _PACKAGES]  # each reads a file of the package


def parse(project: DbtProject) -> Path:
    """Write the project's manifest, unless the current state of the project has one already.

    Safe under concurrent callers, and never connects to a database.

    Returns:
        The manifest.json of this state.

    Raises:
        DbtFailed: the project does not parse.
    """
    state = project.state_dir / "parsed" / project_fingerprint(project)
    manifest_json = state / "manifest.json"
    if manifest_json.exists():
        return manifest_json
    with _lock(project.state_dir):
        if manifest_json.exists():
            return manifest_json
        work = Path(tempfile.mkdtemp(prefix="parsing-", dir=project.state_dir))
        try:
            outcome = _call_dbt(project, _PARSE, manifest=None, on_event=None, target_path=work)
            if not outcome.success:
                raise failure("dbt parse", (), outcome.exception)
            work.joinpath("manifest.msgpack").write_bytes(_packed(outcome.result))
            state.parent.mkdir(exist_ok=True)
            work.rename(state)  # appears whole or not at all
        finally:
            shutil.rmtree(work, ignore_errors=True)
        _forget_old_states(state.parent)
    return manifest_json


def load_manifest(project: DbtProject) -> Any:
    """The project's Manifest, parsed if need be, and kept for the next call while the project stays as it is.

    A process that forks loads it once before; its children have it for nothing.

    Raises:
        DbtFailed: the project does not parse.
    """
    return _read_manifest(parse(project).with_name("manifest.msgpack"))


def warm_up(project: DbtProject) -> None:
    """Load what dbt loads for its first command, without a database and without a thread left behind.

    A process that forks does it once before: it takes longer than a small build.

    Raises:
        DbtFailed: the project does not parse.
    """
    manifest = _copied(load_manifest(project))
    args = ["list", "--resource-types=model", "--output=name"]
    _call_dbt(project, args, manifest=manifest, on_event=None, target_path=project.state_dir / "target")


def connect(project: DbtProject, model: str) -> None:
    """Open dbt's connection, which stays for further commands, and compile a model over it.

    Raises:
        DbtFailed: the lake cannot be reached, or the model does not compile.
    """
    invoke(project, ["compile", "--select", f"fqn:{model}"])


def disconnect() -> None:
    """Let the next command open a connection of its own."""
    from dbt.adapters.duckdb.connections import DuckDBConnectionManager

    DuckDBConnectionManager.close_all_connections()


def invoke(
    project: DbtProject,
    args: Sequence[str],
    *,
    manifest: Any = None,
    on_event: Callable[[Event], None] | None = None,
) -> DbtResult:
    """Run a dbt command in this process; one at a time, as dbt keeps global state.

    Args:
        project: what to run; its folders, target and variables are added to the arguments.
        args: a command and its arguments (build_args).
        manifest: from load_manifest; None takes the kept one.
        on_event: called with each of dbt's events.

    Returns:
        The result of each node.

    Raises:
        DbtFailed: a node failed, or dbt could not run.
    """
    if manifest is None:
        manifest = load_manifest(project)
    started = time.perf_counter()
    outcome = _call_dbt(
        project,
        [*args, "--no-write-json", "--cache-selected-only"],
        # A run marks the nodes it compiles; a second run on them would miss the CTEs of ephemeral models.
        manifest=_copied(manifest),
        on_event=on_event,
        target_path=project.state_dir / "target",
    )
    nodes = read_nodes(outcome.result)
    if not outcome.success:
        raise failure(f"dbt {' '.join(args)}", nodes, outcome.exception)
    return DbtResult(nodes, seconds=time.perf_counter() - started)


def _call_dbt(
    project: DbtProject,
    args: Sequence[str],
    *,
    manifest: Any,
    on_event: Callable[[Event], None] | None,
    target_path: Path,
) -> Any:
    from dbt.cli.main import dbtRunner

    from orchestration.dbt.events import without_debug_events

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
    held = Held()
    runner = dbtRunner(manifest=manifest, callbacks=[held.guard(on_event)] if on_event else [])
    quiet = without_debug_events() if on_event is None else nullcontext()
    with _exported(project.environment), held.interrupts(), quiet:
        outcome = runner.invoke(command)
    held.release()
    if outcome.exception is not None and not isinstance(outcome.exception, Exception):
        raise outcome.exception
    return outcome


@functools.lru_cache(maxsize=1)
def _read_manifest(path: Path) -> Any:
    from dbt.contracts.graph.manifest import Manifest
    from dbt.parser.manifest import extended_mashumuro_decoder

    manifest = Manifest.from_msgpack(path.read_bytes(), decoder=extended_mashumuro_decoder)
    manifest.build_flat_graph()
    return manifest


def _copied(manifest: Any) -> Any:
    """A copy for one run, which writes on nodes only; dbt's own deepcopy takes ten times as long."""
    nodes = {key: node.from_dict(node.to_dict(omit_none=True)) for key, node in manifest.nodes.items()}
    return replace(manifest, nodes=nodes)


def _packed(manifest: Any) -> bytes:
    from dbt.parser.manifest import extended_mashumaro_encoder

    packed: bytes = manifest.to_msgpack(extended_mashumaro_encoder)
    return packed


@contextmanager
def _exported(environment: Mapping[str, str]) -> Iterator[None]:
    """Put the values where dbt's env_var() looks, and take them away again."""
    before = {name: os.environ.get(name) for name in environment}
    os.environ.update(environment)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextmanager
def _lock(folder: Path) -> Iterator[None]:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with open(folder / "parse.lock", "a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _forget_old_states(parsed: Path) -> None:
    states = sorted(parsed.iterdir(), key=lambda state: state.stat().st_mtime, reverse=True)
    for state in states[_KEPT_STATES:]:
        shutil.rmtree(state, ignore_errors=True)
