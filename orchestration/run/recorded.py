"""What a cycle made, as events that Dagster records."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from dagster import (
    AssetCheckEvaluation,
    AssetCheckResult,
    AssetKey,
    AssetMaterialization,
    DataVersion,
    MaterializeResult,
)
from dagster._core.definitions.data_version import DATA_VERSION_TAG

Event = AssetMaterialization | AssetCheckEvaluation


def materialization(
    key: AssetKey, metadata: Mapping[str, Any], *, version: DataVersion | None
) -> AssetMaterialization:
    """A materialisation with its data version, which Dagster itself adds to a step's own results only."""
    tags = {} if version is None else {DATA_VERSION_TAG: version.value}
    return AssetMaterialization(key, metadata=metadata, tags=tags)


def recorded(
    results: Iterable[MaterializeResult[None] | AssetCheckResult], *, key: AssetKey | None = None
) -> Iterator[Event]:
    """Results as separate events: Dagster accepts only one result per asset and check of a step.

    Args:
        results: Of a build, or the checks of one asset.
        key: That asset.
    """
    for result in results:
        asset = _key(result.asset_key or key)
        if isinstance(result, MaterializeResult):
            yield materialization(asset, result.metadata or {}, version=result.data_version)
        else:
            yield AssetCheckEvaluation(
                asset_key=asset,
                check_name=str(result.check_name),
                passed=result.passed,
                metadata=result.metadata,
                severity=result.severity,
                description=result.description,
            )


def _key(key: object) -> AssetKey:
    if not isinstance(key, AssetKey):
        raise TypeError(f"a result without an asset: {key!r}")
    return key
