"""`millrace replay`: land what is missing of a window, and rebuild the models that follow from the stream."""

import dataclasses
import json
import sys
from collections.abc import Sequence

from rich.markup import escape

from ingestion.declare.decoding import decoder_of
from ingestion.declare.logs import open_logs
from ingestion.declare.stream import Stream
from ingestion.lake.lake import Lake
from ingestion.land.redecode import RedecodeReport, redecode
from ingestion.land.replay import ReplayReport, parse_bound
from ingestion.land.replay import replay as replay_events
from ingestion.migrate.prepare import prepare_lake
from ingestion.settings import Settings
from orchestration.cli.context import announce, err, out
from orchestration.cli.tables import table
from orchestration.dbt.project import FULL_SCAN, NO_ASSETS, ParsedModels, parse_models
from orchestration.dbt.runner import build_args, invoke


def replay(
    settings: Settings,
    streams: Sequence[Stream],
    stream: Stream,
    *,
    since: str | None,
    until: str | None,
    models: bool,
    as_json: bool,
) -> None:
    """Do it and show what was found.

    Args:
        settings: Where everything is.
        streams: The declared streams.
        stream: The one to replay.
        since: A position or a time, as text.
        until: End of the window (exclusive): a position or a time, as text.
        models: Rebuild the stream's models too.
        as_json: Print JSON.
    """
    first, last = parse_bound(since), parse_bound(until)
    with Lake(settings) as lake, open_logs([stream], settings) as logs:
        prepare_lake(lake, (each.name for each in streams), progress=announce)
        with err.status(f"{stream.name}: comparing broker and lake …"):
            report = replay_events(
                lake,
                stream.name,
                log=logs[stream.name],
                decode=decoder_of(stream, settings),
                since=first,
                until=last,
            )
        lake.publish_access()
    _finish(settings, streams, stream, report, models=models, as_json=as_json)


def replay_from_raw(
    settings: Settings, streams: Sequence[Stream], stream: Stream, *, models: bool, as_json: bool
) -> None:
    """Decode the bytes that raw keeps again, and show what changed.

    Args:
        settings: Where everything is.
        streams: The declared streams.
        stream: The one to decode again.
        models: Rebuild the stream's models too.
        as_json: Print JSON.
    """
    with Lake(settings) as lake:
        prepare_lake(lake, (each.name for each in streams), progress=announce)
        with err.status(f"{stream.name}: decoding what raw keeps …"):
            report = redecode(lake, stream.name, decode=decoder_of(stream, settings, with_keys=False))
        lake.publish_access()
    _finish(settings, streams, stream, report, models=models, as_json=as_json)


def _finish(
    settings: Settings,
    streams: Sequence[Stream],
    stream: Stream,
    report: ReplayReport | RedecodeReport,
    *,
    models: bool,
    as_json: bool,
) -> None:
    rebuilt = None
    if models:
        with err.status(f"{stream.name}: rebuilding models …"):
            rebuilt = _rebuild(settings, streams, stream)
    if as_json:
        json.dump(dataclasses.asdict(report) | {"models_rebuilt": rebuilt}, sys.stdout, indent=2)
        sys.stdout.write("\n")
        return
    if isinstance(report, ReplayReport):
        _show(report)
    else:
        _show_redecoded(report)
    if rebuilt is not None:
        out.print(f"{rebuilt:,} models rebuilt")


def _rebuild(settings: Settings, streams: Sequence[Stream], stream: Stream) -> int:
    """Build the stream's models from all of raw, every model where one is missing; returns how many."""
    parsed = parse_models(settings, streams)
    # A model may read another stream's, which a lake where nothing ran yet does not have.
    select = ["resource_type:seed", f"source:raw.{stream.name}+"] if _all_exist(settings, parsed) else []
    args = build_args(
        "build",
        select=select,
        exclude=[FULL_SCAN, NO_ASSETS],
        full_refresh=True,
    )
    nodes = invoke(parsed.project, args).nodes
    return sum(node.unique_id.startswith("model.") and node.status == "success" for node in nodes)


def _all_exist(settings: Settings, parsed: ParsedModels) -> bool:
    with Lake(settings, read_only=True) as lake:
        return lake.tables() >= parsed.tables().keys()


def _show(report: ReplayReport) -> None:
    numbers = ("broker", "raw", "landed", "rejected")
    made = table("partition", "window", *numbers, right=numbers)
    for row in report.partitions:
        counts = (row.in_broker, row.in_raw, row.landed, row.undecodable)
        made.add_row(
            escape(row.partition), f"{row.start:,} – {row.end:,}", *(f"{number:,}" for number in counts)
        )
    out.print(made)
    if report.warning:
        out.print(report.warning, markup=False)
    if report.batch_ids:
        out.print(f"landed in batch {', '.join(map(str, report.batch_ids))}", markup=False)


def _show_redecoded(report: RedecodeReport) -> None:
    out.print(
        f"{report.read:,} events of which raw keeps the bytes, {report.changed:,} have another text now"
    )
    if report.refused:
        out.print(
            f"{report.refused:,} are refused today and keep their text; the first is {report.example}",
            markup=False,
        )
