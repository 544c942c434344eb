"""The dbt project as this installation runs it: rendered sources, the prod target, the parsed manifest.

How dbt runs in this process is in runner.py; how models become assets in assets/models.py.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ingestion.declare.file import read_declared
from ingestion.declare.stream import Stream
from ingestion.errors import MillraceError
from ingestion.settings import Settings
from orchestration.dbt.broken import Broken
from orchestration.dbt.call import DbtProject
from orchestration.dbt.manifest import MANIFEST, broken_in, known_state, parsed_state, project_fingerprint
from orchestration.dbt.prepared import PACKAGE, prepare_project
from orchestration.dbt.results import DbtFailed
from orchestration.dbt.set_aside import nothing_can_be_built

BUILT_TYPES = ("model", "seed", "snapshot")
"""dbt's types of nodes that are tables or views of the lake."""
FULL_SCAN_TAG = "full_scan"
FULL_SCAN = f"tag:{FULL_SCAN_TAG}"
NO_ASSETS = "resource_type:unit_test"
_NO_MODELS: Mapping[str, Any] = {"nodes": {}, "sources": {}, "exposures": {}, "child_map": {}}


def dbt_project(settings: Settings, *, target: str = "prod", folder: Path | None = None) -> DbtProject:
    """The project with the folders and the target of an installation."""
    return DbtProject(
        project_dir=folder or settings.dbt_folder,
        profiles_dir=folder or settings.dbt_folder,
        packages=(PACKAGE,),
        state_dir=settings.data_dir / "dbt",
        target=target,
        environment={"MILLRACE_DATA_DIR": str(settings.data_dir)},
    )


def contract_folders(project_dir: Path) -> tuple[Path, ...]:
    """Where contracts are: the product's own, and the project's."""
    return (PACKAGE / "contracts", project_dir / "contracts")


@dataclass(frozen=True)
class ParsedModels:
    """The project and its manifest, as JSON.

    Attributes:
        project: The project.
        manifest: All that can be built.
        text: Identifies the state of every file that was parsed.
        broken: What cannot be built, and why.
        folder: Of this state; what is worked out of the manifest may be kept there. None where there is none.
    """

    project: DbtProject
    manifest: Mapping[str, Any]
    text: str = ""
    broken: Broken = field(default_factory=Broken)
    folder: Path | None = None

    @property
    def fingerprint(self) -> str:
        """Changes when the text of a model, a seed or a snapshot does, or a stream's declaration."""
        checksums = sorted(
            (unique_id, node["checksum"]["checksum"])
            for unique_id, node in self.manifest["nodes"].items()
            if node["resource_type"] in BUILT_TYPES
        )
        checksums += sorted(
            (unique_id, json.dumps(node["config"]["meta"], sort_keys=True))
            for unique_id, node in self.manifest["sources"].items()
            if "fields" in node["config"].get("meta", {})
        )
        checksums += sorted(
            (unique_id, macro["macro_sql"])
            for unique_id, macro in self.manifest.get("macros", {}).items()
            if macro["name"] == "counted_streams" and self.counts()
        )
        return hashlib.sha256(json.dumps(checksums).encode()).hexdigest()[:16]

    def counts(self) -> bool:
        """Whether a stream declares a sequence."""
        return "model.millrace.ops_sequence_runs" in self.manifest["nodes"]

    def disabled(self) -> frozenset[str]:
        """Names of the models whose `enabled` is false."""
        nodes = (node for every in self.manifest.get("disabled", {}).values() for node in every)
        return frozenset(node["name"] for node in nodes if node["resource_type"] == "model")

    def tables(self) -> dict[tuple[str, str], str]:
        """Schema and name of each model's, seed's and snapshot's table or view → dbt's id."""
        return {
            (node["schema"], node["alias"]): unique_id
            for unique_id, node in self.manifest["nodes"].items()
            if node["resource_type"] in BUILT_TYPES and node["config"]["materialized"] != "ephemeral"
        }


def freshness_seconds(parsed: ParsedModels) -> dict[str, float]:
    """dbt's id of a model → the `freshness_seconds` that its `meta` declares; models without are left out."""
    return {
        unique_id: float(node["config"]["meta"]["freshness_seconds"])
        for unique_id, node in parsed.manifest["nodes"].items()
        if node["resource_type"] == "model" and "freshness_seconds" in node["config"].get("meta", {})
    }


def parse_models(
    settings: Settings, streams: Sequence[Stream], *, folder: Path | None = None
) -> ParsedModels:
    """Render the sources and parse the project; quick when nothing changed, and without a database.

    A broken project is not an error: what cannot be built is in the result, with the reasons.

    Args:
        settings: Where everything is.
        streams: The declared streams.
        folder: The folder of dbt_project.yml and profiles.yml; the project's by default.
    """
    prepare_project(streams, folder or settings.dbt_folder)
    project = dbt_project(settings, folder=folder)
    try:
        state = parsed_state(project)
    except DbtFailed as error:
        return without_models(project, error)
    parsed = _read_state(project, state)
    if not any("'raw." in problem for problem in parsed.broken.problems):
        return parsed
    waiting: list[str] = []
    with suppress(MillraceError):  # a mistake in the file: who reads it says so
        waiting += (each.name for each in read_declared(settings).waiting)
    return replace(parsed, broken=parsed.broken.awaiting(waiting))


def _read_state(project: DbtProject, state: Path) -> ParsedModels:
    broken = broken_in(state)
    manifest = _NO_MODELS if broken.everything else json.loads((state / MANIFEST).read_text())
    return ParsedModels(project, manifest, state.name, broken, state)


def known_models(settings: Settings) -> ParsedModels:
    """As parse_models, for who only looks beside a running system: what that has parsed last.

    Raises:
        OSError: That was removed just now.
    """
    project = dbt_project(settings)
    state = known_state(project)
    return ParsedModels(project, _NO_MODELS) if state is None else _read_state(project, state)


def models_that_are_there(settings: Settings, streams: Sequence[Stream]) -> ParsedModels:
    """As parse_models, for who only looks: where there is no dbt project, none is begun."""
    if not (settings.dbt_folder / "dbt_project.yml").is_file():
        return ParsedModels(dbt_project(settings), _NO_MODELS)
    return parse_models(settings, streams)


def without_models(project: DbtProject, error: Exception) -> ParsedModels:
    """The project when no model of it can be built.

    Args:
        project: The project.
        error: Why.
    """
    return ParsedModels(
        project, _NO_MODELS, project_fingerprint(project), nothing_can_be_built(project, error)
    )
