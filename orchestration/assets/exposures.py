"""dbt's exposures, as assets that nothing makes: who reads the models, at the end of the graph.

How models become assets is in models.py.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from dagster import AssetKey, AssetSpec, MetadataValue

from orchestration.dbt.project import ParsedModels
from orchestration.keys import EXPOSURES_GROUP, raw_key


def exposure_specs(parsed: ParsedModels, keys: Mapping[str, AssetKey]) -> list[AssetSpec]:
    """An asset for each exposure that the project declares.

    Args:
        parsed: The project.
        keys: dbt's id → asset, of every model, seed and snapshot.
    """
    sources = {
        unique_id: raw_key(node["name"])
        for unique_id, node in parsed.manifest["sources"].items()
        if node["source_name"] == "raw"
    }
    return [
        AssetSpec(
            AssetKey([EXPOSURES_GROUP, exposure["name"]]),
            group_name=EXPOSURES_GROUP,
            description=exposure["description"] or exposure["label"] or None,
            kinds={exposure["type"]},
            metadata=dict(_metadata(exposure)),
            deps=[
                key
                for parent in exposure["depends_on"]["nodes"]
                if (key := keys.get(parent) or sources.get(parent)) is not None
            ],
        )
        for exposure in parsed.manifest["exposures"].values()
    ]


def _metadata(exposure: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    if exposure["url"]:
        yield "url", MetadataValue.url(exposure["url"])
    owner = [text for text in (exposure["owner"].get("name"), exposure["owner"].get("email")) if text]
    if owner:
        yield "owner", ", ".join(str(text) for text in owner)
