"""`millrace contracts`: contract files of the project, and which were written."""

from pathlib import Path

from orchestration.cli.context import Globals, complain, out
from orchestration.dbt.project import models_that_are_there
from orchestration.export.contracts import write_contracts


def contracts(context: Globals, folder: Path, *, replace: bool) -> None:
    """Write them; what cannot be built is said on stderr.

    Raises:
        ConfigError: streams.yml is wrong, or a file is there already.
        StorageError: The folder cannot be written.
    """
    settings = context.settings()
    streams = context.streams(settings)
    parsed = models_that_are_there(settings, streams)
    for problem in parsed.broken.problems:
        complain(problem)
    written, problems = write_contracts(
        folder, streams, parsed, project=settings.project.name, replace=replace
    )
    for problem in problems:
        complain(problem)
    for path in written:
        out.print(str(path), markup=False)
