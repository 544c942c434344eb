"""`millrace docs`: dbt's documentation of the project as one file."""

from pathlib import Path

from ingestion.durable import replace_file
from ingestion.errors import ConfigError, StorageError
from orchestration.cli.context import Globals, complain, out
from orchestration.dbt.docs import docs_of_state, docs_with_lake
from orchestration.dbt.project import models_that_are_there


def docs(context: Globals, file: Path, *, with_lake: bool) -> None:
    """Write it; what cannot be built is said on stderr.

    Args:
        context: Of the command.
        file: Which may be there.
        with_lake: Whether the lake is asked for columns and types.

    Raises:
        ConfigError: streams.yml is wrong, or there is no model.
        DbtFailed: The lake cannot be reached.
        StorageError: The file cannot be written.
    """
    settings = context.settings()
    parsed = models_that_are_there(settings, context.streams(settings))
    for problem in parsed.broken.problems:
        complain(problem)
    page = docs_with_lake(parsed.project) if with_lake else docs_of_state(parsed.folder or Path())
    if page is None:
        raise ConfigError(
            "there is no model to document: 'millrace doctor' says what is wrong with the project"
        )
    try:
        replace_file(file, page.encode())
    except OSError as error:
        raise StorageError(f"{file} cannot be written: {error.strerror or error}") from None
    out.print(f"{file} is written; 'millrace up' shows the same at /docs of the live page", markup=False)
