"""The stock chain's code location: sensor at its default interval, dlt's row path, dagster-dbt.

Same topic, tables and models as ours; everything else is as the tools' own documentation begins.
Settings come from MILLRACE_ variables; STOCK_DBT names the dbt project, its manifest included.
"""

import json
import os
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dlt
import duckdb
from dagster import (
    AssetExecutionContext,
    AssetKey,
    DefaultSensorStatus,
    Definitions,
    RunRequest,
    SensorEvaluationContext,
    SkipReason,
    asset,
    define_asset_job,
    sensor,
)
from dagster_dbt import DbtCliResource, dbt_assets
from dlt.destinations.impl.ducklake.configuration import DuckLakeCredentials
from kafka import KafkaConsumer, TopicPartition

from benchmarks.system import ORDERS, PARTITIONS
from ingestion.connectors.kafka.access import KafkaAccess
from ingestion.lake.engine import extension_directory
from ingestion.lake.lake import Lake
from ingestion.settings import load_settings

DBT = Path(os.environ["STOCK_DBT"])
_PARTS = [TopicPartition(ORDERS, number) for number in range(PARTITIONS)]


def _consumer() -> KafkaConsumer:
    consumer = KafkaConsumer(
        bootstrap_servers=load_settings().access("kafka", KafkaAccess).bootstrap_servers,
        enable_auto_commit=False,
    )
    consumer.assign(_PARTS)
    return consumer


def _rows(batch_id: int, starts: dict[int, int], ends: dict[int, int]) -> Iterator[dict[str, Any]]:
    """One dictionary an event, in the columns of our raw table."""
    consumer = _consumer()
    for part in _PARTS:
        consumer.seek(part, starts.get(part.partition, 0))
    positions = {part: starts.get(part.partition, 0) for part in _PARTS}
    while any(positions[part] < ends[part.partition] for part in _PARTS):
        for part, records in consumer.poll(500).items():
            for record in records:
                positions[part] = record.offset + 1
                yield {
                    "batch_id": batch_id,
                    "source_partition": f"{ORDERS}-{record.partition}",
                    "position": record.offset,
                    "event_id": f"{ORDERS}-{record.partition}@{record.offset}",
                    "event_key": (record.key or b"").decode(),
                    "payload": record.value.decode(),
                    "headers": "{}",
                    "event_time": datetime.fromtimestamp(record.timestamp / 1000, UTC),
                    "ingested_at": datetime.now(UTC),
                }
    consumer.close()


@asset(key=["raw", ORDERS])
def orders() -> None:
    """Everything behind what the table holds, through dlt's own DuckLake destination."""
    settings = load_settings()
    held: list[tuple[Any, ...]] = []
    with Lake(settings, read_only=True) as lake, suppress(duckdb.CatalogException):
        held = lake.query(
            f"select source_partition, max(position) + 1, max(batch_id) from raw.{ORDERS} group by 1"
        )
    consumer = _consumer()
    ends = {part.partition: end for part, end in consumer.end_offsets(_PARTS).items()}
    consumer.close()
    starts = {int(name.rsplit("-", 1)[1]): int(end) for name, end, _ in held}
    assert settings.catalog is not None
    credentials = DuckLakeCredentials(
        ducklake_name="lake",
        catalog=settings.catalog.get_secret_value(),
        storage=settings.resolved_lake_path,
        metadata_schema="ducklake",
    )
    credentials.global_config = {"extension_directory": str(extension_directory(settings.data_dir))}
    pipeline = dlt.pipeline(
        "stock", destination=dlt.destinations.ducklake(credentials), dataset_name="raw",
        pipelines_dir=str(settings.data_dir / "dlt"),
    )  # fmt: skip
    newest = max((int(batch) for *_, batch in held), default=0)
    pipeline.run(_rows(newest + 1, starts, ends), table_name=ORDERS)


@dbt_assets(
    manifest=DBT / "target" / "manifest.json", select=f"stg_{ORDERS}+", exclude="tag:full_scan tag:ops"
)
def models(context: AssetExecutionContext, dbt: DbtCliResource) -> Iterator[Any]:
    yield from dbt.cli(["build"], context=context).stream()


job = define_asset_job("stock", selection=[AssetKey(["raw", ORDERS]), *models.keys])


@sensor(job=job, default_status=DefaultSensorStatus.RUNNING)
def arrivals(context: SensorEvaluationContext) -> RunRequest | SkipReason:
    consumer = _consumer()
    ends = json.dumps({part.partition: end for part, end in consumer.end_offsets(_PARTS).items()})
    consumer.close()
    if ends == context.cursor or not any(json.loads(ends).values()):
        return SkipReason("nothing new")
    context.update_cursor(ends)
    return RunRequest(run_key=ends)


defs = Definitions(
    assets=[orders, models],
    jobs=[job],
    sensors=[arrivals],
    resources={"dbt": DbtCliResource(project_dir=str(DBT), profiles_dir=str(DBT), target="prod")},
)
