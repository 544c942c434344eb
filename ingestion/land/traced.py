"""One batch as a span of a trace: its figures, the producers' traces, and its own steps.

How spans are made and sent: ingestion/telemetry. Where traces are off, nothing here costs more than a call.
"""

import time

from ingestion.declare.decoding import decoder_of
from ingestion.declare.stream import Stream
from ingestion.land.batch import Ingestor
from ingestion.land.report import BatchReport
from ingestion.log.port import Log
from ingestion.settings import Settings
from ingestion.telemetry.run_trace import RunTrace, Step

_MOST_PARTITIONS = 32


def land_traced(
    ingestor: Ingestor, stream: Stream, log: Log, *, settings: Settings, trace: RunTrace
) -> BatchReport:
    """Bring one batch of a stream into the lake, as a step of a trace.

    Args:
        ingestor: Over the lake.
        stream: A declared stream; its raw table exists.
        log: Its log.
        settings: For its decoder.
        trace: What the step is a part of.

    Raises:
        MillraceError: As Ingestor.run raises them, or the decoder cannot be made.
    """
    began, named = time.time(), {"millrace.stream": stream.name, "messaging.system": stream.kind}
    with trace.step(f"load {stream.name}", consumes=True, values=named) as step:
        report = ingestor.run(stream, log, decode=decoder_of(stream, settings))
        if trace.is_on:
            _say(trace, step, report, began=began)
    return report


def _say(trace: RunTrace, step: Step, report: BatchReport, *, began: float) -> None:
    step.add(
        {
            "millrace.batch": report.batch_id or 0,
            "millrace.events": report.events_read,
            "millrace.events_landed": report.events_landed,
            "millrace.events_rejected": report.events_rejected,
            "millrace.bytes": report.bytes_read,
            "millrace.events_unread": report.lag_events,
            "millrace.events_with_trace": report.producers.events,
            "millrace.positions": [
                f"{name} {window.start}..{window.end}"
                for name, window in sorted(report.windows.items())[:_MOST_PARTITIONS]
            ],
        }
    )
    step.link(report.producers.traceparents)
    at = began
    for name, seconds in report.seconds.items():
        trace.record(name, began=at, ended=at + seconds)
        at += seconds
