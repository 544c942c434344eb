"""What a cycle made, as events that Dagster records."""

import time
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

from orchestration.keys import CPU_METADATA

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

    Each check gets the CPU-seconds that were spent until it was there, unless it says them itself.

    Args:
        results: Of a build, or the checks of one asset.
        key: That asset.
    """
    began = time.process_time()
    for result in results:
        asset = _key(result.asset_key or key)
        if isinstance(result, MaterializeResult):
            yield materialization(asset, result.metadata or {}, version=result.data_version)
        else:
            spent = {CPU_METADATA: round(time.process_time() - began, 3)}
            yield AssetCheckEvaluation(
                asset_key=asset,
                check_name=str(result.check_name),
                passed=result.passed,
                metadata={**spent, **(result.metadata or {})},
                severity=result.severity,
                description=result.description,
            )
        began = time.process_time()


def _key(key: object) -> AssetKey:
    if not isinstance(key, AssetKey):
        raise TypeError(f"a result without an asset: {key!r}")
    return key
