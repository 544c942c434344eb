"""A publication's spans: one in the trace of each cycle whose marts it published."""

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

from ingestion.telemetry.handed_on import handed_on
from ingestion.telemetry.spans import Spans, Values


def trace_publication(
    spans: Spans,
    data_dir: Path,
    versions: Mapping[str, int],
    *,
    before: Mapping[str, int],
    rows: Mapping[str, int],
    began: float,
    ended: float,
) -> None:
    """Make the spans.

    Args:
        spans: The publisher's.
        data_dir: The data folder; its runs note there which cycle built a mart.
        versions: Mart → the version of the lake that it shows now.
        before: Mart → the version that it showed until then.
        rows: Mart → how many of its rows changed.
        began: In seconds since 1970.
        ended: The same.
    """
    cycles = defaultdict[str, list[str]](list)
    for mart, snapshot in sorted(versions.items()):
        traceparent = handed_on(data_dir, mart, since=before.get(mart, 0), until=snapshot)
        if traceparent:
            cycles[traceparent].append(mart)
    for traceparent, marts in cycles.items():
        values: Values = {"millrace.marts": marts, "millrace.rows": sum(rows.get(mart, 0) for mart in marts)}
        spans.begin("publish", at=began, parent=traceparent, values=values).end(ended)
