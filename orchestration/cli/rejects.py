"""`millrace rejects`: what could not be decoded, and its way back into the lake."""

import dataclasses
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from orchestration.cli.commands.options import AsJson
from orchestration.cli.context import announce, err, out

if TYPE_CHECKING:
    from ingestion.declare.stream import Stream
    from ingestion.lake.lake import Lake
    from ingestion.land.rejects import Reject

app = typer.Typer(help="List what could not be decoded, try it again, or dismiss it with a note.")

StreamName = Annotated[str, typer.Argument(help="Which stream.")]
EventIds = Annotated[list[str] | None, typer.Argument(help="Which events, as in orders-0@17.")]
Reason = Annotated[str | None, typer.Option("--reason", help="With this reason only, as in not_json.")]


@app.command("list")
def show_list(
    context: typer.Context,
    stream: Annotated[str | None, typer.Argument(help="Which stream; all when none is named.")] = None,
    reason: Reason = None,
    everything: Annotated[bool, typer.Option("--all", help="Landed and dismissed ones too.")] = False,
    limit: Annotated[int, typer.Option("--limit", min=1, help="Rows shown in the table.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List rejects, the newest last."""
    with _lake(context, stream) as (lake, _):
        from ingestion.land.rejects import list_rejects

        found = list_rejects(lake, stream, reason=reason, open_only=not everything)
    if as_json:
        _write([dataclasses.asdict(reject) for reject in found])
        return
    if not found:
        out.print("no rejects" if everything else "no open rejects")
        return
    out.print(_table(found[-limit:]))
    if len(found) > limit:
        out.print(f"the newest {limit:,} of {len(found):,}; --limit shows more")


@app.command()
def show(
    context: typer.Context,
    stream: StreamName,
    event_id: Annotated[str, typer.Argument(help="Which event, as in orders-0@17.")],
    as_json: AsJson = False,
) -> None:
    """Show one reject with its bytes."""
    with _lake(context, stream) as (lake, _):
        from ingestion.land.rejects import show as look

        reject, payload = look(lake, stream, event_id)
    text = None if payload is None else payload.decode("utf-8", "backslashreplace")
    if as_json:
        raw = None if payload is None else payload.hex()
        _write(dataclasses.asdict(reject) | {"payload": text, "payload_hex": raw})
        return
    for name, value in dataclasses.asdict(reject).items():
        if value not in (None, ""):
            out.print(f"{name:16} {value}", markup=False)
    out.print(
        "payload" if text is not None else "payload          was not kept: it was over the limit of size"
    )
    if text is not None:
        out.print(text, markup=False)


@app.command()
def retry(
    context: typer.Context,
    stream: StreamName,
    event_ids: EventIds = None,
    reason: Reason = None,
    as_json: AsJson = False,
) -> None:
    """Decode kept bytes again and land what decodes now. Exit 1 if some still does not."""
    with _lake(context, stream) as (lake, chosen), err.status(f"{stream}: decoding again …"):
        from ingestion.declare.decoding import decoder_of
        from ingestion.land.resolutions import retry as try_again

        report = try_again(
            lake,
            stream,
            decode=decoder_of(chosen[0], lake.settings),
            event_ids=event_ids or (),
            reason=reason,
        )
    if as_json:
        _write(dataclasses.asdict(report))
    else:
        batches = f" (batch {', '.join(map(str, report.batch_ids))})" if report.batch_ids else ""
        out.print(
            f"{stream}: {report.landed:,} landed{batches}, {report.still_rejected:,} still cannot be "
            f"decoded, {report.not_kept:,} whose bytes were not kept",
            markup=False,
        )
        if report.landed:
            out.print("models read them with the stream's next batch, or when the job 'refresh' is launched")
    raise typer.Exit(int(bool(report.still_rejected or report.not_kept)))


@app.command()
def resolve(
    context: typer.Context,
    stream: StreamName,
    note: Annotated[str, typer.Option("--note", help="Why they need no more attention.")],
    event_ids: EventIds = None,
    reason: Reason = None,
    as_json: AsJson = False,
) -> None:
    """Dismiss open rejects: their bytes stay, but they are no longer listed."""
    with _lake(context, stream) as (lake, _):
        from ingestion.land.resolutions import resolve as dismiss

        count = dismiss(lake, stream, note=note, event_ids=event_ids or (), reason=reason)
    if as_json:
        _write({"stream": stream, "dismissed": count})
    else:
        out.print(f"{stream}: {count:,} dismissed", markup=False)


@contextmanager
def _lake(context: typer.Context, stream: str | None) -> "Iterator[tuple[Lake, tuple[Stream, ...]]]":
    """The lake, and the chosen streams: the named one, or all."""
    from ingestion.lake.lake import Lake
    from ingestion.migrate.prepare import prepare_lake
    from orchestration.cli.ingest import choose

    settings = context.obj.settings()
    declared = context.obj.streams(settings)
    chosen = choose(declared, [stream] if stream else (), settings=settings)
    with Lake(settings) as lake:
        prepare_lake(lake, (each.name for each in declared), progress=announce)
        yield lake, chosen


def _table(rejects: "Sequence[Reject]") -> object:
    from rich.markup import escape

    from ingestion.clock import utc_now
    from orchestration.cli.tables import age, table

    made = table("stream", "event", "reason", "bytes", "kept", "rejected", "state", "", right=("bytes",))
    now = utc_now()
    for reject in rejects:
        made.add_row(
            reject.stream,
            escape(reject.event_id),
            reject.reason,
            f"{reject.payload_bytes:,}",
            "yes" if reject.kept else "no",
            age(reject.ingested_at, now=now),
            reject.outcome,
            escape(reject.note or reject.detail),
        )
    return made


def _write(document: object) -> None:
    json.dump(document, sys.stdout, default=datetime.isoformat, indent=2)
    sys.stdout.write("\n")
