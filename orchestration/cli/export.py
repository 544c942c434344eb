"""`millrace export`: what is printed after a mart was written to a file."""

from pathlib import Path

import typer

from orchestration.cli.context import err, out
from orchestration.export.export import Exported


def show(done: Exported, mart: str, path: Path, *, as_json: bool) -> None:
    """Print what was written, and what the file holds otherwise than the lake.

    Args:
        done: What was written.
        mart: As it was asked for.
        path: The file.
        as_json: For other programs.
    """
    if as_json:
        typer.echo(_json(done, mart, path))
        return
    out.print(
        f"{done.rows:,} rows of {mart} in {path}, as of version {done.snapshot} of the lake", markup=False
    )
    for stream, fresh in sorted(done.fresh_to.items()):
        complete = done.complete_to.get(stream)
        rest = f", complete to {complete:%Y-%m-%d %H:%M:%S} UTC" if complete else ""
        out.print(f"  {stream}: fresh to {fresh:%Y-%m-%d %H:%M:%S}{rest}", markup=False)
    for sentence in done.said:
        err.print(f"  {sentence}", markup=False)


def _json(done: Exported, mart: str, path: Path) -> str:
    import json

    return json.dumps(
        {
            "mart": mart,
            "file": str(path),
            "rows": done.rows,
            "snapshot": done.snapshot,
            "fresh_to": {stream: at.isoformat() for stream, at in done.fresh_to.items()},
            "complete_to": {stream: at.isoformat() for stream, at in done.complete_to.items()},
            "differences": done.said,
        }
    )
