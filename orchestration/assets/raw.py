"""One asset per stream: a micro-batch lands in raw.<stream>, then its ledger and contract are checked.

What a batch does and how it is checked is in run/land.py; this file declares it to Dagster.
"""

from collections.abc import Iterator, Sequence

from dagster import AssetExecutionContext, AssetsDefinition, AssetSpec, MaterializeResult, asset

from ingestion.declare.logs import open_log
from ingestion.declare.stream import Stream
from ingestion.land.session import LakeSession
from orchestration.checks.adapter import check_specs
from orchestration.checks.incomplete import incomplete_specs
from orchestration.checks.ledger import ledger_check_spec
from orchestration.checks.raw_contracts import raw_contract
from orchestration.keys import RAW_GROUP, SOURCES_GROUP, raw_key, source_key
from orchestration.run.land import RAW_VERSION, ingest_batch


def source_specs(streams: Sequence[Stream]) -> list[AssetSpec]:
    """The brokers' topics, as assets that are not made here."""
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
    """The tables that the loads of all streams share."""
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
        owners=list(stream.owners),
        tags=dict.fromkeys(stream.tags, ""),
        description=f"{stream.description}\n\nEvents of `{stream.source.origin}` as they came. "
        "One row per event.",
        check_specs=[
            ledger_check_spec(stream),
            *check_specs(contract, key, blocking=True),
            *incomplete_specs(stream),
        ],
        required_resource_keys={"lake_session"},
        op_tags={"millrace/stream": stream.name},
    )
    def ingest(context: AssetExecutionContext) -> Iterator[MaterializeResult[None]]:
        session: LakeSession = context.resources.lake_session
        log = open_log(stream, session.settings)
        try:
            session.lake.prepare([stream.name])
            landed = ingest_batch(session, context.instance, stream, log, run_id=context.run_id)
        finally:
            log.close()
        yield MaterializeResult(
            metadata=landed.metadata, check_results=landed.checks, data_version=RAW_VERSION
        )

    return ingest
