"""The dbt models as one op: dbt builds the selected ones in this process, then their contracts are checked.

The SQL is in dbt_project/; how models become assets is in translator.py.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import duckdb
from dagster import (
    AssetCheckKey,
    AssetExecutionContext,
    AssetKey,
    AssetsDefinition,
    DataVersion,
    Failure,
    Field,
    MetadataValue,
    multi_asset,
)

from ingestion.clock import utc_now
from ingestion.declare.stream import Stream
from ingestion.errors import StorageError
from ingestion.land.session import LakeSession
from ingestion.serve.shelf import note_shown
from orchestration.assets.judged import JudgedBuilds
from orchestration.assets.model_results import (
    DONE,
    data_versions,
    model_pages,
    model_results,
    relation_name,
)
from orchestration.assets.rule_alerts import AlertModel, EarlyLook, alert_models, look_at_alerts
from orchestration.checks.adapter import check_specs
from orchestration.checks.contracts import Contract
from orchestration.checks.due_contracts import DueContracts
from orchestration.checks.freshness import Budget, FreshnessMeter, freshness_specs
from orchestration.checks.staged import StagedChecks, staged_specs, staged_streams
from orchestration.dbt.blame import in_one_line
from orchestration.dbt.call import DbtProject
from orchestration.dbt.descriptions import Described, Table, declared_descriptions, describe_lake
from orchestration.dbt.lineage import METRICS, Lineage, NodeKeys
from orchestration.dbt.project import FULL_SCAN, FULL_SCAN_TAG, NO_ASSETS, ParsedModels
from orchestration.dbt.results import DbtFailed, NodeResult, why_failed
from orchestration.dbt.runner import RunDbt, build_args, invoke
from orchestration.dbt.served import Served, shown_by
from orchestration.dbt.specs import dbt_specs
from orchestration.keys import EVERY_MODEL, MODELS_METADATA
from orchestration.run import stage
from orchestration.run.cycles import Cycles, left_out
from orchestration.run.earlier import EarlierFailures
from orchestration.run.lineage_of import ModelLineage
from orchestration.run.metric_history import make_table
from orchestration.run.progress import ModelledBatches
from orchestration.run.recorded import recorded
from orchestration.run.traced import hand_on_trace, trace_checks, trace_nodes

_FULL_REFRESH = "Rebuild the selected incremental models from all of raw, not from its new batches."
MODELS_OP = "models"
_VIEWS = "config.materialized:view"


@dataclass(frozen=True)
class Parts:
    """What the models' op knows before a run.

    Attributes:
        project: The dbt project.
        nodes: dbt's ids → Dagster's keys.
        versions: dbt's id of a model or seed → the data version that it has while its text stays.
        contracts: Model → its contract.
        budgets: Mart → how fresh it has to be.
        tables: Stream → what has to be built to show what is new of it.
        cycles: How a run goes on.
        run_dbt: Runs a dbt command on the project; raises DbtFailed.
        descriptions: What the project says of its tables.
        staged: Staging model → its stream.
        served: The marts that programs read.
        lineage: What follows from what.
        alerts: The models whose rows are alerts.
        manifest: dbt's, of the project.
    """

    project: DbtProject
    nodes: NodeKeys
    versions: Mapping[str, DataVersion]
    contracts: Mapping[AssetKey, Contract]
    budgets: Mapping[AssetKey, Budget]
    tables: Mapping[str, frozenset[AssetKey]]
    cycles: Cycles
    run_dbt: RunDbt
    descriptions: Mapping[Table, Described]
    staged: Mapping[AssetKey, Stream]
    served: list[Served]
    lineage: Lineage
    alerts: list[AlertModel]
    manifest: Mapping[str, Any]


def models_asset(
    parsed: ParsedModels,
    contracts: Mapping[AssetKey, Contract],
    cycles: Cycles,
    *,
    budgets: Mapping[AssetKey, Budget],
    lineage: Lineage,
    served: list[Served],
    run_dbt: RunDbt = invoke,
) -> AssetsDefinition:
    """The models, their quick tests and their contracts, materialised by dbt in process.

    Args:
        parsed: The project.
        contracts: Model → its contract.
        cycles: How a run goes on.
        budgets: Mart → how fresh it has to be.
        lineage: What follows from what.
        served: The marts that programs read.
        run_dbt: Runs a dbt command on the project.
    """
    specs = dbt_specs(parsed, without_tag=FULL_SCAN_TAG)
    contract_specs = [
        spec for key, contract in contracts.items() for spec in check_specs(contract, key, blocking=False)
    ]
    nodes = NodeKeys.of(specs.assets, specs.checks)
    staged = staged_streams(cycles.streams, nodes.assets.values())
    parts = Parts(
        parsed.project, nodes, data_versions(parsed), contracts, budgets, lineage.tables_of(), cycles,
        run_dbt, declared_descriptions(parsed), staged, served, lineage, alert_models(parsed, lineage),
        parsed.manifest,
    )  # fmt: skip

    @multi_asset(
        name=MODELS_OP,
        specs=specs.assets,
        check_specs=[*specs.checks, *contract_specs, *freshness_specs(budgets), *staged_specs(staged)],
        can_subset=True,
        required_resource_keys={"lake_session"},
        config_schema={"full_refresh": Field(bool, default_value=False, description=_FULL_REFRESH)},
    )
    def models(context: AssetExecutionContext) -> Iterator[Any]:
        yield from EarlierFailures().remembered(ModelsRun(parts, context).events())

    return models


class ModelsRun:
    """The models' op in one run: a first build of what is selected, then cycles while events keep coming.

    Args:
        parts: What the op knows before a run.
        context: The run's; its selection is built first.
    """

    def __init__(self, parts: Parts, context: AssetExecutionContext) -> None:
        session: LakeSession = context.resources.lake_session
        self._parts = parts
        self._context = context
        self._session = session
        self._contracts = DueContracts(parts.contracts)
        self._staged = StagedChecks(parts.staged)
        self._versions = parts.versions
        self._results: dict[str, NodeResult] = {}
        self._freshness = FreshnessMeter(parts.budgets, since=_started_at(context))
        self._judged = JudgedBuilds(session, parts.lineage)
        self._lineage = ModelLineage(session, parts.manifest, parts.nodes, run_id=context.run_id)

    def events(self) -> Iterator[Any]:
        """Everything that the step yields, in order.

        Raises:
            Failure: dbt failed; what it had built before is yielded, and its contracts are checked.
        """
        stage.begin(self._session.settings, self._context.run_id, "building models", computes=True)
        if self._parts.manifest["child_map"].get(METRICS):
            make_table(self._session.lake)
        with closing(self._judged):
            yield from self._first_build()
            self._session.trace.end_cycle()
            self._describe()
            yield from self._parts.cycles.run(self._context, self._build_again)
            stage.begin(self._session.settings, self._context.run_id, "checking models", computes=True)
            # A contract runs at most every few seconds: what a late cycle built may not be checked yet.
            last = self._contracts.run(self._session.lake, all_of_them=True)
            yield from recorded(self._judged.contracts(self._lineage.noted(last)))
            self._judged.end()
        yield from recorded(self._staged.run(self._session.lake, all_of_them=True))
        yield from recorded(self._freshness.run(pause_seconds=0))
        yield from model_pages(self._session, [*self._results.values()], self._parts.nodes)

    def _first_build(self) -> Iterator[Any]:
        context = self._context
        args = build_args(
            "build",
            select=self._parts.nodes.selectors(context.selected_asset_keys),
            exclude=[FULL_SCAN, NO_ASSETS],
            full_refresh=context.op_execution_context.op_config["full_refresh"],
        )
        yield from self._build(args, context.selected_asset_keys, context.selected_asset_check_keys)
        yield from self._staged.run(self._session.lake, only=context.selected_asset_check_keys)
        yield from self._freshness.run(only=context.selected_asset_check_keys)

    def _describe(self) -> None:
        """Let the lake's comments follow the project's descriptions."""
        try:
            describe_lake(self._session.lake, self._parts.descriptions)
        except duckdb.Error as error:  # another writer came first
            self._context.log.info(f"descriptions are written by the next run: {str(error).splitlines()[0]}")

    def _build_again(self, keys: AbstractSet[AssetKey]) -> Iterator[Any]:
        """Build in a later cycle, for which every check counts as selected."""
        nodes = self._parts.nodes
        # A view shows what is new without being built; its contract is due as the tables' are.
        self._contracts.built(keys)
        args = build_args("build", select=nodes.selectors(keys), exclude=[FULL_SCAN, NO_ASSETS, _VIEWS])
        looks = EarlyLook(
            self._session.lake, self._parts.alerts, tables=keys & self._parts.lineage.tables,
            traceparent=self._session.trace.traceparent,
        )  # fmt: skip
        yield from self._build(args, keys, frozenset(nodes.checks.values()), looks=looks)
        yield from self._staged.run(self._session.lake)
        yield from self._freshness.run()

    def _build(
        self,
        args: list[str],
        keys: AbstractSet[AssetKey],
        checks: AbstractSet[AssetCheckKey],
        *,
        looks: EarlyLook | None = None,
    ) -> Iterator[Any]:
        """One dbt build: its results, then the contracts that are due; a failure comes after both."""
        lake, nodes = self._session.lake, self._parts.nodes
        self._judged.begin(keys)
        failure: DbtFailed | None = None
        try:
            results = self._run_dbt(args, looks)
        except DbtFailed as error:
            failure, results = error, error.nodes
        sizes = self._session.sizes.of(relation_name(result) for result in results if result.relation)
        yield from model_results(
            results, nodes, checks, lake.snapshot_id(), versions=self._versions, sizes=sizes
        )
        self._results |= {result.unique_id: result for result in results}
        built = {
            nodes.assets[result.unique_id]
            for result in results
            if result.status in DONE and result.unique_id in nodes.assets
        }
        self._contracts.built(built)
        self._staged.built(built)
        contracts = trace_checks(self._session.trace, self._contracts.run(lake))
        yield from self._judged.contracts(self._lineage.noted(contracts))
        self._judged.end(built, failed=_failing(results, nodes))
        if failure is not None:
            raise Failure(
                str(failure),
                metadata={MODELS_METADATA: MetadataValue.json(_failed(failure, nodes))},
                allow_retries=False,
            )

    def _run_dbt(self, args: list[str], looks: EarlyLook | None) -> tuple[NodeResult, ...]:
        """Build, then record how fresh the marts are and which batches they now hold."""
        # Read before dbt begins: of what lands meanwhile, these models may not have seen all.
        released, began_at = dict(self._session.released), utc_now()
        try:
            results = self._traced_dbt(args, looks)
        except DbtFailed as error:  # other streams' models have been built
            self._built(released, error.nodes, looks, began_at=began_at)
            raise
        self._built(released, results, looks, began_at=began_at)
        return results

    def _traced_dbt(self, args: list[str], looks: EarlyLook | None) -> tuple[NodeResult, ...]:
        trace, nodes = self._session.trace, tuple[NodeResult, ...]()
        assets = self._parts.nodes.assets

        def look(unique_id: str) -> None:
            if looks is not None and unique_id in assets:
                looks.note(assets[unique_id])

        with trace.step("build models"):
            try:
                nodes = self._parts.run_dbt(self._parts.project, args, on_built=look).nodes
            except DbtFailed as error:
                nodes = error.nodes
                raise
            finally:
                trace_nodes(trace, nodes)
                self._lineage.note_build(nodes)
        return nodes

    def _built(
        self,
        released: Mapping[str, int],
        results: Sequence[NodeResult],
        looks: EarlyLook | None,
        *,
        began_at: datetime,
    ) -> None:
        assets = self._parts.nodes.assets
        built = {
            assets[result.unique_id]
            for result in results
            if result.status in DONE and result.unique_id in assets
        }
        self._freshness.built(self._session.lake, built, began_at=began_at, visible_at=utc_now())
        lake, trace = self._session.lake, self._session.trace
        hand_on_trace(trace, lake, (key.path[-1] for key in built))
        others = [each for each in self._parts.alerts if looks is None or each.name not in looks.seen]
        look_at_alerts(lake, others, built=built, traceparent=trace.traceparent)
        if shown := shown_by(self._parts.served, built, released):
            with suppress(
                StorageError
            ):  # who reads then sees older figures; a full disk is reported elsewhere
                note_shown(self._session.settings.data_dir, shown)
        self._advance(released, built)

    def _advance(self, released: Mapping[str, int], built: AbstractSet[AssetKey]) -> None:
        """Record the batches that are now in all models of their stream that the run does not leave out."""
        waived = left_out(self._context)
        wanted = {stream: tables - waived for stream, tables in self._parts.tables.items()}
        ModelledBatches(self._context.instance).advance(
            {
                stream: batch
                for stream, batch in released.items()
                if wanted[stream] and wanted[stream] <= built
            }
        )


def _started_at(context: AssetExecutionContext) -> datetime:
    record = context.instance.get_run_record_by_id(context.run_id)
    return datetime.fromtimestamp((record and record.start_time) or time.time(), UTC)


def _failing(results: Sequence[NodeResult], nodes: NodeKeys) -> set[AssetKey]:
    """The models that failed, or whose tests did."""
    found = (
        nodes.assets.get(result.unique_id) or _tested(nodes.checks.get(result.unique_id))
        for result in results
        if result.failed
    )
    return {key for key in found if key is not None}


def _failed(failure: DbtFailed, nodes: NodeKeys) -> dict[str, str]:
    """The models that failed, or whose tests did → why; EVERY_MODEL when dbt names none."""
    failed: dict[str, str] = {}
    for result in failure.nodes:
        if result.failed:
            key = nodes.assets.get(result.unique_id) or _tested(nodes.checks.get(result.unique_id))
            failed.setdefault(EVERY_MODEL if key is None else key.to_user_string(), why_failed(result))
    return dict(sorted(failed.items())) or {EVERY_MODEL: in_one_line(str(failure))}


def _tested(check: AssetCheckKey | None) -> AssetKey | None:
    return None if check is None else check.asset_key
