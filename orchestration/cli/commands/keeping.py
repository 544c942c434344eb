"""Keeps a lake small, copied and restorable. Commands import what they need when they run."""

from pathlib import Path
from typing import Annotated

import typer

from orchestration.cli import reactions
from orchestration.cli.commands.options import AsJson

PANEL = "Upkeep"
app = typer.Typer()
app.add_typer(reactions.app, name="reactions", rich_help_panel=PANEL)


@app.command(rich_help_panel=PANEL)
def maintain(
    context: typer.Context,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done.")] = False,
    as_json: AsJson = False,
) -> None:
    """Compact small files, expire old snapshots, delete what nobody needs; also runs by itself."""
    from orchestration.cli import maintain as upkeep

    settings = context.obj.settings()
    report = upkeep.run(settings, context.obj.streams(settings), dry_run=dry_run)
    raise typer.Exit(upkeep.show(report, as_json=as_json))


@app.command(rich_help_panel=PANEL)
def backup(
    context: typer.Context,
    destination: Annotated[Path, typer.Argument(metavar="DEST", help="A folder of backups.")],
    as_json: AsJson = False,
) -> None:
    """Back up the lake and what waits in the spool, while everything runs.

    Each backup is a folder of its own in DEST; data files that did not change are hard links, so only
    what is new takes room. Delete old ones as folders.
    """
    from orchestration.cli import backup as backups

    report = backups.backup(context.obj.settings(), destination)
    raise typer.Exit(backups.show(report, verb="wrote", as_json=as_json))


@app.command(rich_help_panel=PANEL)
def restore(
    context: typer.Context,
    source: Annotated[
        Path, typer.Argument(metavar="SRC", help="A backup, or a folder of backups: then the newest.")
    ],
    session: Annotated[
        bool,
        typer.Option(
            "--session",
            help="Go on as the collector of the system that was backed up; that one must be gone.",
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Restore a backup into an empty data folder and an empty catalog, while nothing runs."""
    from orchestration.cli import backup as backups

    report = backups.restore(context.obj.settings(), source, session=session)
    raise typer.Exit(backups.show(report, verb="restored", as_json=as_json))
