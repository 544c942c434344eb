"""W1: a pre-filled Kafka topic into raw, by Millrace with either client and by dlt's row path.

`python -m benchmarks.w1_drain --events 2000000 --rounds 2`: Kafka, PostgreSQL and the contenders run on this
machine; each measurement is a process of its own, its start included, and they take turns.
"""

import argparse
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import psycopg2
from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from benchmarks.report import Row, at_least, at_most, emit
from ingestion.connectors.kafka.access import KafkaAccess
from ingestion.formats.decode import decoder
from ingestion.settings import load_settings
from orchestration.garbage import uncollected
from orchestration.services.postgres import EmbeddedPostgres
from tests.repository import REPOSITORY
from tests.servers.apache_kafka import KafkaServer

PARTITIONS = 4
GUARANTEES = {
    "Millrace, kafka-python": "exactly once, proven",
    "Millrace, librdkafka": "exactly once, proven",
    "dlt's row path": "at least once",
}
MILLRACE, BASE = "Millrace, kafka-python", "dlt's row path"
TARGETS = {MILLRACE: 60_000, "Millrace, librdkafka": 200_000}
Result = dict[str, Any]


def fill(servers: str, topic: str, *, events: int, codec: str | None) -> None:
    """Produce high-entropy JSON events of about 200 bytes."""
    producer = KafkaProducer(
        bootstrap_servers=servers, compression_type=codec, linger_ms=50, batch_size=256 * 1024
    )
    dice = random.Random(7)
    for number in range(events):
        event = {
            "id": number,
            "at": time.time(),
            "key": dice.randbytes(24).hex(),
            "text": dice.randbytes(40).hex(),
        }
        producer.send(topic, json.dumps(event).encode(), partition=number % PARTITIONS)
    producer.close()


def run_millrace(options: dict[str, Any]) -> Result:
    """Drain the topic with the Ingestor; returns the rows and the seconds of each step."""
    from ingestion.declare.logs import open_log
    from ingestion.declare.stream import Stream
    from ingestion.lake.lake import Lake
    from ingestion.land.batch import Ingestor

    settings = load_settings(**options["settings"], kafka_client=options["client"])
    stream = Stream.model_validate({"name": "events", "source": {"kafka": options["topic"]}})
    rows, steps = 0, Counter[str]()
    with Lake(settings) as lake:
        lake.prepare(["events"])
        with uncollected():  # as in the process of runs
            log, ingestor = open_log(stream, settings), Ingestor(lake)
        while (report := ingestor.run(stream, log, decode=decoder("json"))).batch_id is not None:
            rows += report.events_landed
            steps.update(report.seconds)
        log.close()
    return {"rows": rows, "steps": dict(steps)}


def run_dlt_rows(options: dict[str, Any]) -> Result:
    """The same topic as dictionaries through dlt's own DuckLake destination, one load per 50,000 events."""
    import dlt
    import duckdb
    from dlt.destinations.impl.ducklake.configuration import DuckLakeCredentials

    from ingestion.lake.engine import engine_config, extension_directory, install_extensions

    settings = load_settings(**options["settings"])
    assert settings.catalog is not None
    consumer = KafkaConsumer(
        bootstrap_servers=settings.access("kafka", KafkaAccess).servers,
        enable_auto_commit=False,
        max_poll_records=20_000,
    )
    parts = [TopicPartition(options["topic"], number) for number in range(PARTITIONS)]
    consumer.assign(parts)
    consumer.seek_to_beginning()
    wanted, rows = int(options["events"]), 0
    credentials = DuckLakeCredentials(
        ducklake_name="lake",
        catalog=settings.catalog.get_secret_value(),
        storage=settings.resolved_lake_path,
    )
    with duckdb.connect(config=engine_config(settings.data_dir)) as connection:
        install_extensions(connection)
    credentials.global_config = {"extension_directory": str(extension_directory(settings.data_dir))}
    destination = dlt.destinations.ducklake(credentials)
    pipeline = dlt.pipeline(
        "rows", destination=destination, dataset_name="raw", pipelines_dir=str(settings.data_dir / "dlt")
    )
    while rows < wanted:
        batch: list[dict[str, Any]] = []
        while len(batch) < 50_000 and rows + len(batch) < wanted:
            for records in consumer.poll(500).values():
                batch += [
                    {"offset": r.offset, "partition": r.partition} | json.loads(r.value) for r in records
                ]
        pipeline.run(batch, table_name="events")
        rows += len(batch)
    return {"rows": rows, "steps": {}}


CONTENDERS = {
    "Millrace, kafka-python": lambda options: run_millrace(options | {"client": "kafka-python"}),
    "Millrace, librdkafka": lambda options: run_millrace(options | {"client": "librdkafka"}),
    "dlt's row path": run_dlt_rows,
}


def measure(name: str, options: dict[str, Any]) -> Result:
    """Run a contender in a process of its own; wall and CPU seconds, peak memory in MiB."""
    child = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.w1_drain", "--child", name, "--options", json.dumps(options)],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        text=True,
    )
    watched, peak, cpu = psutil.Process(child.pid), 0.0, 0.0
    while child.poll() is None:
        try:
            peak = max(peak, watched.memory_full_info().pss / 2**20)
            times = watched.cpu_times()
            cpu = times.user + times.system
        except psutil.Error:
            break
        time.sleep(0.05)
    assert child.stdout is not None
    run = json.loads(child.stdout.read().splitlines()[-1]) | {"cpu": cpu, "peak": peak}
    assert run["rows"] >= options["events"], run  # a contender that reads a part may read a poll more
    return run


def main() -> None:
    """Parse the command line; run the benchmark or, in a child, one contender."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--events", type=int, default=2_000_000)
    parser.add_argument(
        "--slow-events", type=int, default=200_000, help="of dlt's row path, whose pace is even"
    )
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--codec", default="lz4")
    parser.add_argument("--child")
    parser.add_argument("--options")
    arguments = parser.parse_args()
    if arguments.child:
        started = time.monotonic()
        told = CONTENDERS[arguments.child](json.loads(arguments.options))
        print(json.dumps(told | {"seconds": time.monotonic() - started}))
        return
    with tempfile.TemporaryDirectory(prefix="millrace-bench-") as folder:
        results = compare(Path(folder), arguments)
    emit(report(results))


def report(results: dict[str, list[Result]]) -> list[Row]:
    """Medians over the rounds: events a second, CPU and where Millrace's time goes."""
    rows = []
    speeds = {name: _median(runs, lambda run: run["rows"] / run["seconds"]) for name, runs in results.items()}
    for name, runs in results.items():
        cpu = _median(runs, lambda run: run["cpu"] / run["rows"] * 1e6)
        peak = _median(runs, lambda run: run["peak"])
        steps = (
            f"{step} {_median(runs, lambda run, step=step: run['steps'][step] / run['rows'] * 1e6):.1f}"
            for step in runs[0]["steps"]
        )
        note = f"{speeds[name] / speeds[BASE]:.1f} × dlt's rows; peak {peak:.0f} MiB; {GUARANTEES[name]}"
        where = ", ".join(steps)
        note += f"; seconds per million: {where}" if where else ""
        if name not in TARGETS:
            rows.append(Row("W1", name, f"{speeds[name]:,.0f} events/s, {cpu:.1f} CPU-s/M", note=note))
            continue
        rows.append(at_least("W1", name, speeds[name], TARGETS[name], unit="events/s", note=note))
        if name == MILLRACE:
            rows.append(at_most("W1", f"{name}, CPU", cpu, 15, unit="CPU-s per million"))
        else:
            rows.append(Row("W1", f"{name}, CPU", f"{cpu:.3g} CPU-s per million"))
    return rows


def _median(runs: list[Result], figure: Callable[[Result], float]) -> float:
    return statistics.median(figure(run) for run in runs)


def compare(folder: Path, arguments: argparse.Namespace) -> dict[str, list[Result]]:
    """Start the servers, and let the contenders take turns; the first round is not counted."""
    kafka = KafkaServer(folder / "kafka", cache=REPOSITORY / ".pytest_cache")
    postgres = EmbeddedPostgres(folder / "postgres")
    results: dict[str, list[Result]] = {name: [] for name in CONTENDERS}
    try:
        kafka.start()
        postgres.start()
        kafka.create_topic("w1", partitions=PARTITIONS)
        fill(
            kafka.bootstrap_servers,
            "w1",
            events=arguments.events,
            codec=None if arguments.codec == "none" else arguments.codec,
        )
        for number in range(arguments.rounds + 1):
            for place, name in enumerate(CONTENDERS):
                database = f"w1_{number}_{place}"
                connection = psycopg2.connect(postgres.libpq("lake"))
                connection.autocommit = True
                connection.cursor().execute(f"create database {database}")
                connection.close()
                run = measure(
                    name,
                    {
                        "topic": "w1",
                        "events": arguments.slow_events if name == BASE else arguments.events,
                        "settings": {
                            "data_dir": str(folder / database),
                            "catalog": postgres.dsn(database),
                            "kafka_bootstrap_servers": kafka.bootstrap_servers,
                        },
                    },
                )
                if number:
                    results[name].append(run)
    finally:
        postgres.stop()
        kafka.stop()
    return results


if __name__ == "__main__":
    main()
