"""The models that cannot be built now, as assets that nothing makes: the web UI shows where and why.

Which these are is found by orchestration/dbt/set_aside.py.
"""

from collections.abc import Mapping

from dagster import AssetKey, AssetSpec

from orchestration.dbt import translator
from orchestration.dbt.broken import Broken, LeftOut
from orchestration.dbt.names import folder_of
from orchestration.keys import raw_key

BROKEN_KIND = "broken"


def left_out_keys(broken: Broken) -> dict[str, AssetKey]:
    """dbt's id → asset, of what is left out."""
    return {model.unique_id: translator.asset_key(_properties(model)) for model in broken.models}


def left_out_specs(broken: Broken, keys: Mapping[str, AssetKey]) -> list[AssetSpec]:
    """An asset for each model that is left out, with the reason as its description.

    Args:
        broken: What is left out.
        keys: dbt's id → asset, of every model that can be built.
    """
    mine = left_out_keys(broken)
    return [
        AssetSpec(
            mine[model.unique_id],
            group_name=folder_of(_properties(model)),
            description=f"**Not built.** {model.why}",
            kinds={"dbt", BROKEN_KIND},
            deps=[
                key
                for parent in model.parents
                if (key := mine.get(parent) or keys.get(parent) or _raw(parent))
            ],
        )
        for model in broken.models
    ]


def _properties(model: LeftOut) -> dict[str, object]:
    return {"resource_type": model.resource_type, "name": model.name, "fqn": list(model.fqn)}


def _raw(parent: str) -> AssetKey | None:
    """The raw table that a source is, as in source.project.raw.orders."""
    parts = parent.split(".")
    return raw_key(parts[3]) if parts[0] == "source" and parts[2] == "raw" else None
