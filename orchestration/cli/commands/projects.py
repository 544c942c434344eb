"""Writes projects, and brings them to this release. Commands import what they need when they run."""

from pathlib import Path
from typing import Annotated, Literal

import typer

PANEL = "Projects"
app = typer.Typer()

Example = Literal["plant", "shop", "none"]


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
