"""Brings events in, again or at last. Commands import what they need when they run."""

from pathlib import Path
from typing import Annotated

import typer

from ingestion.errors import ConfigError
from orchestration.cli import gaps, rejects, tokens, unrouted
from orchestration.cli.commands.options import AsJson

PANEL = "Events"
app = typer.Typer()
app.add_typer(rejects.app, name="rejects", rich_help_panel=PANEL)
app.add_typer(gaps.app, name="gaps", rich_help_panel=PANEL)
app.add_typer(unrouted.app, name="unrouted", rich_help_panel=PANEL)
app.add_typer(tokens.app, name="token", rich_help_panel=PANEL)


@app.command(rich_help_panel=PANEL)
def produce(
    context: typer.Context,
    what: Annotated[
        str, typer.Argument(metavar="STREAM", help="Which stream; or a source, as in kafka:orders.")
    ],
    file: Annotated[
        Path | None, typer.Option("--file", "-f", help="A message a line, as in NDJSON; - reads the pipe.")
    ] = None,
    rate: Annotated[
        float | None, typer.Option("--rate", min=0.001, help="Messages a second; without a file, made up.")
    ] = None,
    count: Annotated[int | None, typer.Option("--count", "-n", min=1, help="Messages at most.")] = None,
    repeat: Annotated[bool, typer.Option("--repeat", help="Begin again at the file's end.")] = False,
    to: Annotated[str, typer.Option("--to", help="The topic, where the stream reads several.")] = "",
    key: Annotated[str, typer.Option("--key", help="Field that is the message's key, as in order.id.")] = "",
    headers: Annotated[
        list[str] | None,
        typer.Option("--header", metavar="NAME=VALUE", help="Of every message. Repeatable."),
    ] = None,
    create: Annotated[bool, typer.Option("--create", help="Make the topic when it is missing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Send events to the broker of a stream: a file's lines, or events that fit the declared fields.

    It has succeeded once the broker has accepted every message. Ctrl-C ends it.
    """
    from orchestration.cli.produce import Sending
    from orchestration.cli.produce import produce as run_produce

    sending = Sending(file, rate, count, repeat, to, key, headers or (), create)
    run_produce(context.obj, what, sending, as_json=as_json)


@app.command(rich_help_panel=PANEL)
def rebirth(
    context: typer.Context,
    stream: Annotated[str, typer.Argument(help="Which stream; its format is sparkplug.")],
    nodes: Annotated[list[str], typer.Argument(metavar="GROUP/NODE...", help="Which edge nodes.")],
    as_json: AsJson = False,
) -> None:
    """Ask edge nodes of Sparkplug B for their births, which name the metrics that come afterwards.

    It has succeeded once the broker has accepted the commands; a node that is away gets none.
    """
    from orchestration.cli.rebirth import rebirth as ask

    ask(context.obj, stream, nodes, as_json=as_json)


@app.command(rich_help_panel=PANEL)
def refresh(context: typer.Context, as_json: AsJson = False) -> None:
    """Have the running system ingest, build and check everything now, as the job 'refresh' does.

    It prints the run's id and does not wait for its end; 'millrace status' shows that.
    """
    from orchestration.cli.refresh import refresh as run_refresh

    run_refresh(context.obj.settings(), as_json=as_json)


@app.command(rich_help_panel=PANEL)
def ingest(
    context: typer.Context,
    streams: Annotated[
        list[str] | None, typer.Argument(help="Which streams; all when none is named.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Bring one batch of each stream into the lake now, without Dagster."""
    settings = context.obj.settings()
    declared = context.obj.streams(settings)
    from orchestration.cli import ingest as ingesting

    chosen = ingesting.choose(declared, streams or (), settings=settings)
    raise typer.Exit(1 if ingesting.ingest(settings, chosen, as_json=as_json) else 0)


@app.command(rich_help_panel=PANEL)
def replay(
    context: typer.Context,
    stream: Annotated[str, typer.Argument(help="Which stream.")],
    since: Annotated[
        str | None, typer.Option("--from", help="A position, as in orders-0@17, or a time (UTC).")
    ] = None,
    until: Annotated[
        str | None, typer.Option("--to", help="End of the window (exclusive): a position or a time (UTC).")
    ] = None,
    from_raw: Annotated[
        bool, typer.Option("--from-raw", help="Decode the bytes that raw keeps again; no broker is asked.")
    ] = False,
    models: Annotated[bool, typer.Option(help="Rebuild the stream's models from raw.")] = True,
    as_json: AsJson = False,
) -> None:
    """Land what the broker holds of a window and the lake does not, and rebuild the models."""
    if from_raw and (since or until):
        raise ConfigError("--from-raw decodes all that raw keeps of a stream: leave --from and --to out")
    settings = context.obj.settings()
    declared = context.obj.streams(settings)
    from orchestration.cli import replay as replaying
    from orchestration.cli.ingest import choose

    (chosen,) = choose(declared, [stream], settings=settings)
    if from_raw:
        replaying.replay_from_raw(settings, declared, chosen, models=models, as_json=as_json)
    else:
        replaying.replay(settings, declared, chosen, since=since, until=until, models=models, as_json=as_json)


@app.command(rich_help_panel=PANEL)
def adopt(
    context: typer.Context,
    stream: Annotated[str, typer.Argument(help="Which stream.")],
    as_json: AsJson = False,
) -> None:
    """Let a stream go on without what is lost: with the spool that is there, without a deleted partition."""
    settings = context.obj.settings()
    declared = context.obj.streams(settings)
    from orchestration.cli.adopt import adopt as run_adopt
    from orchestration.cli.ingest import choose

    (chosen,) = choose(declared, [stream], settings=settings)
    run_adopt(settings, chosen, as_json=as_json)
