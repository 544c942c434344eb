"""A reaction's spans: one for each try, in the traces of the cycles that found what it is about."""

import time
from collections import Counter
from collections.abc import Sequence

from ingestion.telemetry.spans import Spans, Values
from orchestration.reactions.entries import Entry


def trace_try(spans: Spans, reaction: str, entries: Sequence[Entry], *, began: float, failed: bool) -> None:
    """Make the spans of a message; what was found by nothing that is traced has none.

    Args:
        spans: The supervisor's.
        reaction: Its name.
        entries: What the message says.
        began: In seconds since 1970.
        failed: Whether it was not taken. Why, the ledger of reactions says.
    """
    ended = time.time()
    alerts = Counter(str(each.notice.content.get("traceparent", "")) for each in entries)
    for traceparent, count in alerts.items():
        if traceparent:
            values: Values = {
                "millrace.reaction": reaction,
                "millrace.alerts": count,
                "millrace.tries": _tries(entries),
            }
            span = spans.begin(f"react {reaction}", at=began, parent=traceparent, values=values)
            span.end(ended, failure="the receiver did not take it" if failed else "")


def _tries(entries: Sequence[Entry]) -> int:
    return max(each.attempts for each in entries) + 1
