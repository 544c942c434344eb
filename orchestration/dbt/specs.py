"""dbt's nodes as specs of assets and checks: dagster-dbt makes them, once for each state of the project.

Importing dagster-dbt brings dbt, sqlglot and more, over a second of every start. So its answer is kept beside
the parsed manifest, and a process that starts reads it there.
"""

import os
import pickle
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from dagster import AssetCheckSpec, AssetDep, AssetKey, AssetSpec

from orchestration.dbt.project import NO_ASSETS, ParsedModels
from orchestration.fingerprint import fingerprint

UNIQUE_ID = "dagster_dbt/unique_id"
"""Where dagster-dbt leaves dbt's id in the metadata of its specs."""


@dataclass(frozen=True)
class DbtSpecs:
    """A project's models, seeds and snapshots, and their tests.

    Attributes:
        assets: In the manifest's order.
        checks: One for each test of one of these.
    """

    assets: list[AssetSpec]
    checks: list[AssetCheckSpec]


def dbt_specs(parsed: ParsedModels, *, without_tag: str = "") -> DbtSpecs:
    """The specs.

    Args:
        parsed: The project.
        without_tag: Nodes with this tag, and tests of such, are left out.
    """
    if parsed.folder is None:
        return _made(parsed, without_tag)
    path = parsed.folder / f"specs-{without_tag or 'all'}-{_versions()}.pickle"
    found = _kept(path)
    if found is None:
        found = _made(parsed, without_tag)
        _keep(path, found)
    return found


def _made(parsed: ParsedModels, without_tag: str) -> DbtSpecs:
    from orchestration.dbt.dagster_specs import make_specs

    return DbtSpecs(
        *make_specs(parsed.manifest, exclude=f"tag:{without_tag} {NO_ASSETS}" if without_tag else NO_ASSETS)
    )


class _Pickler(pickle.Pickler):
    """Dagster's AssetDep takes its arguments by name only, which pickle does not know."""

    def reducer_override(self, value: Any) -> Any:
        """How such a value is made again."""
        if isinstance(value, AssetDep):
            return _dep, (value.asset_key, value.partition_mapping, value.metadata)
        return NotImplemented


def _dep(key: AssetKey, mapping: Any, metadata: Any) -> AssetDep:
    return AssetDep(key, partition_mapping=mapping, metadata=metadata)


@cache
def _versions() -> str:
    """Of what makes them: the libraries, and our own files."""
    ours = fingerprint(
        [Path(__file__).with_name(f"{name}.py") for name in ("dagster_specs", "names", "translator")]
    )
    return "-".join([version("dagster"), version("dagster-dbt"), ours])


def _kept(path: Path) -> DbtSpecs | None:
    """What an earlier process kept in this folder, which is its user's alone; None if it cannot be read."""
    try:
        found = pickle.loads(path.read_bytes())  # noqa: S301
    except Exception:  # a file that was cut off, or of a class that has changed: made again
        return None
    return found if isinstance(found, DbtSpecs) else None


def _keep(path: Path, specs: DbtSpecs) -> None:
    work = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with work.open("wb") as file:
            _Pickler(file).dump(specs)
        work.replace(path)
    except OSError:  # a full disk, a state that was just removed: the next start makes them again
        work.unlink(missing_ok=True)
