"""How a model's asset is named; without Dagster, for commands that answer at once."""

from collections.abc import Mapping
from typing import Any


def folder_of(node: Mapping[str, Any]) -> str:
    """The first folder of a model; seeds and snapshots have one of their own."""
    if node["resource_type"] in ("seed", "snapshot"):
        return f"{node['resource_type']}s"
    path = node["fqn"][1:-1]
    return str(path[0]) if path else "models"


def asset_path(node: Mapping[str, Any]) -> tuple[str, str]:
    """The key of a model's asset: its folder and its name, as in staging, stg_orders."""
    return folder_of(node), str(node["name"])
