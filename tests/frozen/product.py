"""Every import of a product module that the frozen tests need: whoever moves modules edits this file only.

The tests themselves use the `millrace` command, files, SQL and what is here.
"""

from typing import Any

import typer

from ingestion.backup.catalog import catalog_instant
from ingestion.collect.collector import Collector
from ingestion.connectors.kafka.access import KafkaAccess
from ingestion.connectors.kafka.declare import KafkaSource
from ingestion.connectors.kafka.log import KafkaLog
from ingestion.connectors.mqtt.connector import MQTT
from ingestion.connectors.registry import connectors
from ingestion.declare.file import load_streams
from ingestion.declare.stream import Stream
from ingestion.errors import MillraceError
from ingestion.formats.decode import decoder
from ingestion.formats.schema_registry.access import KIND, SchemaRegistryAccess
from ingestion.lake.lake import Lake
from ingestion.lake.ledger import prove
from ingestion.land.batch import Ingestor
from ingestion.land.report import BatchReport
from ingestion.land.resolutions import retry
from ingestion.log.envelope import SOURCE_SCHEMA
from ingestion.log.port import Bounds, Break, Chunk, Window
from ingestion.migrate.prepare import prepare_lake
from ingestion.settings import Settings, load_settings
from ingestion.spool.guarded import Limits
from orchestration.dbt.sources import render_sources
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
    fields = dict(Settings.model_fields)
    at = list(fields).index("batch_max_events")
    kinds = {
        f"{each.kind}_{name}": field
        for each in connectors()
        for name, field in each.access.model_fields.items()
    }
    kinds |= {f"{KIND}_{name}": field for name, field in SchemaRegistryAccess.model_fields.items()}
    ordered = [*list(fields.items())[:at], *kinds.items(), *list(fields.items())[at:]]
    return {f"MILLRACE_{name.upper()}": field.default for name, field in ordered}


def definitions(settings: Settings) -> Any:
    """Everything that Dagster knows of Millrace."""
    from orchestration.build import build_defs

    return build_defs(settings=lambda: settings)


def land(settings: Settings, stream: Stream, log: Any) -> BatchReport:
    """One batch of a stream from a log."""
    with Lake(settings) as lake:
        prepare_lake(lake, [stream.name], progress=lambda _: None)
        return Ingestor(lake).run(stream, log, decode=decoder(stream.format))


def explain(broken: Break, *, position: int, bounds: Bounds | None) -> str:
    """What a topic's log says of a break; no broker is needed for that."""
    log = KafkaLog("any", KafkaSource(kafka=("any",)), KafkaAccess(), timeout_seconds=1)
    return log.explain(broken, position=position, bounds=bounds)


def collector(settings: Settings, streams: tuple[Stream, ...], *, limits: Limits | None = None) -> Collector:
    """A collector of MQTT streams."""
    return Collector(settings, streams, connector=MQTT, limits=limits)


def declared(settings: Settings, name: str) -> Stream:
    """A stream of the settings' streams.yml."""
    return next(stream for stream in load_streams(settings.streams_file) if stream.name == name)


__all__ = [
    "COMMAND",
    "SOURCE_SCHEMA",
    "BatchReport",
    "Bounds",
    "Break",
    "Chunk",
    "EmbeddedPostgres",
    "Lake",
    "Limits",
    "MillraceError",
    "Settings",
    "Stream",
    "Window",
    "catalog_instant",
    "collector",
    "command_line",
    "declared",
    "decoder",
    "definitions",
    "explain",
    "land",
    "load_settings",
    "load_streams",
    "main",
    "prove",
    "render_sources",
    "retry",
    "variables",
]
