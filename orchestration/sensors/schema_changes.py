"""Streams whose newest schema lacks what they declare: a breaking change that somebody has to know of."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta

from ingestion.watch.evolution import Evolution
from orchestration.conditions.condition import Finding

FORGOTTEN = timedelta(days=7)
"""After so long a change is how things are: `millrace status` goes on showing it."""
_MOST_FIELDS = 5


def schema_changes(found: Mapping[str, Iterable[Evolution]], *, now: datetime) -> Iterator[Finding]:
    """The streams of which declared fields were touched lately.

    Args:
        found: Stream → how its schemas have changed.
        now: UTC.
    """
    for stream, evolutions in found.items():
        parts = [
            f"'{each.field}' ({each.what} since {evolution.label(each.version)}, "
            f"{each.since:%Y-%m-%d %H:%M} UTC)"
            for evolution in evolutions
            for each in evolution.touched
            if now - each.since < FORGOTTEN
        ]
        if not parts:
            continue
        more = f"; and {len(parts) - _MOST_FIELDS} more" if len(parts) > _MOST_FIELDS else ""
        yield Finding(
            "schema_changed", stream,
            f"Stream '{stream}' declares fields that its newest schema does not have so, and which may be "
            f"null in newer events: {'; '.join(parts[:_MOST_FIELDS])}{more}",
            "Declare them in streams.yml as they are sent now, or have the senders restore them; "
            f"{FORGOTTEN.days} days after the change this closes by itself.",
        )  # fmt: skip
