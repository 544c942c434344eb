"""`millrace ingest`: one micro-batch of each stream, without Dagster."""

import dataclasses
import difflib
import json
import sys
from collections.abc import Sequence

from ingestion.declare.file import declared_names
from ingestion.declare.logs import open_logs
from ingestion.declare.stream import Stream
from ingestion.errors import ConfigError, MillraceError
from ingestion.lake.lake import Lake
from ingestion.land.batch import Ingestor
from ingestion.land.report import BatchReport
from ingestion.land.traced import land_traced
from ingestion.migrate.prepare import prepare_lake
from ingestion.settings import Settings
from ingestion.telemetry.run_trace import RunTrace
from orchestration.cli.context import announce, complain, err, out
from orchestration.garbage import uncollected


def choose(streams: Sequence[Stream], names: Sequence[str], *, settings: Settings) -> tuple[Stream, ...]:
    """The named streams; all of them when none is named.

    Args:
        streams: Those that can be used.
        names: As the command line has them.
        settings: Where they are declared.

    Raises:
        ConfigError: A name is not declared, and the likely one is suggested; or its stream waits.
    """
    known = {stream.name: stream for stream in streams}
    for name in names:
        if name not in known and name in declared_names(settings.streams_file):
            raise ConfigError(
                f"stream '{name}' waits for the schema that its fields come from, so it cannot be used yet: "
                "start the schema registry, correct MILLRACE_SCHEMA_REGISTRY_URL, or declare 'fields' in "
                "streams.yml; 'millrace doctor' says what the registry answers"
            )
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean '{close[0]}'?" if close else f"declared are {', '.join(known) or 'none'}"
            raise ConfigError(f"stream '{name}' is not declared in streams.yml; {hint}")
    return tuple(known[name] for name in dict.fromkeys(names)) if names else tuple(streams)


def ingest(settings: Settings, streams: Sequence[Stream], *, as_json: bool) -> int:
    """Run one batch of each and say what it did.

    Returns:
        How many streams failed; the others are in the lake all the same.
    """
    lake, trace = Lake(settings), RunTrace(settings, part="ingest")
    failures = 0
    try:
        prepare_lake(lake, (stream.name for stream in streams), progress=announce)
        with uncollected():
            ingestor = Ingestor(lake, looks_for_producers=trace.is_on)
        with open_logs(streams, settings) as logs:
            for stream in streams:
                try:
                    with err.status(f"{stream.name}: reading …"):
                        report = land_traced(
                            ingestor, stream, logs[stream.name], settings=settings, trace=trace
                        )
                except MillraceError as error:
                    failures += 1
                    _say_error(stream.name, str(error), as_json=as_json)
                else:
                    failures += bool(report.notes)
                    _say(report, as_json=as_json)
    finally:
        lake.close()
        trace.close()
    return failures


def _say(report: BatchReport, *, as_json: bool) -> None:
    for note in () if as_json else report.notes:
        complain(note)
    if as_json:
        json.dump(dataclasses.asdict(report), sys.stdout)
        sys.stdout.write("\n")
    elif report.batch_id is None:
        out.print(f"{report.stream}: nothing new")
    else:
        rejected = f", {report.events_rejected:,} rejected" if report.events_rejected else ""
        left = f"; {report.lag_events:,} left" if report.lag_events else ""
        out.print(
            f"{report.stream}: batch {report.batch_id}, {report.events_landed:,} events landed{rejected}, "
            f"{report.bytes_read / 2**20:.1f} MiB in {sum(report.seconds.values()):.1f} s{left}"
        )


def _say_error(stream: str, message: str, *, as_json: bool) -> None:
    if as_json:
        json.dump({"stream": stream, "error": message}, sys.stdout)
        sys.stdout.write("\n")
    else:
        complain(message)
