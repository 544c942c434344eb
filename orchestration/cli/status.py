"""`millrace status`: what runs, how far each stream is, what was built and checked last."""

import dataclasses
import json
import sys
from datetime import UTC, datetime

from ingestion.declare.stream import Stream
from ingestion.settings import Settings
from orchestration.cli.context import out
from orchestration.cli.tables import overview_tables
from orchestration.records.overview import Overview, OverviewReader


def look(settings: Settings, streams: tuple[Stream, ...]) -> Overview:
    """Read everything once."""
    reader = OverviewReader(settings, streams)
    try:
        return reader.read()
    finally:
        reader.close()


def show(overview: Overview, *, as_json: bool) -> int:
    """Print an overview.

    Returns:
        The exit code: 1 when something could not be read or used. An unreachable broker does not count:
        its stream shows it.
    """
    if as_json:
        json.dump(dataclasses.asdict(overview), sys.stdout, default=datetime.isoformat, indent=2)
        sys.stdout.write("\n")
    else:
        out.print(overview_tables(overview, now=datetime.now(UTC)))
    return int(bool(overview.errors))
