"""How dbt's nodes are called as Dagster's assets: keys and owners. What they consist of: specs.py."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from dagster import AssetKey
from dagster._core.definitions.utils import is_valid_owner

from orchestration.dbt.names import asset_path


def asset_key(node: Mapping[str, Any]) -> AssetKey:
    """Key of a model, seed or snapshot: its folder and its name, as in marts/orders."""
    return AssetKey(asset_path(node))


def owners(node: Mapping[str, Any], others: Iterable[str] | None) -> list[str]:
    """`owner` of a model's meta, a name or several.

    Dagster takes addresses and teams only, and refuses all models for one that is neither.

    Args:
        node: The node.
        others: Who owns it where its meta does not say: of its dbt group, for example.
    """
    declared = node.get("meta", {}).get("owner")
    names = [declared] if isinstance(declared, str) else declared
    return [_owner(str(name)) for name in names or others or ()]


def _owner(name: str) -> str:
    return name if is_valid_owner(name) else "team:" + re.sub(r"\W+", "_", name.strip())
