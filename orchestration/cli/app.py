"""The command line itself: commands, options and their help. What commands do is in the files beside.

Imports stay inside the commands, so that `millrace --help` and light commands answer at once.
"""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

import typer
from typer.exceptions import Abort, Exit, TyperException

from orchestration.cli import rejects
from orchestration.cli.context import Globals, complain, err, log_to_stderr

app = typer.Typer(
    name="millrace",
    help="A streaming lakehouse: events of brokers and devices to checked SQL models, within seconds.",
    epilog="Try 'millrace demo' first: it brings its own brokers and a simulated plant.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)

app.add_typer(rejects.app, name="rejects")

Example = Literal["plant", "shop", "none"]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for other programs.")]
NoUi = Annotated[bool, typer.Option("--no-ui", help="Do not start the web UI.")]


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        from ingestion.project import DISTRIBUTION

        typer.echo(f"millrace {version(DISTRIBUTION)}")
        raise typer.Exit


@app.callback()
def options(
    context: typer.Context,
    data_dir: Annotated[
        Path | None,
        typer.Option(
            "--data-dir", help="Data folder; else MILLRACE_DATA_DIR, else .millrace in the project."
        ),
    ] = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show log lines and tracebacks.")] = False,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Options that every command has; they stand before the command."""
    context.obj = Globals(data_dir, verbose)
    log_to_stderr(verbose=verbose)


@app.command()
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


@app.command()
def up(context: typer.Context, no_ui: NoUi = False) -> None:
    """Start everything and keep it running until Ctrl-C.

    Ingestion, models and checks run by themselves; the web UI shows them. PostgreSQL is embedded unless
    MILLRACE_CATALOG names one.
    """
    from orchestration.cli.up import up as run_up

    raise typer.Exit(run_up(context.obj.settings(), ui=not no_ui))


@app.command()
def down(context: typer.Context) -> None:
    """Stop what 'millrace up' or 'demo' runs on this data folder."""
    from orchestration.cli.up import down as run_down

    raise typer.Exit(run_down(context.obj.settings(needs_project=False)))


@app.command()
def demo(
    context: typer.Context,
    seconds: Annotated[
        float | None,
        typer.Option("--for", min=5, help="End after so many seconds with a summary; exit 1 if it is bad."),
    ] = None,
    rate: Annotated[
        float, typer.Option("--rate", min=0.1, max=50, help="Readings a second of each of 12 machines.")
    ] = 1.0,
    no_ui: NoUi = False,
) -> None:
    """Show everything on a simulated plant: brokers, events, models, checks. Nothing to set up.

    The data folder must be new or an earlier demo's, which is wiped.
    """
    from orchestration.cli.demo import demo as run_demo

    raise typer.Exit(run_demo(context.obj, seconds=seconds, rate=rate, ui=not no_ui))


@app.command()
def drill(context: typer.Context) -> None:
    """Break a demo system on purpose, step by step, and count after each what was lost or doubled.

    Takes about three minutes, in a folder of its own. Exit 1 if anything did not hold.
    """
    from orchestration.cli.drill import drill as run_drill

    raise typer.Exit(run_drill(context.obj))


@app.command()
def status(context: typer.Context, as_json: AsJson = False) -> None:
    """Show what runs, how far each stream is, and what was built and checked last."""
    from orchestration.cli.status import look, show

    settings = context.obj.settings()
    raise typer.Exit(show(look(settings, context.obj.streams(settings)), as_json=as_json))


@app.command()
def query(
    context: typer.Context,
    sql: Annotated[str, typer.Argument(help='One SELECT, as in "from marts.ops_batches".')],
    as_json: AsJson = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV with a header.")] = False,
    limit: Annotated[int, typer.Option("--limit", min=1, help="Rows shown in the table.")] = 200,
) -> None:
    """Ask the lake with SQL, without changing anything."""
    from orchestration.cli import query as asking
    from orchestration.cli.context import out

    asking.require_one_format(as_json=as_json, as_csv=as_csv)
    answer = asking.ask(context.obj.settings(), sql)
    if as_json:
        asking.write_json(answer)
    elif as_csv:
        asking.write_csv(answer)
    else:
        asking.print_table(answer, out, limit=limit)


@app.command()
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


@app.command()
def verify(
    context: typer.Context,
    streams: Annotated[
        list[str] | None, typer.Argument(help="Which streams; all when none is named.")
    ] = None,
    since: Annotated[
        datetime | None, typer.Option("--from", help="Only batches ingested at this time (UTC) or later.")
    ] = None,
    until: Annotated[
        datetime | None, typer.Option("--to", help="Only batches ingested before this time (UTC).")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Recount everything: broker, ledger, raw, rejects, staging. Exit 1 if something does not add up."""
    settings = context.obj.settings()
    declared = context.obj.streams(settings)
    from orchestration.cli import verify as verifying
    from orchestration.cli.ingest import choose

    chosen = choose(declared, streams or ())
    counts = verifying.recount(settings, chosen, since=since, until=until)
    raise typer.Exit(verifying.show(counts, as_json=as_json))


@app.command()
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


@app.command()
def collect(context: typer.Context) -> None:
    """Run the collectors in the foreground; 'millrace up' runs them by itself."""
    from orchestration.cli.collect import collect as run_collect

    settings = context.obj.settings()
    run_collect(settings, context.obj.streams(settings))


@app.command()
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


@app.command()
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


@app.command()
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


@app.command()
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


@app.command()
def doctor(context: typer.Context, as_json: AsJson = False) -> None:
    """Check this installation part by part; each problem comes with its remedy. Exit 1 if there is any."""
    from orchestration.cli.doctor import examine, show

    findings = examine(context.obj)
    raise typer.Exit(show(findings, as_json=as_json))


def run(arguments: Sequence[str]) -> int:
    """Run one command line.

    Args:
        arguments: Without the program's name.

    Returns:
        The exit code: 0, 1 for an error, 2 for wrong usage, 130 for Ctrl-C.
    """
    from orchestration.cli.errors import defect, sentence

    verbose = bool({"-v", "--verbose"} & set(arguments[:3]))
    try:
        code = app(args=list(arguments) or ["--help"], prog_name="millrace", standalone_mode=False)
        return int(code or 0)
    except Exit as leaving:
        return leaving.exit_code
    except TyperException as error:
        complain(f"{error.format_message().rstrip('.')}; 'millrace --help' shows what there is")
        return error.exit_code
    except (KeyboardInterrupt, Abort):
        return 130
    except BrokenPipeError:
        return _leave_the_pipe()
    except Exception as error:
        if verbose:
            import traceback

            err.print(traceback.format_exc(), markup=False)
        command = next((part for part in arguments if not part.startswith("-")), "")
        complain(sentence(error) or defect(error, command=command))
        return 1


def _leave_the_pipe() -> int:
    """The reader (`head`, a pager) went away: nothing is wrong, and nothing more can be said."""
    import os
    import sys

    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0
