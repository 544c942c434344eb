"""Marts for other tools: files, and the database that BI tools read."""

from pathlib import Path
from typing import Annotated

import typer

from orchestration.cli.commands.options import AsJson

PANEL = "Looking"
app = typer.Typer()


@app.command(rich_help_panel=PANEL)
def export(
    context: typer.Context,
    mart: Annotated[str, typer.Argument(help="A mart, as in orders; or schema.table of anything else.")],
    to: Annotated[
        Path,
        typer.Option("--to", help="The file: .csv, .json, .parquet, .xlsx or .hyper.", metavar="FILE"),
    ],
    at: Annotated[
        int | None, typer.Option("--at", min=0, help="A version of the lake; else the newest.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it is there.")] = False,
    append: Annotated[
        bool, typer.Option("--append", help="Bring a .hyper file to the newest version by what has changed.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Write a mart to a file, as it is in one version of the lake: CSV, JSON, Parquet, Excel, Tableau.

    The file appears whole or not at all. What it cannot hold as the lake does is printed.
    """
    from orchestration.cli.export import show
    from orchestration.export.export import export as write

    path = to.expanduser()
    done = write(context.obj.settings(), mart, path, at=at, replace=force, append=append)
    show(done, mart, path, as_json=as_json)


@app.command(rich_help_panel=PANEL)
def contracts(
    context: typer.Context,
    odcs: Annotated[
        Path,
        typer.Option("--odcs", help="The folder for the files, made where it is missing.", metavar="DIR"),
    ],
    force: Annotated[bool, typer.Option("--force", help="Replace files that are there.")] = False,
) -> None:
    """Write what streams and marts promise as files of the Open Data Contract Standard, 3.2.

    From streams.yml, the models' YAML and the contracts: nothing has to run. A file a stream and a mart.
    """
    from orchestration.cli.contracts import contracts as write

    write(context.obj, odcs.expanduser(), replace=force)


@app.command(rich_help_panel=PANEL)
def docs(
    context: typer.Context,
    output: Annotated[Path, typer.Option("--output", "-o", help="The file.", metavar="FILE")],
    lake: Annotated[
        bool,
        typer.Option("--lake", help="With compiled SQL, and the lake's columns and types; takes longer."),
    ] = False,
) -> None:
    """Write dbt's documentation of the models as one HTML file, which needs nothing else to be read.

    The live page of a running system shows it at /docs.
    """
    from orchestration.cli.docs import docs as write

    write(context.obj, output.expanduser(), with_lake=lake)


@app.command(rich_help_panel=PANEL)
def serving(
    context: typer.Context,
    files: Annotated[
        Path | None,
        typer.Option("--files", help="Write files for Tableau and Power BI to a new folder.", metavar="DIR"),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show where BI tools read the marts in PostgreSQL, as whom, and how far those are behind the lake.

    No password is printed or written; the name of its file is printed.
    """
    if files is not None:
        from orchestration.cli.serving import hand_out

        hand_out(context.obj.settings(), files.expanduser(), as_json=as_json)
        return
    from orchestration.cli.serving import serving as look

    look(context.obj.settings(), as_json=as_json)
