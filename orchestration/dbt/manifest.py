"""The project's manifest, parsed once per state of the project and shared by processes through a folder.

A state is everything that parsing depends on. Running commands on a manifest is runner.py's.
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

from orchestration.dbt.call import DbtProject, call_dbt
from orchestration.dbt.results import failure
from orchestration.fingerprint import fingerprint

_KEPT_STATES = 3
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
            outcome = call_dbt(project, _PARSE, manifest=None, on_event=None, target_path=work)
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


@functools.lru_cache(maxsize=1)
def _read_manifest(path: Path) -> Any:
    from dbt.contracts.graph.manifest import Manifest
    from dbt.parser.manifest import extended_mashumuro_decoder

    manifest = Manifest.from_msgpack(path.read_bytes(), decoder=extended_mashumuro_decoder)
    manifest.build_flat_graph()
    return manifest


def copy_for_run(manifest: Any) -> Any:
    """A copy for one run, which writes on nodes only; dbt's own deepcopy takes ten times as long."""
    nodes = {key: node.from_dict(node.to_dict(omit_none=True)) for key, node in manifest.nodes.items()}
    return replace(manifest, nodes=nodes)


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
