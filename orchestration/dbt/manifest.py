"""The project's manifest, parsed once per state of the project and shared by processes through a folder.

A state is everything that parsing depends on. The state of a broken project holds what can be built, and what
cannot (set_aside.py). Running commands on a manifest is runner.py's.
"""

from __future__ import annotations

import fcntl
import functools
import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from orchestration.dbt.broken import Broken
from orchestration.dbt.call import DbtProject, call_dbt
from orchestration.dbt.results import DbtFailed, failure
from orchestration.dbt.set_aside import parse_the_rest, without_circles
from orchestration.fingerprint import fingerprint

_KEPT_STATES = 3
MANIFEST = "manifest.json"
_BROKEN = "broken.json"
_PACKAGES = ("dbt-core", "dbt-adapters", "dbt-duckdb")

# dbt's static parser leaves native threads running, and a process with threads cannot fork safely.
_PARSE = ("parse", "--no-static-parser")


def project_fingerprint(project: DbtProject) -> str:
    """Identify all that parsing depends on: files, dbt's versions, target, variables, environment."""
    digest = hashlib.blake2b(digest_size=12)
    parts: list[object] = [
        fingerprint([project.project_dir, project.profiles_dir, *project.packages]),
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

    Safe under concurrent callers, and never connects to a database. What cannot be built is not in it.

    Returns:
        The manifest.json of this state.

    Raises:
        DbtFailed: No model can be built.
    """
    state = parsed_state(project)
    manifest_json = state / MANIFEST
    if not manifest_json.exists():
        raise DbtFailed(" ".join(broken_in(state).problems))
    return manifest_json


def parsed_state(project: DbtProject) -> Path:
    """The folder of the project's current state, parsed if need be; what is broken is written there too."""
    state = project.state_dir / "parsed" / project_fingerprint(project)
    if state.exists():
        return state
    with _lock(project.state_dir):
        if state.exists():
            return state
        work = Path(tempfile.mkdtemp(prefix="parsing-", dir=project.state_dir))
        try:
            manifest, broken = _parse(project, work)
            if broken.problems:
                work.joinpath(_BROKEN).write_text(broken.dumps(), encoding="utf-8")
            if manifest is not None:
                work.joinpath("manifest.msgpack").write_bytes(_packed(manifest))
            else:
                work.joinpath(MANIFEST).unlink(missing_ok=True)
            state.parent.mkdir(exist_ok=True)
            work.rename(state)  # appears whole or not at all
        finally:
            shutil.rmtree(work, ignore_errors=True)
        _forget_old_states(state.parent)
    return state


def known_state(project: DbtProject) -> Path | None:
    """The folder of the project's current state; of the last one that was parsed where it is not parsed yet.

    For who only looks: nothing is parsed. None before the first time.
    """
    parsed = project.state_dir / "parsed"
    state = parsed / project_fingerprint(project)
    if state.exists():
        return state
    try:
        return max(parsed.iterdir(), key=lambda each: each.stat().st_mtime, default=None)
    except OSError:  # one was just removed, or there is none
        return None


def broken_in(state: Path) -> Broken:
    """What of the project was broken in a state."""
    path = state / _BROKEN
    return Broken.loads(path.read_text(encoding="utf-8")) if path.exists() else Broken()


def _parse(project: DbtProject, work: Path) -> tuple[Any, Broken]:
    """dbt's Manifest of all that can be built, whose JSON is in `work`; None when nothing can."""

    from orchestration.dbt.extracting import without_static_parser

    def whole(project: DbtProject) -> Any:
        with without_static_parser():
            return call_dbt(project, _PARSE, manifest=None, on_event=None, target_path=work)

    outcome, broken = whole(project), Broken()
    manifest = outcome.result
    if not outcome.success:
        if isinstance(outcome.exception, OSError):  # the machine's fault, and gone with the next try
            raise failure("dbt parse", (), outcome.exception)
        with tempfile.TemporaryDirectory(prefix="rest-", dir=project.state_dir) as folder:
            manifest, broken = parse_the_rest(project, outcome.exception, parse=whole, folder=Path(folder))
    if manifest is not None:
        broken += without_circles(project, manifest)
    if manifest is not None and broken.problems:
        manifest.writable_manifest().write(str(work / MANIFEST))
    return manifest, broken


def load_manifest(project: DbtProject) -> Any:
    """The project's Manifest, parsed if need be, and kept for the next call while the project stays as it is.

    A process that forks loads it once before; its children have it for nothing.

    Raises:
        DbtFailed: No model can be built.
    """
    return _read_manifest(parse(project).with_name("manifest.msgpack"))


@functools.lru_cache(maxsize=1)
def _read_manifest(path: Path) -> Any:
    from dbt.contracts.graph.manifest import Manifest
    from dbt.parser.manifest import extended_mashumuro_decoder

    manifest = Manifest.from_msgpack(path.read_bytes(), decoder=extended_mashumuro_decoder)
    manifest.build_flat_graph()
    return manifest


def copy_for_run(manifest: Any) -> Any:
    """A copy for one run, which writes on nodes only; dbt's own deepcopy takes ten times as long."""
    from orchestration.dbt.kept_graph import share_found

    nodes = {key: node.from_dict(node.to_dict(omit_none=True)) for key, node in manifest.nodes.items()}
    return share_found(replace(manifest, nodes=nodes), manifest)


def _packed(manifest: Any) -> bytes:
    from dbt.parser.manifest import extended_mashumaro_encoder

    packed: bytes = manifest.to_msgpack(extended_mashumaro_encoder)
    return packed


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
