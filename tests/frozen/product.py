"""Every import of a product module that the frozen tests need: whoever moves modules edits this file only.

The tests themselves use the `millrace` command, files, SQL and what is here.
"""

from typing import Any

import typer

from ingestion.batch import BatchReport, Ingestor
from ingestion.catalog_copy import catalog_instant
from ingestion.collector import Collector
from ingestion.decode import decode_json
from ingestion.envelope import SOURCE_SCHEMA
from ingestion.errors import MillraceError
from ingestion.intake import Limits
from ingestion.lake import Lake
from ingestion.ledger import prove
from ingestion.resolutions import retry
from ingestion.settings import PROJECT_DIR, Settings, load_settings
from ingestion.sources.base import Bounds, Chunk, Window
from ingestion.streams import Stream
from ingestion.streams_file import load_streams
from orchestration.dbt_sources import render_sources
from orchestration.services.postgres import EmbeddedPostgres

COMMAND = "from orchestration.cli import main; main()"
"""The command line, for `python -c`."""


def main() -> None:
    """Run the command line of sys.argv."""
    from orchestration.cli import main as run

    run()


def command_line() -> typer.Typer:
    """The application behind `millrace`."""
    from orchestration.cli.app import app

    return app


def variables() -> dict[str, object]:
    """Every variable of the environment, and its default; a secret's default is None."""
    return {f"MILLRACE_{name.upper()}": field.default for name, field in Settings.model_fields.items()}


def definitions(settings: Settings) -> Any:
    """Everything that Dagster knows of Millrace."""
    from orchestration.build import build_defs

    return build_defs(settings=lambda: settings)


def land(settings: Settings, stream: Stream, log: Any) -> BatchReport:
    """One batch of a stream from a log."""
    with Lake(settings) as lake:
        lake.prepare([stream.name])
        return Ingestor(lake).run(stream, log)


def declared(settings: Settings, name: str) -> Stream:
    """A stream of the settings' streams.yml."""
    return next(stream for stream in load_streams(settings.streams_file) if stream.name == name)


__all__ = [
    "COMMAND",
    "PROJECT_DIR",
    "SOURCE_SCHEMA",
    "BatchReport",
    "Bounds",
    "Chunk",
    "Collector",
    "EmbeddedPostgres",
    "Lake",
    "Limits",
    "MillraceError",
    "Settings",
    "Stream",
    "Window",
    "catalog_instant",
    "command_line",
    "declared",
    "decode_json",
    "definitions",
    "land",
    "load_settings",
    "load_streams",
    "main",
    "prove",
    "render_sources",
    "retry",
    "variables",
]
