"""The dbt models as one op: dbt builds the selected ones in this process, then their contracts are checked.

The SQL is in dbt_project/; how models become assets is in translator.py.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import UTC, datetime
from typing import Any

from dagster import (
    AssetCheckKey,
    AssetCheckResult,
    AssetExecutionContext,
    AssetKey,
    AssetsDefinition,
    Failure,
    Field,
    MaterializeResult,
    multi_asset,
)
from dagster_dbt.asset_utils import build_dbt_specs

from ingestion.land.batch import utc_now
from ingestion.land.session import LakeSession
from orchestration.checks.adapter import check_specs
from orchestration.checks.contracts import Contract
from orchestration.checks.dbt_tests import result_of_test
from orchestration.checks.due_contracts import DueContracts
from orchestration.checks.freshness import Budget, FreshnessMeter, freshness_specs
from orchestration.dbt.lineage import NodeKeys
from orchestration.dbt.project import FULL_SCAN, NO_ASSETS, ParsedModels
from orchestration.dbt.results import DbtFailed, NodeResult
from orchestration.dbt.runner import build_args, invoke
from orchestration.dbt.translator import ModelTranslator
from orchestration.run.cycles import Cycles, recorded
from orchestration.run.progress import ModelledBatches

_FULL_REFRESH = "Rebuild the selected incremental models from all of raw, not from its new batches."
MODELS_OP = "models"
_VIEWS = "config.materialized:view"
_DONE = frozenset({"success", "pass", "no-op"})


def models_asset(
    parsed: ParsedModels,
    contracts: Mapping[AssetKey, Contract],
    cycles: Cycles,
    *,
    budgets: Mapping[AssetKey, Budget],
    tables: Mapping[str, frozenset[AssetKey]],
) -> AssetsDefinition:
    """The models, their quick tests and their contracts, materialised by dbt in process.

    Args:
        parsed: The project.
        contracts: Model → its contract.
        cycles: How a run goes on.
        budgets: Mart → how fresh it has to be.
        tables: Stream → what has to be built to show what is new of it.
    """
    specs, test_specs = build_dbt_specs(
        translator=ModelTranslator(),
        manifest=parsed.manifest,
        select="fqn:*",
        exclude=f"{FULL_SCAN} {NO_ASSETS}",
        selector="",
        io_manager_key=None,
        project=None,
    )
    contract_specs = [
        spec for key, contract in contracts.items() for spec in check_specs(contract, key, blocking=False)
    ]
    graph = NodeKeys.of(specs, test_specs)
    test_keys = frozenset(spec.key for spec in test_specs)

    @multi_asset(
        name=MODELS_OP,
        specs=list(specs),
        check_specs=[*test_specs, *contract_specs, *freshness_specs(budgets)],
        can_subset=True,
        required_resource_keys={"lake_session"},
        config_schema={"full_refresh": Field(bool, default_value=False, description=_FULL_REFRESH)},
    )
    def models(context: AssetExecutionContext) -> Iterator[Any]:
        session: LakeSession = context.resources.lake_session
        lake = session.lake
        due = DueContracts(contracts)
        freshness = FreshnessMeter(budgets, since=_started_at(context))

        def build(
            keys: AbstractSet[AssetKey], args: list[str], wanted: AbstractSet[AssetCheckKey]
        ) -> Iterator[Any]:
            failure: DbtFailed | None = None
            whole = {stream for stream, needed in tables.items() if needed and needed <= keys}
            taken = {stream: batch for stream, batch in session.released.items() if stream in whole}
            began_at = utc_now()
            try:
                nodes = invoke(parsed.project, args).nodes
                freshness.built(lake, began_at=began_at, visible_at=utc_now())
                ModelledBatches(context.instance).advance(taken)
            except DbtFailed as error:
                failure, nodes = error, error.nodes
            yield from _model_results(nodes, graph, wanted, lake.snapshot_id())
            due.built(
                graph.assets[node.unique_id]
                for node in nodes
                if node.status in _DONE and node.unique_id in graph.assets
            )
            yield from due.run(lake)
            if failure is not None:
                raise Failure(str(failure), allow_retries=False)

        def build_again(keys: AbstractSet[AssetKey]) -> Iterator[Any]:
            # A view shows what is new by itself; its contract is due as the tables' are.
            due.built(keys)
            excluded = [FULL_SCAN, NO_ASSETS, _VIEWS]
            args = build_args("build", select=graph.selectors(keys), exclude=excluded)
            yield from build(keys, args, test_keys)
            yield from freshness.run()

        args = build_args(
            "build",
            select=graph.selectors(context.selected_asset_keys),
            exclude=[FULL_SCAN, NO_ASSETS],
            full_refresh=context.op_execution_context.op_config["full_refresh"],
        )
        yield from build(context.selected_asset_keys, args, context.selected_asset_check_keys)
        yield from freshness.run(only=context.selected_asset_check_keys)
        yield from cycles.run(context, build_again)
        yield from recorded(due.run(lake, all_of_them=True))
        yield from recorded(freshness.run(pause_seconds=0))

    return models


def _started_at(context: AssetExecutionContext) -> datetime:
    record = context.instance.get_run_record_by_id(context.run_id)
    return datetime.fromtimestamp((record and record.start_time) or time.time(), UTC)


def _model_results(
    nodes: Sequence[NodeResult],
    graph: NodeKeys,
    selected_checks: AbstractSet[AssetCheckKey],
    snapshot_id: int,
) -> Iterator[MaterializeResult[None] | AssetCheckResult]:
    """dbt's results as Dagster's; a model that failed or was skipped is not materialised."""
    for node in nodes:
        asset_key, check_key = graph.assets.get(node.unique_id), graph.checks.get(node.unique_id)
        if asset_key is not None and node.status in _DONE:
            metadata: dict[str, Any] = {"seconds": round(node.seconds, 3), "snapshot_id": snapshot_id}
            if node.rows_affected is not None:
                metadata["dagster/partition_row_count"] = node.rows_affected
            if node.relation:
                metadata["dagster/table_name"] = node.relation.replace('"', "")
            yield MaterializeResult(asset_key=asset_key, metadata=metadata)
        elif check_key is not None and check_key in selected_checks and node.status != "skipped":
            yield result_of_test(node, check_key, snapshot_id)
