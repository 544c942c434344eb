"""`millrace report`: a page on what happened in the last days, and what is printed about it."""

import json
from pathlib import Path

import typer

from ingestion.settings import Settings
from orchestration.cli.context import complain, out
from orchestration.cli.declared import declared_or_in_use
from orchestration.report.parts import lasted, moment
from orchestration.report.write import write_report


def report(settings: Settings, *, output: Path | None, days: float, as_json: bool) -> None:
    """Write it, and print where it is and what is missing in it.

    Args:
        settings: Where everything is.
        output: The file; None: one in the data folder.
        days: How far back it goes.
        as_json: For other programs.

    Raises:
        StorageError: The file cannot be written.
    """
    known = declared_or_in_use(settings)
    file, content = write_report(settings, known.streams or (), days=days, path=output)
    span = content.span
    missing = [*([known.mistake] if known.mistake else []), *content.missing]
    if as_json:
        said = {
            "file": str(file),
            "from": span.start.isoformat(),
            "to": span.end.isoformat(),
            "missing": missing,
        }
        typer.echo(json.dumps(said))
        return
    length = lasted((span.end - span.start).total_seconds())
    out.print(f"{file}: {moment(span.start)} to {moment(span.end)} UTC, {length}", markup=False)
    for sentence in missing:
        complain(f"not in it: {sentence}")
