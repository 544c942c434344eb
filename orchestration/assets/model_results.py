"""What dbt did with each node → Dagster's materialisations and check results.

Running dbt belongs to models.py.
"""

from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

from dagster import (
    AssetCheckKey,
    AssetCheckResult,
    AssetObservation,
    DataVersion,
    MaterializeResult,
    MetadataValue,
)

from ingestion.lake.sizes import TableSize
from ingestion.land.session import LakeSession
from orchestration.checks.dbt_tests import result_of_test
from orchestration.dbt.lineage import NodeKeys
from orchestration.dbt.project import ParsedModels
from orchestration.dbt.results import NodeResult
from orchestration.keys import CPU_METADATA, raw_key
from orchestration.run.land import size_metadata
from orchestration.run.page import preview

DONE = frozenset({"success", "pass", "no-op"})
"""dbt's statuses of what was built."""


def data_versions(parsed: ParsedModels) -> dict[str, DataVersion]:
    """What Dagster compares to call a model stale: its own text and that of what it reads, not their data.

    Data change every second. Whether they come through in time, lag and freshness budgets show.
    """
    return {
        unique_id: DataVersion(node["checksum"]["checksum"][:16])
        for unique_id, node in parsed.manifest["nodes"].items()
        if node["resource_type"] in ("model", "seed")
    }


def relation_name(result: NodeResult) -> str:
    """Schema and name of what a node built, as in marts.orders; empty for a test."""
    return ".".join((result.relation or "").replace('"', "").split(".")[-2:])


def model_results(
    results: Sequence[NodeResult],
    nodes: NodeKeys,
    selected_checks: AbstractSet[AssetCheckKey],
    snapshot_id: int,
    *,
    versions: Mapping[str, DataVersion],
    sizes: Mapping[str, TableSize],
) -> Iterator[MaterializeResult[None] | AssetCheckResult]:
    """dbt's results as Dagster's; a model that failed or was skipped is not materialised."""
    for result in results:
        asset_key, check_key = nodes.assets.get(result.unique_id), nodes.checks.get(result.unique_id)
        if asset_key is not None and result.status in DONE:
            metadata: dict[str, Any] = {"seconds": round(result.seconds, 3), "snapshot_id": snapshot_id}
            if result.cpu_seconds is not None:
                metadata[CPU_METADATA] = round(result.cpu_seconds, 3)
            if result.rows_affected is not None:
                metadata["rows_written"] = result.rows_affected
            if result.relation:
                metadata["dagster/table_name"] = result.relation.replace('"', "")
                metadata |= size_metadata(sizes.get(relation_name(result)))
            yield MaterializeResult(
                asset_key=asset_key, metadata=metadata, data_version=versions.get(result.unique_id)
            )
        elif check_key is not None and check_key in selected_checks and result.status != "skipped":
            yield result_of_test(result, check_key, snapshot_id)


def model_pages(
    session: LakeSession, results: Sequence[NodeResult], nodes: NodeKeys
) -> Iterator[AssetObservation]:
    """What pages show besides figures: the SQL that a model ran, and some rows if that is wanted.

    Observations, once a run: as metadata of every materialisation they would fill Dagster's storage.

    Args:
        session: The run's lake, and the streams whose batches it released.
        results: The newest of each node that dbt built.
        nodes: dbt's ids → Dagster's keys.
    """
    for stream in sorted(session.released):
        if rows := preview(session.lake, f"raw.{stream}"):
            yield AssetObservation(raw_key(stream), metadata=rows)
    for result in results:
        key = nodes.assets.get(result.unique_id)
        if key is not None and result.status in DONE:
            sql = (
                {"compiled_sql": MetadataValue.md(f"```sql\n{result.sql.strip()}\n```")} if result.sql else {}
            )
            metadata = sql | preview(session.lake, relation_name(result))
            if metadata:
                yield AssetObservation(key, metadata=metadata)
