"""The check that no field which most events had has gone. The rule is in ingestion/watch/missing.py."""

from datetime import UTC

from dagster import AssetCheckResult, AssetCheckSeverity, AssetCheckSpec, AssetKey

from ingestion.declare.stream import Stream
from ingestion.lake.lake import Lake
from ingestion.watch.missing import Missing, missing_fields
from orchestration.keys import WARNING

MISSING_CHECK = "missing_fields"


def missing_spec(key: AssetKey) -> AssetCheckSpec:
    """The check of a staging model; it holds nothing back."""
    return AssetCheckSpec(
        MISSING_CHECK,
        asset=key,
        description="No declared field that most events had is missing in all newer ones.",
    )


def missing_result(lake: Lake, key: AssetKey, stream: Stream) -> AssetCheckResult:
    """Run the check."""
    found = missing_fields(lake, stream)
    text = "; ".join(_sentence(each, stream) for each in found)
    return AssetCheckResult(
        asset_key=key,
        check_name=MISSING_CHECK,
        passed=not found,
        severity=AssetCheckSeverity.WARN,
        description=f"{WARNING}{text}" if found else None,
        metadata={
            "outcome": "warned" if found else "passed",
            "measured": len(found),
            "threshold": "0 fields",
            "snapshot_id": lake.snapshot_id(),
            "fields": {
                each.field: {
                    "last_at": each.last_at.isoformat(),
                    "events_since": each.events,
                    "share_before": round(each.share, 6),
                    "new_key": each.new_key,
                }
                for each in found
            },
        },
    )


def _sentence(each: Missing, stream: Stream) -> str:
    likely = f"; '{each.new_key}' is a new key since then, perhaps its new name" if each.new_key else ""
    return (
        f"{each.field} was in {each.share:.0%} of the events of {stream.name} until "
        f"{each.last_at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC and in none of the {each.events:,} after that"
        f"{likely}: correct its path in streams.yml, or the sender, or remove the field"
    )
