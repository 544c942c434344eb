"""One asset per stream: a micro-batch lands in raw.<stream>, then its ledger and contract are checked.

How a batch works is in ingestion/land/batch.py; this file only tells Dagster about it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dagster import (
    AssetCheckResult,
    AssetCheckSeverity,
    AssetExecutionContext,
    AssetsDefinition,
    AssetSpec,
    DagsterInstance,
    MaterializeResult,
    MetadataValue,
    TableColumn,
    TableRecord,
    TableSchema,
    asset,
)

from ingestion.declare.logs import open_log
from ingestion.declare.stream import Stream
from ingestion.formats.decode import decoder
from ingestion.land.report import BatchReport
from ingestion.land.session import LakeSession
from ingestion.log.port import Log
from orchestration.checks.adapter import check_specs, run_contract
from orchestration.checks.ledger import ledger_check_spec, prove_ledger
from orchestration.checks.raw_contracts import raw_contract
from orchestration.keys import RAW_GROUP, SOURCES_GROUP, raw_key, source_key
from orchestration.run.progress import CheckedBatches


@dataclass(frozen=True)
class Landed:
    """What a batch left behind for Dagster: the asset's metadata and the results of its checks."""

    metadata: Mapping[str, Any]
    checks: Sequence[AssetCheckResult]


def source_specs(streams: Sequence[Stream]) -> list[AssetSpec]:
    """The brokers' topics, as assets that others make."""
    return [
        AssetSpec(
            source_key(stream),
            group_name=SOURCES_GROUP,
            description=f"{stream.description}\n\n`{stream.source.origin}`".strip(),
            kinds={stream.kind},
        )
        for stream in streams
    ]


def ledger_specs() -> list[AssetSpec]:
    """The tables that every stream's loads write to beside their own."""
    about = {
        "batches": "The ledger: which positions each load holds. One row per batch and partition.",
        "rejects": "What could not be decoded, with its bytes and the reason. One row per event.",
        "reject_resolutions": "What became of rejects and of replayed events. One row per event.",
    }
    return [
        AssetSpec(raw_key(name), group_name=RAW_GROUP, description=text, kinds={"ducklake"})
        for name, text in about.items()
    ]


def raw_asset(stream: Stream) -> AssetsDefinition:
    """The asset raw/<stream>: one run of it is one micro-batch, exactly once."""
    key = raw_key(stream.name)
    contract = raw_contract(stream)

    @asset(
        key=key,
        deps=[source_key(stream)],
        group_name=RAW_GROUP,
        kinds={"dlt", "ducklake"},
        description=f"{stream.description}\n\nEvents of `{stream.source.origin}` as they came. "
        "One row per event.",
        check_specs=[ledger_check_spec(stream), *check_specs(contract, key, blocking=True)],
        required_resource_keys={"lake_session"},
        op_tags={"millrace/stream": stream.name},
    )
    def ingest(context: AssetExecutionContext) -> Iterator[MaterializeResult[None]]:
        session: LakeSession = context.resources.lake_session
        log = open_log(stream, session.settings)
        try:
            session.lake.prepare([stream.name])
            landed = ingest_batch(session, context.instance, stream, log)
        finally:
            log.close()
        yield MaterializeResult(metadata=landed.metadata, check_results=landed.checks)

    return ingest


def ingest_batch(session: LakeSession, instance: DagsterInstance, stream: Stream, log: Log) -> Landed:
    """Bring one batch into the lake and check it, with what earlier checks did not pass.

    Args:
        session: The run's lake.
        instance: Keeps which batches have passed their checks.
        stream: The stream; its raw table exists.
        log: Its log.

    Raises:
        MillraceError: As Ingestor.run does.
    """
    key, contract = raw_key(stream.name), raw_contract(stream)
    report = session.ingestor.run(stream, log, decode=decoder(stream.format))
    checked = CheckedBatches(instance)
    since, newest = checked.last(stream.name), report.newest_batch_id
    if since > newest or since == report.batch_id:
        # The lake was restored to before that batch: what was good is not what is there now.
        since = 0
        checked.advance({stream.name: since})
    results = [
        prove_ledger(session.lake, stream, since_batch=since),
        *run_contract(session.lake, contract, key, since_batch=since),
    ]
    if since != newest and all(result.passed for result in results):
        checked.advance({stream.name: newest})
    if newest and not any(breaks(result) for result in results):
        session.released[stream.name] = newest
    return Landed(_metadata(report, session), results)


def breaks(check: AssetCheckResult) -> bool:
    """Whether a check of a raw table holds back what follows from it: errors do."""
    return not check.passed and check.severity == AssetCheckSeverity.ERROR


def _metadata(report: BatchReport, session: LakeSession) -> dict[str, Any]:
    """What an operator wants to see of a batch."""
    windows = TableSchema([TableColumn("partition"), TableColumn("start", "int"), TableColumn("end", "int")])
    metadata: dict[str, Any] = {
        "dagster/row_count": report.events_landed,
        "events_read": report.events_read,
        "events_rejected": report.events_rejected,
        "bytes_read": report.bytes_read,
        "lag_events": report.lag_events,
        "stalls": report.stalls,
        "seconds": MetadataValue.json(dict(report.seconds)),
        "snapshot_id": session.lake.snapshot_id(),
        "positions": MetadataValue.table(
            [
                TableRecord({"partition": name, "start": window.start, "end": window.end})
                for name, window in sorted(report.windows.items())
            ],
            schema=windows,
        ),
    }
    if report.batch_id is not None:
        metadata |= {"batch_id": report.batch_id, "load_id": str(report.load_id)}
    return metadata
