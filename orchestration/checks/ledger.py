"""The ledger's proof as asset checks: windows join, and read = landed + rejected = rows found.

Over what is new with every batch (`ledger_proof`), over everything on a schedule (`ledger_audit`).
"""

from collections.abc import Iterator, Sequence

from dagster import (
    AssetCheckExecutionContext,
    AssetCheckResult,
    AssetChecksDefinition,
    AssetCheckSeverity,
    AssetCheckSpec,
    MetadataValue,
    multi_asset_check,
)

from ingestion.declare.logs import open_log
from ingestion.declare.stream import Stream
from ingestion.lake.lake import Lake
from ingestion.lake.ledger import prove
from ingestion.land.session import LakeSession
from ingestion.watch.against_log import compare_with_log
from orchestration.checks.audits import fails_with_its_checks, hourly
from orchestration.keys import LEDGER_AUDIT, LEDGER_CHECK, WARNING, raw_key

_BROKER_SECONDS = 5.0
_MARKS = ("oldest", "ours", "next")


def ledger_check_spec(stream: Stream) -> AssetCheckSpec:
    """The check's declaration; a defect holds back the models downstream."""
    return AssetCheckSpec(
        LEDGER_CHECK,
        asset=raw_key(stream.name),
        description="No position is missing or appears twice, and every event read is landed or rejected.",
        blocking=True,
    )


def ledger_audit(streams: Sequence[Stream]) -> AssetChecksDefinition:
    """The proof over all batches of all streams, as one op."""
    specs = [
        AssetCheckSpec(
            LEDGER_AUDIT,
            asset=raw_key(stream.name),
            description="The ledger's proof over all batches, and the broker has deleted no unread event.",
        )
        for stream in streams
    ]

    @multi_asset_check(
        name=LEDGER_AUDIT, specs=hourly(specs), can_subset=True, required_resource_keys={"lake_session"}
    )
    @fails_with_its_checks
    def audit(context: AssetCheckExecutionContext) -> Iterator[AssetCheckResult]:
        session: LakeSession = context.resources.lake_session
        wanted = {key.asset_key for key in context.selected_asset_check_keys}
        for stream in streams:
            if raw_key(stream.name) in wanted:
                yield audit_ledger(session, stream)

    return audit


def audit_ledger(session: LakeSession, stream: Stream) -> AssetCheckResult:
    """The proof over all batches, and a comparison with the broker: is an unread event lost, or soon lost?"""
    proof = prove_ledger(session.lake, stream, check_name=LEDGER_AUDIT)
    log = open_log(stream, session.settings, timeout_seconds=_BROKER_SECONDS)
    try:
        found = compare_with_log(session.lake, stream, log=log)
    finally:
        log.close()
    failed = bool(found.defects) or not proof.passed
    sentences = [proof.description or "", *found.defects[:3], *found.warnings[:3]]
    marks = {name: dict(zip(_MARKS, each, strict=True)) for name, each in found.marks.items()}
    return proof._replace(
        passed=not failed and not found.warnings,
        severity=AssetCheckSeverity.ERROR if failed else AssetCheckSeverity.WARN,
        description=(WARNING if found.warnings and not failed else "") + "; ".join(filter(None, sentences))
        or None,
        metadata={
            **proof.metadata,
            "outcome": MetadataValue.text("failed" if failed else "warned" if found.warnings else "passed"),
            "broker": MetadataValue.json(marks),
        },
    )


def prove_ledger(
    lake: Lake, stream: Stream, *, since_batch: int = 0, check_name: str = LEDGER_CHECK
) -> AssetCheckResult:
    """Run the proof.

    Args:
        lake: The lake.
        stream: The stream.
        since_batch: Only the batches after this one are looked at.
        check_name: The check that this answers.
    """
    proof = prove(lake, stream.name, since_batch=since_batch)
    return AssetCheckResult(
        check_name=check_name,
        asset_key=raw_key(stream.name),
        passed=not proof.defects,
        severity=AssetCheckSeverity.ERROR,
        description="; ".join(defect.message for defect in proof.defects[:3]) or None,
        metadata={
            "outcome": "failed" if proof.defects else "passed",
            "measured": len(proof.defects),
            "threshold": "0 defects",
            "batches_checked": proof.batches,
            "events_read": proof.events_read,
            "since_batch": since_batch,
            "snapshot_id": lake.snapshot_id(),
            "query": MetadataValue.md("\n\n".join(f"```sql\n{query}\n```" for query in proof.queries)),
        },
    )
