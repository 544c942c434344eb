"""`millrace gaps`: events that a sender has numbered and that never came, and giving them up."""

import dataclasses
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from orchestration.cli.commands.options import AsJson
from orchestration.cli.context import announce, out

if TYPE_CHECKING:
    from ingestion.declare.stream import Stream
    from ingestion.lake.lake import Lake

app = typer.Typer(help="List numbers that are missing of a stream's senders, or accept them as lost.")

StreamName = Annotated[str, typer.Argument(help="Which stream; it declares a 'sequence'.")]


@app.command("list")
def show_list(
    context: typer.Context,
    stream: StreamName,
    limit: Annotated[int, typer.Option("--limit", min=1, help="Rows shown in the table.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List the gaps of a stream that are open, the oldest first."""
    with _lake(context, stream) as (lake, _):
        from ingestion.watch.sequences import open_gaps

        found = open_gaps(lake, stream)
    if as_json:
        _write([dataclasses.asdict(gap) for gap in found])
        return
    if not found:
        out.print("no open gaps")
        return
    from rich.markup import escape

    from ingestion.clock import utc_now
    from orchestration.cli.tables import age, table

    made = table("sender", "from", "to", "missing", "since", "noticed", right=("from", "to", "missing"))
    now = utc_now()
    for gap in found[:limit]:
        since = f"{gap.last_before_at:%Y-%m-%d %H:%M:%S}" if gap.last_before_at else ""
        made.add_row(
            escape(gap.sender), str(gap.first_number), str(gap.last_number), f"{gap.missing:,}", since,
            age(gap.opened_at, now=now),
        )  # fmt: skip
    out.print(made)
    if len(found) > limit:
        out.print(f"the oldest {limit:,} of {len(found):,}; --limit shows more")


@app.command()
def accept(
    context: typer.Context,
    stream: StreamName,
    note: Annotated[str, typer.Option("--note", help="Why they need no more attention.")],
    sender: Annotated[str | None, typer.Option("--sender", help="Of this sender only, as listed.")] = None,
    as_json: AsJson = False,
) -> None:
    """Accept the open gaps of a stream as lost: they stay in the marts, and nobody is warned of them."""
    with _lake(context, stream) as (lake, _):
        from ingestion.land.accepted_gaps import accept_gaps
        from ingestion.watch.sequences import open_gaps
        from orchestration.conditions.gaps import note_gaps

        gaps, numbers = accept_gaps(lake, stream, note=note, sender=sender)
        note_gaps(lake.settings.data_dir, stream, open_gaps(lake, stream))
    if as_json:
        _write({"stream": stream, "sender": sender, "gaps": gaps, "missing": numbers})
    else:
        out.print(f"{stream}: {gaps:,} gaps accepted, of {numbers:,} events", markup=False)


@contextmanager
def _lake(context: typer.Context, stream: str) -> "Iterator[tuple[Lake, Stream]]":
    """The lake with the gaps of a stream that declares a sequence."""
    from ingestion.errors import ConfigError
    from ingestion.lake.lake import Lake
    from ingestion.migrate.prepare import prepare_lake
    from ingestion.watch.sequences import is_built
    from orchestration.cli.ingest import choose

    settings = context.obj.settings()
    declared = context.obj.streams(settings)
    (chosen,) = choose(declared, [stream], settings=settings)
    if chosen.sequence is None:
        raise ConfigError(
            f"stream '{stream}' declares no sequence: add 'sequence: {{per: …, field: …}}' to "
            "streams.yml, with the field that says whose counter it is and the field that counts"
        )
    with Lake(settings) as lake:
        prepare_lake(lake, (each.name for each in declared), progress=announce)
        if not is_built(lake):
            raise ConfigError(
                "ops_sequence_gaps is not built yet: it is with the stream's next events, or by "
                "'dbt build --target prod'"
            )
        yield lake, chosen


def _write(document: object) -> None:
    json.dump(document, sys.stdout, default=datetime.isoformat, indent=2)
    sys.stdout.write("\n")
