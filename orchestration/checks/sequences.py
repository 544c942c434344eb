"""The check of a stream whose senders number their events: how many are missing, by its limits.

What is open is also noted for the supervisor, whose condition outlives the run (conditions/gaps.py).
"""

from dagster import AssetCheckResult, AssetCheckSeverity, AssetCheckSpec, AssetKey

from ingestion.clock import utc_now
from ingestion.declare.stream import Stream
from ingestion.lake.lake import Lake
from ingestion.watch.sequences import described, is_built, missing_now, open_gaps
from orchestration.conditions.gaps import note_gaps
from orchestration.keys import WARNING

SEQUENCE_CHECK = "sequence_gaps"


def sequence_spec(key: AssetKey, stream: Stream) -> AssetCheckSpec | None:
    """The check of a staging model; None where its stream declares no sequence."""
    if stream.sequence is None:
        return None
    return AssetCheckSpec(
        SEQUENCE_CHECK,
        asset=key,
        description=f"No number of a sender's '{stream.sequence.field}' is missing for more than "
        f"{stream.sequence.late_minutes} minutes.",
    )


def sequence_result(lake: Lake, key: AssetKey, stream: Stream) -> AssetCheckResult | None:
    """Run the check; None where the stream declares no sequence."""
    sequence = stream.sequence
    if sequence is None:
        return None
    if not is_built(lake):
        text = f"Whether events of {stream.name} are missing is not known: ops_sequence_gaps is not built"
        return _result(key, "could_not_run", text, measured=None, limit=sequence.warn, lake=lake)
    gaps = open_gaps(lake, stream.name)
    note_gaps(lake.settings.data_dir, stream.name, gaps)
    missing = missing_now(gaps, sequence, now=utc_now())
    failed = sequence.fail is not None and missing.numbers > sequence.fail
    outcome = "failed" if failed else "warned" if missing.numbers > sequence.warn else "passed"
    limit = sequence.fail if failed and sequence.fail is not None else sequence.warn
    allowed = f"at most {limit:,} may be missing" if limit else "none may be missing"
    text = "" if not missing.numbers else f"{described(missing, stream.name)} ({allowed})"
    return _result(key, outcome, text, measured=missing.numbers, limit=limit, lake=lake)


def _result(
    key: AssetKey, outcome: str, text: str, *, measured: int | None, limit: int, lake: Lake
) -> AssetCheckResult:
    hard = outcome in ("failed", "could_not_run")
    counted = {} if measured is None else {"measured": measured}
    return AssetCheckResult(
        asset_key=key,
        check_name=SEQUENCE_CHECK,
        passed=outcome == "passed",
        severity=AssetCheckSeverity.ERROR if hard else AssetCheckSeverity.WARN,
        description=None if outcome == "passed" else f"{WARNING if outcome == 'warned' else ''}{text}",
        metadata={
            "outcome": outcome,
            "threshold": f"at most {limit:,} missing",
            "snapshot_id": lake.snapshot_id(),
            **counted,
        },
    )
