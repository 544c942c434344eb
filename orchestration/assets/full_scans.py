"""The tests that read whole tables, as one op for a schedule."""

from collections.abc import Iterator, Mapping
from typing import Any

from dagster import (
    AssetCheckExecutionContext,
    AssetCheckResult,
    AssetChecksDefinition,
    AssetCheckSpec,
    Failure,
    multi_asset_check,
)

from orchestration.checks.audits import fails_with_its_checks, hourly
from orchestration.checks.dbt_tests import result_of_test
from orchestration.dbt.lineage import NodeKeys
from orchestration.dbt.project import FULL_SCAN, FULL_SCAN_TAG, NO_ASSETS, ParsedModels
from orchestration.dbt.results import DbtFailed
from orchestration.dbt.runner import build_args, invoke
from orchestration.dbt.specs import UNIQUE_ID, dbt_specs


def full_scan_checks(parsed: ParsedModels) -> AssetChecksDefinition:
    """The op; models that no run has built yet are left out: there is nothing to read.

    Args:
        parsed: The project.
    """
    specs = dbt_specs(parsed)
    scanning = [spec for spec in specs.checks if _scans(parsed.manifest, spec)]
    nodes = NodeKeys.of(specs.assets, scanning)

    @multi_asset_check(
        name="full_scans", specs=hourly(scanning), can_subset=True, required_resource_keys={"lake_session"}
    )
    @fails_with_its_checks
    def full_scans(context: AssetCheckExecutionContext) -> Iterator[AssetCheckResult]:
        lake = context.resources.lake_session.lake
        existing = lake.tables()
        missing = {
            nodes.assets[unique_id] for table, unique_id in parsed.tables().items() if table not in existing
        }
        if missing:
            names = ", ".join(sorted(key.to_user_string() for key in missing))
            context.log.info(f"not checked, because no run has built them yet: {names}")
        args = build_args("test", select=[FULL_SCAN], exclude=[NO_ASSETS, *nodes.selectors(missing)])
        try:
            results = invoke(parsed.project, args).nodes
        except DbtFailed as error:
            if not error.nodes:
                raise Failure(str(error)) from error
            results = error.nodes
        snapshot_id = lake.snapshot_id()
        for result in results:
            key = nodes.checks.get(result.unique_id)
            if key is not None and key in context.selected_asset_check_keys:
                yield result_of_test(result, key, snapshot_id)

    return full_scans


def _scans(manifest: Mapping[str, Any], spec: AssetCheckSpec) -> bool:
    unique_id = (spec.metadata or {}).get(UNIQUE_ID)
    return unique_id is not None and FULL_SCAN_TAG in manifest["nodes"][unique_id]["tags"]
