"""Starts and stops whole systems. Commands import what they need when they run."""

from typing import Annotated

import typer

from orchestration.cli.commands.options import NoUi

PANEL = "Running"
app = typer.Typer()


@app.command(rich_help_panel=PANEL)
def up(context: typer.Context, no_ui: NoUi = False) -> None:
    """Start everything and keep it running until Ctrl-C.

    Ingestion, models and checks run by themselves; the web UI shows them. PostgreSQL is embedded unless
    MILLRACE_CATALOG names one.
    """
    from orchestration.cli.up import up as run_up

    raise typer.Exit(run_up(context.obj.settings(), ui=not no_ui))


@app.command(rich_help_panel=PANEL)
def down(context: typer.Context) -> None:
    """Stop what 'millrace up' or 'demo' runs on this data folder."""
    from orchestration.cli.up import down as run_down

    raise typer.Exit(run_down(context.obj.settings(needs_project=False)))


@app.command(rich_help_panel=PANEL)
def password() -> None:
    """Ask for a password of the live page, or read it from a pipe, and print its hash for the settings."""
    from orchestration.cli.password import password as run_password

    run_password()


@app.command(rich_help_panel=PANEL)
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

    It has a folder of its own, .millrace-demo, which the next demo wipes; a project's data folder is never
    touched. Other commands look at it with --data-dir .millrace-demo. Ctrl-C prints a summary.
    """
    from orchestration.cli.demo import demo as run_demo

    raise typer.Exit(run_demo(context.obj, seconds=seconds, rate=rate, ui=not no_ui))


@app.command(rich_help_panel=PANEL)
def drill(context: typer.Context) -> None:
    """Break a demo system on purpose, step by step, and count after each what was lost or doubled.

    Takes about three minutes, in a folder of its own. Exit 1 if anything did not hold.
    """
    from orchestration.cli.drill import drill as run_drill

    raise typer.Exit(run_drill(context.obj))


@app.command(rich_help_panel=PANEL)
def service(
    context: typer.Context,
    systemd: Annotated[bool, typer.Option("--systemd", help="A systemd unit for this project.")] = False,
    containerfile: Annotated[
        bool, typer.Option("--containerfile", help="A Containerfile: an image of the wheel.")
    ] = False,
    compose: Annotated[
        bool, typer.Option("--compose", help="A compose file: Millrace with Kafka and Mosquitto.")
    ] = False,
    rules: Annotated[
        bool, typer.Option("--prometheus-rules", help="Alerts for Prometheus on the exporter's metrics.")
    ] = False,
    grafana: Annotated[bool, typer.Option("--grafana", help="A dashboard for Grafana.")] = False,
    user: Annotated[
        str | None,
        typer.Option("--user", help="Whom the unit runs as; else the owner of the project's folder."),
    ] = None,
) -> None:
    """Print a file that runs 'millrace up' as a service, or watches it. Nothing is installed or started."""
    from orchestration.cli.service import service as run_service

    wanted = {
        "systemd": systemd, "containerfile": containerfile, "compose": compose,
        "prometheus-rules": rules, "grafana": grafana,
    }  # fmt: skip
    chosen = [name for name, is_wanted in wanted.items() if is_wanted]
    typer.echo(run_service(context.obj, chosen, user=user), nl=False)


@app.command(rich_help_panel=PANEL)
def collect(
    context: typer.Context,
    streams: Annotated[
        list[str] | None, typer.Argument(help="Which streams; all when none is named.")
    ] = None,
) -> None:
    """Run the collectors in the foreground; 'millrace up' runs them by itself."""
    from orchestration.cli.collect import collect as run_collect
    from orchestration.cli.ingest import choose

    settings = context.obj.settings()
    run_collect(settings, choose(context.obj.streams(settings), streams or (), settings=settings))
