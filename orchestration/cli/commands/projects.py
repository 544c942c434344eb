"""Writes projects, and brings them to this release. Commands import what they need when they run."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from orchestration.cli.commands.options import AsJson, FormatName, SourceOptions

PANEL = "Projects"
app = typer.Typer()

Example = Literal["plant", "shop", "none"]
Schema = Literal["streams", "contract", "reactions"]


@app.command(rich_help_panel=PANEL)
def new(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder that is new or empty.")],
    example: Annotated[
        Example, typer.Option("--example", help="What it begins with: a plant, a small shop, nothing.")
    ] = "none",
) -> None:
    """Write a new project: streams, dbt project, settings.

    The example 'plant' is what 'millrace demo' runs.
    """
    from orchestration.cli.new import new as write_new

    write_new(folder, example=example)


@app.command(rich_help_panel=PANEL)
def upgrade_project(
    context: typer.Context,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be changed; exit 1 if there is anything.")
    ] = False,
) -> None:
    """Bring the files that 'millrace new' wrote to this release; what you edited is left alone.

    Exit 1 if a file that you edited needs a change by hand.
    """
    from orchestration.cli.upgrade import upgrade

    settings = context.obj.settings()
    raise typer.Exit(upgrade(settings, context.obj.streams(settings), dry_run=dry_run))


@app.command(rich_help_panel=PANEL)
def add(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="The new stream's name.")],
    source: Annotated[
        str,
        typer.Option(
            "--from", metavar="SOURCE", help="As in kafka:orders, mqtt:home/+/sensor or http:clicks."
        ),
    ],
    sample: Annotated[int, typer.Option("--sample", min=1, help="Messages to look at.")] = 200,
    since: Annotated[
        str, typer.Option("--since", help="Of a log: latest, earliest, or a time (UTC).")
    ] = "latest",
    wait: Annotated[
        float, typer.Option("--for", min=0.1, help="Seconds to wait where the broker keeps no messages.")
    ] = 30.0,
    fields: Annotated[
        list[str] | None,
        typer.Option("--field", metavar="NAME=TYPE[:PATH]", help="Another type, or one more. Repeatable."),
    ] = None,
    without: Annotated[
        list[str] | None, typer.Option("--without", metavar="NAME", help="Leave a field out. Repeatable.")
    ] = None,
    event_time: Annotated[
        str, typer.Option("--event-time", metavar="NAME", help="The event's own time; 'none' for none.")
    ] = "",
    business_id: Annotated[
        list[str] | None,
        typer.Option("--business-id", metavar="NAME", help="What identifies an event; 'none'. Repeatable."),
    ] = None,
    unnest: Annotated[
        str, typer.Option("--unnest", metavar="PATH", help="An array of events, as in readings; 'none'.")
    ] = "",
    options: SourceOptions = None,
    format_name: FormatName = None,
    mart: Annotated[bool, typer.Option("--mart/--no-mart", help="With a mart and its contract.")] = True,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Write without asking.")] = False,
    as_json: AsJson = False,
) -> None:
    """Declare a stream from its real messages: fields, types, time and identity are proposed with reasons.

    It shows the entry of streams.yml and the files, and writes them if you say so. Nothing that is there is
    overwritten. --json writes nothing.
    """
    from ingestion.connectors.messages import Look
    from orchestration.cli.add import add as run_add
    from orchestration.scaffold.wishes import Wishes

    run_add(
        context.obj, name, source_text=source, source_options=options or (), since=since,
        look=Look(limit=sample, wait_seconds=wait), format_name=format_name,
        wishes=Wishes(fields or (), without or (), event_time, business_id or (), unnest), mart=mart, yes=yes,
        as_json=as_json,
    )  # fmt: skip


@app.command(rich_help_panel=PANEL)
def schema(
    name: Annotated[
        Schema, typer.Argument(help="Of which file: streams.yml, a mart's contract, or reactions.yml.")
    ],
) -> None:
    """Print a JSON Schema for editors; 'new', 'add' and 'upgrade-project' write all into the project."""
    import json

    from orchestration.scaffold.schemas import schemas

    typer.echo(json.dumps(schemas()[name], indent=1, ensure_ascii=False))
