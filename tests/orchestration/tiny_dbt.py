"""A dbt project of a few files on a DuckDB file of its own, for tests of how dbt is run."""

from collections.abc import Mapping
from pathlib import Path

from orchestration.dbt.call import DbtProject

DATABASE = "TINY_DATABASE"
_FILES = {
    "dbt_project.yml": "{name: tiny, version: 1.0.0, profile: tiny, models: {tiny: {+materialized: table}}}",
    "profiles.yml": f"""
tiny:
  target: dev
  outputs:
    dev: {{type: duckdb, path: "{{{{ env_var('{DATABASE}') }}}}", threads: 1}}
""",
}


def tiny_project(folder: Path, files: Mapping[str, str]) -> DbtProject:
    """Write a project of these files, by path, below a folder; its state and its database are there too."""
    root = folder / "project"
    for name, text in {**_FILES, **files}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    environment = {DATABASE: str(folder / "tiny.duckdb")}
    return DbtProject(root, root, state_dir=folder / "state", environment=environment)
