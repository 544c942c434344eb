"""Brings events in, again or at last. Commands import what they need when they run."""

from typing import Annotated

import typer

from orchestration.cli import rejects
from orchestration.cli.commands.options import AsJson

PANEL = "Events"
app = typer.Typer()
app.add_typer(rejects.app, name="rejects", rich_help_panel=PANEL)


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

    chosen = ingesting.choose(declared, streams or ())
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
    models: Annotated[bool, typer.Option(help="Rebuild the stream's models from raw.")] = True,
    as_json: AsJson = False,
) -> None:
    """Land what the broker holds of a window and the lake does not, and rebuild the models."""
    settings = context.obj.settings()
    declared = context.obj.streams(settings)
    from orchestration.cli import replay as replaying
    from orchestration.cli.ingest import choose

    (chosen,) = choose(declared, [stream])
    replaying.replay(settings, declared, chosen, since=since, until=until, models=models, as_json=as_json)


@app.command(rich_help_panel=PANEL)
def adopt(
    context: typer.Context,
    stream: Annotated[str, typer.Argument(help="Which stream.")],
    as_json: AsJson = False,
) -> None:
    """Let a stream whose spool was lost go on with the one that is there: accepts what is missing."""
    settings = context.obj.settings()
    declared = context.obj.streams(settings)
    from orchestration.cli.adopt import adopt as run_adopt
    from orchestration.cli.ingest import choose

    (chosen,) = choose(declared, [stream])
    run_adopt(settings, chosen, as_json=as_json)
