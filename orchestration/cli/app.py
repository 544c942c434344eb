"""The command line itself. The commands are in commands/; what they do is in the files beside.

Imports stay inside the commands, so that `millrace --help` and light commands answer at once.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from typer.exceptions import Abort, Exit, TyperException

from orchestration.cli.commands import handing, keeping, landing, looking, projects, running
from orchestration.cli.context import Globals, complain, err, log_to_stderr
from orchestration.cli.help import speak_plainly

app = typer.Typer(
    name="millrace",
    help="A streaming lakehouse: events of brokers and devices to checked SQL models, within seconds. "
    "Try 'millrace demo' first: it brings its own brokers and a simulated plant.",
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)

for group in (running, projects, looking, handing, landing, keeping):
    app.add_typer(group.app)


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
        whole = typer.main.get_command(app)
        speak_plainly(whole)
        code = whole.main(args=list(arguments) or ["--help"], prog_name="millrace", standalone_mode=False)
        return int(code or 0)
    except Exit as leaving:
        return leaving.exit_code
    except TyperException as error:
        context = getattr(error, "ctx", None)  # only wrong usage has one
        where = context.command_path if context is not None else "millrace"
        complain(f"{error.format_message().rstrip('.')}; '{where} --help' shows what there is")
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
