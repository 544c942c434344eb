"""The dbt project as this installation runs it: rendered sources, the prod target, the parsed manifest.

How dbt runs in this process is in runner.py; how models become assets in assets/models.py.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ingestion.declare.stream import Stream
from ingestion.settings import Settings
from orchestration.dbt.call import DbtProject
from orchestration.dbt.manifest import parse
from orchestration.dbt.prepared import PACKAGE, prepare_project

FULL_SCAN = "tag:full_scan"
NO_ASSETS = "resource_type:unit_test"


def dbt_project(settings: Settings, *, target: str = "prod") -> DbtProject:
    """The project with the folders and the target of an installation."""
    return DbtProject(
        project_dir=settings.dbt_folder,
        profiles_dir=settings.dbt_folder,
        packages=(PACKAGE,),
        state_dir=settings.data_dir / "dbt",
        target=target,
        environment={"MILLRACE_DATA_DIR": str(settings.data_dir)},
    )


def contract_folders(settings: Settings) -> tuple[Path, ...]:
    """Where contracts are: the product's own, and the project's."""
    return (PACKAGE / "contracts", settings.dbt_folder / "contracts")


@dataclass(frozen=True)
class ParsedModels:
    """The project and its manifest, as the JSON that dagster-dbt reads."""

    project: DbtProject
    manifest: Mapping[str, Any]

    @property
    def fingerprint(self) -> str:
        """Changes when a model's or a seed's own text does."""
        checksums = sorted(
            (unique_id, node["checksum"]["checksum"])
            for unique_id, node in self.manifest["nodes"].items()
            if node["resource_type"] in ("model", "seed")
        )
        return hashlib.sha256(json.dumps(checksums).encode()).hexdigest()[:16]

    def tables(self) -> dict[tuple[str, str], str]:
        """Schema and name of each model's table or view → dbt's id of the model."""
        return {
            (node["schema"], node["alias"]): unique_id
            for unique_id, node in self.manifest["nodes"].items()
            if node["resource_type"] == "model" and node["config"]["materialized"] != "ephemeral"
        }


def freshness_seconds(parsed: ParsedModels) -> dict[str, float]:
    """dbt's id of a model → the `freshness_seconds` that its `meta` declares; models without are left out."""
    return {
        unique_id: float(node["config"]["meta"]["freshness_seconds"])
        for unique_id, node in parsed.manifest["nodes"].items()
        if node["resource_type"] == "model" and "freshness_seconds" in node["config"].get("meta", {})
    }


def parse_models(settings: Settings, streams: Sequence[Stream]) -> ParsedModels:
    """Render the sources and parse the project; quick when nothing changed, and without a database.

    Raises:
        DbtFailed: The project does not parse.
    """
    prepare_project(streams, settings.dbt_folder)
    project = dbt_project(settings)
    return ParsedModels(project, json.loads(parse(project).read_text()))
