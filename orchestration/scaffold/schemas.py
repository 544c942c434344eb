"""JSON Schemas beside a project, for its editor. They follow what is installed, so git ignores them."""

import json
from pathlib import Path
from typing import Any

from ingestion.declare.schema import streams_schema
from orchestration.checks.contract_schema import contract_schema
from orchestration.dbt.sources import replace_text
from orchestration.reactions.schema import reactions_schema

FOLDER = ".millrace_schemas"
CONTRACT_LINE = f"# yaml-language-server: $schema=../../{FOLDER}/contract.json\n"
"""What an editor reads in a contract's first line; streams.yml has one, too."""


def schemas() -> dict[str, dict[str, Any]]:
    """Name → schema."""
    return {"streams": streams_schema(), "contract": contract_schema(), "reactions": reactions_schema()}


def write_schemas(project: Path) -> None:
    """Write them below a project, where they are missing or no longer right."""
    for name, schema in schemas().items():
        replace_text(
            project / FOLDER / f"{name}.json", json.dumps(schema, indent=1, ensure_ascii=False) + "\n"
        )
