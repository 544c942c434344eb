"""What is there, and whether it is right. Commands import what they need when they run."""

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from ingestion.errors import ConfigError
from orchestration.cli.commands.options import AsJson, FormatName, SourceOptions

PANEL = "Looking"
app = typer.Typer()


@app.command(rich_help_panel=PANEL)
def status(
    context: typer.Context,
    check: Annotated[
        bool, typer.Option("--check", help="Exit 1 unless it runs and everything works, for other programs.")
    ] = False,
    cost: Annotated[
        bool, typer.Option("--cost", help="Show the CPU that services, streams, models and checks take.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show what does not work, what runs, how far each stream is, and what was built and checked last.

    Answers within five seconds, whatever hangs.
    """
    if cost:
        from orchestration.cli.costs import show_costs

        show_costs(context.obj.settings(), as_json=as_json)
        return
    from orchestration.cli.status import status as show_status

    raise typer.Exit(show_status(context.obj.settings(), as_json=as_json, check=check))


@app.command(rich_help_panel=PANEL)
def peek(
    context: typer.Context,
    what: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE", help="As in kafka:orders, mqtt:home/+/sensor or http:clicks; or a stream."
        ),
    ],
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="Messages at most.")] = 10,
    since: Annotated[
        str, typer.Option("--from", help="Of a log: latest, earliest, or a time (UTC).")
    ] = "latest",
    wait: Annotated[
        float, typer.Option("--for", min=0.1, help="Seconds to wait where the broker keeps no messages.")
    ] = 30.0,
    options: SourceOptions = None,
    format_name: FormatName = None,
    as_json: AsJson = False,
) -> None:
    """Show messages of a source: the last of a log, else the next ones. Takes nothing, disturbs nobody.

    For a stream of streams.yml it shows what raw and staging made of each event. Ctrl-C ends the waiting.
    """
    from orchestration.cli.peek import peek as run_peek

    run_peek(
        context.obj, what, limit=limit, since=since, wait_seconds=wait, options=options or (),
        format_name=format_name, as_json=as_json,
    )  # fmt: skip


@app.command(rich_help_panel=PANEL)
def trace(
    context: typer.Context,
    what: Annotated[
        str,
        typer.Argument(
            metavar="EVENT_ID|RECEIPT",
            help="As in orders-0@17; a business id, its parts with commas between; or a receipt of HTTP.",
        ),
    ],
    streams: Annotated[
        list[str] | None, typer.Option("--stream", help="Look through this stream only. Repeatable.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="Events at most.")] = 5,
    as_json: AsJson = False,
) -> None:
    """Follow one event: log, batch, raw, staging, the rows that it touched, checks, seconds per hop."""
    settings = context.obj.settings()
    declared = context.obj.streams(settings)
    from orchestration.cli.ingest import choose
    from orchestration.cli.trace import trace as follow
    from orchestration.cli.trace_view import show
    from orchestration.dbt.project import models_that_are_there

    chosen, parsed = (
        choose(declared, streams or (), settings=settings),
        models_that_are_there(settings, declared),
    )
    show(follow(settings, chosen, what, parsed=parsed, limit=limit), as_json=as_json)


@app.command(rich_help_panel=PANEL)
def logs(
    context: typer.Context,
    service: Annotated[
        str | None,
        typer.Argument(help="Of one service, as 'status' names them; 'runs' for failed runs."),
    ] = None,
    since: Annotated[
        str, typer.Option("--since", help="How far back: 90s, 30min, 2h, 7d, or a time (UTC).")
    ] = "1h",
    errors: Annotated[bool, typer.Option("--errors", help="Only what failed.")] = False,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on with new lines until Ctrl-C.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show what the services wrote and which runs failed and why, by time (UTC)."""
    from orchestration.cli.logs import logs as show_logs

    settings = context.obj.settings(needs_project=False)
    raise typer.Exit(
        show_logs(settings, service=service, since=since, errors=errors, follow=follow, as_json=as_json)
    )


@app.command("open", rich_help_panel=PANEL)
def open_ui(
    context: typer.Context,
    run: Annotated[str | None, typer.Argument(help="A run's id, or how it begins: opens its page.")] = None,
) -> None:
    """Open the web UI of the running system in a browser, and print its address."""
    from orchestration.cli.open import open_ui as open_in_browser

    raise typer.Exit(open_in_browser(context.obj.settings(needs_project=False), run=run))


@app.command(rich_help_panel=PANEL)
def tables(context: typer.Context, as_json: AsJson = False) -> None:
    """List what is in the lake: rows, size, last change, description.

    The size is that of the newest version's files.
    """
    from orchestration.cli.contents import contents, show

    show(contents(context.obj.settings()), as_json=as_json)


@app.command(rich_help_panel=PANEL)
def diagram(
    context: typer.Context,
    as_svg: Annotated[bool, typer.Option("--svg", help="A picture: light and dark, one file.")] = False,
    as_mermaid: Annotated[
        bool, typer.Option("--mermaid", help="Text that GitHub, GitLab and wikis draw; the default.")
    ] = False,
    everything: Annotated[
        bool, typer.Option("--all", help="With the product's own models, which are about the system.")
    ] = False,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write a file, as in flow.svg.", metavar="FILE")
    ] = None,
) -> None:
    """Draw what flows where: sources, buffers, raw tables, models, and how many checks each has.

    Nothing has to run for it.
    """
    from orchestration.cli.diagram import diagram as draw
    from orchestration.cli.diagram import form_of, hand_over

    form = form_of(as_svg=as_svg, as_mermaid=as_mermaid, output=output)
    hand_over(draw(context.obj, form=form, with_product=everything), output)


@app.command(rich_help_panel=PANEL)
def report(
    context: typer.Context,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="The file; else a new one in the data folder's reports.", metavar="FILE"
        ),
    ] = None,
    days: Annotated[float, typer.Option("--days", min=0.01, max=366, help="How far back it goes.")] = 7.0,
    as_json: AsJson = False,
) -> None:
    """Write a page on the last days: checks over time, freshness, lateness, rejects, where time and CPU went.

    One HTML file, which needs nothing else to be read. MILLRACE_REPORT_SCHEDULE makes one regularly.
    """
    from orchestration.cli.report import report as write

    write(context.obj.settings(), output=output.expanduser() if output else None, days=days, as_json=as_json)


@app.command(rich_help_panel=PANEL)
def query(
    context: typer.Context,
    sql: Annotated[
        str | None, typer.Argument(help='One SELECT, as in "from marts.ops_batches"; without it, a shell.')
    ] = None,
    as_json: AsJson = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV with a header.")] = False,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Write a file: .csv, .json, .parquet or .xlsx.", metavar="FILE"),
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="Rows shown in the table.")] = 200,
) -> None:
    """Ask the lake with SQL, without changing anything.

    Without SQL it is a shell, with history and completion; a file or a pipe may hold several statements.
    """
    from orchestration.cli import answers
    from orchestration.cli.context import out
    from orchestration.cli.query import ask

    answers.require_one_format(as_json=as_json, as_csv=as_csv, output=output)
    mode = "json" if as_json else "csv" if as_csv else "table"
    if sql is None:
        if output is not None:
            raise ConfigError("-o needs a query; in the shell, '.output FILE' does the same")
        from orchestration.cli.shell import run_shell

        raise typer.Exit(run_shell(context.obj.settings(), mode=mode, limit=limit))
    answer = ask(context.obj.settings(), sql)
    if output is not None:
        rows = answers.write_file(answer, output.expanduser())
        out.print(f"{rows:,} rows in {output}", markup=False)
    else:
        answers.print_answer(answer, out, mode=mode, limit=limit)


@app.command(rich_help_panel=PANEL)
def attach(context: typer.Context) -> None:
    """Print SQL that opens the lake in DuckDB, from any folder of this machine.

    It holds no password and downloads nothing.
    """
    from orchestration.cli.attach import attach_sql

    typer.echo(attach_sql(context.obj.settings()), nl=False)


@app.command(rich_help_panel=PANEL)
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

    chosen = choose(declared, streams or (), settings=settings)
    counts = verifying.recount(settings, chosen, since=since, until=until)
    raise typer.Exit(verifying.show(counts, as_json=as_json))


@app.command(rich_help_panel=PANEL)
def doctor(context: typer.Context, as_json: AsJson = False) -> None:
    """Check this installation part by part; each problem comes with its remedy. Exit 1 if there is any."""
    from orchestration.cli.doctor import examine, show

    findings = examine(context.obj)
    raise typer.Exit(show(findings, as_json=as_json))
