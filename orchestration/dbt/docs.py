"""dbt's documentation of a project as one HTML file that asks for nothing else.

It is dbt's own page with manifest and catalog inside. Who serves it: orchestration/page.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

from orchestration.dbt.call import DbtProject, call_dbt
from orchestration.dbt.manifest import MANIFEST, copy_for_run, load_manifest
from orchestration.dbt.results import failure, read_nodes

POLICY = (
    "default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval'; style-src 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src data:; base-uri 'none'; form-action 'none'"
)
"""dbt's page holds scripts that make functions of text; with this, none of them can ask or send."""
_PLACES = {MANIFEST: '"MANIFEST.JSON INLINE DATA"', "catalog.json": '"CATALOG.JSON INLINE DATA"'}
_HEAD = "<head>"


def docs_of_state(state: Path) -> str | None:
    """The page of a parsed project, with what its YAML declares; nothing is run and no lake is asked.

    Args:
        state: Of manifest.parsed_state or known_state.

    Returns:
        The page; None where no model can be built.
    """
    try:
        manifest = json.loads((state / MANIFEST).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return _filled({MANIFEST: manifest, "catalog.json": _declared(manifest)})


def docs_with_lake(project: DbtProject) -> str:
    """The page with compiled SQL, and with the columns and types that the lake has; takes seconds.

    Raises:
        DbtFailed: A model does not compile, or the lake cannot be reached.
    """
    project.state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix="docs-", dir=project.state_dir))
    try:
        manifest = copy_for_run(load_manifest(project))
        outcome = call_dbt(project, ["docs", "generate"], manifest=manifest, on_event=None, target_path=work)
        if not outcome.success:
            raise failure("dbt docs generate", read_nodes(outcome.result), outcome.exception)
        return _filled({name: json.loads((work / name).read_text(encoding="utf-8")) for name in _PLACES})
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _declared(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """A catalog of what is declared: dbt's page takes types of columns from a catalog only."""
    return {
        "metadata": {},
        "nodes": {unique_id: _entry(unique_id, node) for unique_id, node in manifest["nodes"].items()},
        "sources": {unique_id: _entry(unique_id, node) for unique_id, node in manifest["sources"].items()},
        "errors": None,
    }


def _entry(unique_id: str, node: Mapping[str, Any]) -> dict[str, Any]:
    columns = {
        name: {"name": name, "type": column.get("data_type") or "", "index": at, "comment": None}
        for at, (name, column) in enumerate(node.get("columns", {}).items(), 1)
    }
    kind = "VIEW" if node["config"].get("materialized") == "view" else "BASE TABLE"
    where = {"type": kind, "schema": node["schema"], "name": node["name"], "database": node.get("database")}
    return {"unique_id": unique_id, "metadata": where, "columns": columns, "stats": {}}


def _filled(contents: Mapping[str, Any]) -> str:
    file = distribution("dbt-core").locate_file("dbt/task/docs/index.html")
    page = Path(str(file)).read_text(encoding="utf-8")
    for name, place in _PLACES.items():
        content = contents[name]
        content["metadata"] |= {"user_id": None, "send_anonymous_usage_stats": False}
        # A description may hold </script>; in JSON, < may stand as its number.
        page = page.replace(place, json.dumps(content).replace("<", "\\u003c"))
    policy = f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
    return page.replace(_HEAD, _HEAD + policy, 1)
