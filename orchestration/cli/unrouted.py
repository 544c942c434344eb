"""`millrace unrouted`: messages that a collector kept because no stream takes them."""

import dataclasses
import json
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orchestration.cli.commands.options import AsJson
from orchestration.cli.context import announce, err, out

if TYPE_CHECKING:
    from ingestion.connectors.spec import SourceSpec
    from ingestion.settings import Settings

app = typer.Typer(help="List messages that no stream takes, give them to a stream, or discard them.")

TopicFilter = Annotated[
    str, typer.Option("--topic", help="Of these topics, written as in the stream's source.")
]


@app.command("list")
def show_list(context: typer.Context, as_json: AsJson = False) -> None:
    """List the topics of messages that no stream takes."""
    from ingestion.land.unrouted import topics

    found = {folder.name: topics(folder) for folder in _folders(context.obj.settings())}
    if as_json:
        rows = [
            dataclasses.asdict(each) | {"kept_in": name} for name, every in found.items() for each in every
        ]
        json.dump(rows, sys.stdout, default=datetime.isoformat, indent=2)
        sys.stdout.write("\n")
        return
    if not any(found.values()):
        out.print("no messages wait for a stream")
        return
    from rich.markup import escape

    from ingestion.clock import utc_now
    from orchestration.cli.tables import age, table

    made = table("topic", "messages", "bytes", "oldest", "newest", right=("messages", "bytes"))
    now = utc_now()
    for each in [each for every in found.values() for each in every]:
        made.add_row(
            escape(each.topic) or "(not UTF-8)", f"{each.messages:,}", f"{each.payload_bytes:,}",
            age(each.first_at, now=now), age(each.last_at, now=now),
        )  # fmt: skip
    out.print(made)


@app.command()
def give(
    context: typer.Context,
    stream: Annotated[str, typer.Argument(help="Which stream.")],
    topic: TopicFilter = "",
    everything: Annotated[bool, typer.Option("--all", help="Whatever their topic.")] = False,
    as_json: AsJson = False,
) -> None:
    """Land messages in a stream: those of its own topics, or of others. Exit 1 if some cannot be decoded."""
    from ingestion.declare.decoding import decoder_of
    from ingestion.lake.lake import Lake
    from ingestion.land.unrouted import Given
    from ingestion.land.unrouted import give as give_to
    from ingestion.migrate.prepare import prepare_lake
    from orchestration.cli.ingest import choose

    settings = context.obj.settings()
    (chosen,) = choose(context.obj.streams(settings), [stream], settings=settings)
    source = type(chosen.source).model_validate({chosen.kind: topic}) if topic else chosen.source
    with Lake(settings) as lake, err.status(f"{stream}: landing …"):
        prepare_lake(lake, [stream], progress=announce)
        reports = [
            give_to(
                lake, stream, folder, decode=decoder_of(chosen, settings),
                chosen=(lambda _: True) if everything else _reads(source),
            )
            for folder in _folders(settings)
        ]  # fmt: skip
    report = Given(
        stream, tuple(number for each in reports for number in each.batch_ids),
        sum(each.landed for each in reports), sum(each.undecodable for each in reports),
    )  # fmt: skip
    if as_json:
        json.dump(dataclasses.asdict(report), sys.stdout)
        sys.stdout.write("\n")
    else:
        out.print(
            f"{stream}: {report.landed:,} landed, {report.undecodable:,} cannot be decoded and are kept",
            markup=False,
        )
    raise typer.Exit(int(bool(report.undecodable)))


@app.command()
def discard(
    context: typer.Context,
    topic: Annotated[str, typer.Argument(help="The topic, as 'unrouted list' shows it.")] = "",
    everything: Annotated[bool, typer.Option("--all", help="Whatever their topic.")] = False,
    as_json: AsJson = False,
) -> None:
    """Drop messages that nobody needs: they were acknowledged to their senders, and are gone then."""
    from ingestion.errors import ConfigError
    from ingestion.land.unrouted import discard as drop

    if not topic and not everything:
        raise ConfigError("name a topic, or --all: 'millrace unrouted list' shows what there is")
    chosen = (lambda _: True) if everything else (lambda each: each == topic)
    count = sum(drop(folder, chosen=chosen) for folder in _folders(context.obj.settings()))
    if as_json:
        json.dump({"discarded": count}, sys.stdout)
        sys.stdout.write("\n")
    else:
        out.print(f"{count:,} discarded", markup=False)


def _folders(settings: "Settings") -> list[Path]:
    """The spools of such messages, one a collector that has some."""
    from ingestion.spool.unrouted import is_unrouted

    spool = settings.data_dir / "spool"
    return sorted(path for path in spool.iterdir() if is_unrouted(path.name)) if spool.is_dir() else []


def _reads(source: "SourceSpec") -> Callable[[str], bool]:
    """Whether a source reads a topic."""
    from ingestion.errors import ConfigError

    def reads(topic: str) -> bool:
        try:
            return bool(topic) and source.destination(topic) == topic
        except ConfigError:
            return False

    return reads
