"""Writes projects. Commands import what they need when they run."""

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
