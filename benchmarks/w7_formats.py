"""W7: the same events as JSON, Avro, Protocol Buffers and XML, from Kafka into raw.

`python -m benchmarks.w7_formats --events 500000 --rounds 12`: each measurement is a process of its own, its
start included; they take turns, each round in an order by chance, and paces are compared within it, since
a shared machine's own differs from minute to minute. Raw keeps the bytes of what is not JSON, too.
"""

import argparse
import io
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import fastavro
import psutil
import psycopg2
from kafka import KafkaProducer

from benchmarks.report import Row, emit
from ingestion.formats.decode import decoder
from ingestion.formats.protobuf.compiled import compiled
from ingestion.formats.protobuf.descriptors import message_class
from ingestion.settings import load_settings
from orchestration.garbage import uncollected
from orchestration.services.postgres import EmbeddedPostgres
from tests.repository import REPOSITORY
from tests.servers.apache_kafka import KafkaServer

PARTITIONS = 4
SCHEMA: dict[str, Any] = {
    "type": "record",
    "name": "Reading",
    "fields": [
        {"name": "reading_id", "type": "string"},
        {"name": "machine_id", "type": "string"},
        {"name": "measured_at", "type": "string"},
        {"name": "temperature_celsius", "type": "double"},
        {"name": "count", "type": "long"},
        {"name": "is_ok", "type": "boolean"},
        {"name": "note", "type": ["null", "string"]},
    ],
}
PROTO = """
syntax = "proto3";
message Reading {
  string reading_id = 1;
  string machine_id = 2;
  string measured_at = 3;
  double temperature_celsius = 4;
  int64 count = 5;
  bool is_ok = 6;
  optional string note = 7;
}
"""
FORMATS: dict[str, Any] = {
    "json": "json",
    "avro": {"avro": {"schema": {"file": "reading.avsc"}, "encoding": "bare"}},
    "protobuf": {"protobuf": {"file": "reading.proto", "message": "Reading"}},
    "xml": "xml",
}
"""As streams.yml declares them."""
Result = dict[str, Any]


def events(count: int) -> Iterator[dict[str, Any]]:
    """Readings of a machine, of about 190 bytes as JSON."""
    dice = random.Random(7)
    for number in range(count):
        yield {
            "reading_id": dice.randbytes(12).hex(),
            "machine_id": f"m{number % 20}",
            "measured_at": f"2026-03-01T{number // 3600 % 24:02}:{number // 60 % 60:02}:30.123Z",
            "temperature_celsius": round(dice.gauss(70, 9), 4),
            "count": number,
            "is_ok": number % 7 > 0,
            "note": None if number % 3 else dice.randbytes(9).hex(),
        }


def _avro() -> Callable[[Mapping[str, Any]], bytes]:
    parsed = fastavro.parse_schema(SCHEMA)

    def encode(event: Mapping[str, Any]) -> bytes:
        file = io.BytesIO()
        fastavro.schemaless_writer(file, parsed, event)
        return file.getvalue()

    return encode


def _protobuf() -> Callable[[Mapping[str, Any]], bytes]:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "reading.proto")
        file.write_text(PROTO)
        message = message_class(compiled(file, project=file.parent), "Reading")
    return lambda event: bytes(message(**event).SerializeToString())


def _xml(event: Mapping[str, Any]) -> bytes:
    root = ElementTree.Element("reading")
    for name, value in event.items():
        if value is not None:
            ElementTree.SubElement(root, name).text = str(value)
    return ElementTree.tostring(root)


ENCODERS: dict[str, Callable[[Mapping[str, Any]], bytes]] = {
    "json": lambda event: json.dumps(event, separators=(",", ":")).encode(),
    "avro": _avro(),
    "protobuf": _protobuf(),
    "xml": _xml,
}


def drain(name: str, options: dict[str, Any]) -> Result:
    """Drain a topic with the Ingestor; returns the rows and the seconds of each step."""
    from ingestion.declare.logs import open_log
    from ingestion.declare.stream import Stream
    from ingestion.formats.port import FOLDER
    from ingestion.lake.lake import Lake
    from ingestion.land.batch import Ingestor

    declared = {"name": "events", "source": {"kafka": name}, "format": FORMATS[name], "fields": {}}
    settings = load_settings(**options["settings"])
    stream = Stream.model_validate(declared, context={FOLDER: options["folder"]})
    rows, steps = 0, Counter[str]()
    with Lake(settings) as lake:
        lake.prepare(["events"])
        with uncollected():  # as in the process of runs
            log, ingestor = open_log(stream, settings), Ingestor(lake)
        while (report := ingestor.run(stream, log, decode=decoder(stream.format))).batch_id is not None:
            rows += report.events_landed
            steps.update(report.seconds)
        log.close()
    return {"rows": rows, "steps": dict(steps), "cpu": sum(psutil.Process().cpu_times()[:2])}


def main() -> None:
    """Parse the command line; run the benchmark or, in a child, one format."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--events", type=int, default=500_000)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--formats", default=",".join(ENCODERS), help="with commas; json is the measure")
    parser.add_argument(
        "--spark", metavar="PYTHON", help="with pyspark: its reader of XML on the same documents"
    )
    parser.add_argument("--child")
    parser.add_argument("--options")
    arguments = parser.parse_args()
    if arguments.child:
        started = time.monotonic()
        found = drain(arguments.child, json.loads(arguments.options))
        print(json.dumps(found | {"seconds": time.monotonic() - started}))
        return
    with tempfile.TemporaryDirectory(prefix="millrace-bench-") as folder:
        emit(report(compare(Path(folder), arguments)))
        if arguments.spark:
            emit(spark(Path(folder), arguments))


def compare(folder: Path, arguments: argparse.Namespace) -> dict[str, list[Result]]:
    """Start the servers, and let the formats take turns; the first round is not counted."""
    kafka = KafkaServer(folder / "kafka", cache=REPOSITORY / ".pytest_cache")
    postgres = EmbeddedPostgres(folder / "postgres")
    (folder / "reading.avsc").write_text(json.dumps(SCHEMA))
    (folder / "reading.proto").write_text(PROTO)
    encoders = {name: ENCODERS[name] for name in arguments.formats.split(",")}
    results: dict[str, list[Result]] = {name: [] for name in encoders}
    dice = random.Random(7)
    try:
        kafka.start()
        postgres.start()
        for name, encode in encoders.items():
            kafka.create_topic(name, partitions=PARTITIONS)
            producer = KafkaProducer(
                bootstrap_servers=kafka.bootstrap_servers, compression_type="lz4", linger_ms=50
            )
            for number, event in enumerate(events(arguments.events)):
                producer.send(name, encode(event), partition=number % PARTITIONS)
            producer.close()
        for number in range(arguments.rounds + 1):
            for name in dice.sample(list(encoders), len(encoders)):
                database = f"w7_{number}_{name}"
                connection = psycopg2.connect(postgres.libpq("lake"))
                connection.autocommit = True
                connection.cursor().execute(f"create database {database}")
                connection.close()
                settings = {
                    "data_dir": str(folder / database),
                    "catalog": postgres.dsn(database),
                    "kafka_bootstrap_servers": kafka.bootstrap_servers,
                }
                run = _measure(name, {"folder": str(folder), "settings": settings})
                assert run["rows"] == arguments.events, run
                if number:
                    results[name].append(run)
    finally:
        postgres.stop()
        kafka.stop()
    return results


def _measure(name: str, options: dict[str, Any]) -> Result:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.w7_formats", "--child", name, "--options", json.dumps(options)],
        cwd=REPOSITORY, stdout=subprocess.PIPE, text=True, check=True,
    )  # fmt: skip
    found: Result = json.loads(done.stdout.splitlines()[-1])
    return found


def spark(folder: Path, arguments: argparse.Namespace) -> list[Row]:
    """Spark's reader of XML on the same documents, from a file: median pace, and its CPU."""
    documents, out = folder / "documents.txt", folder / "spark"
    documents.write_bytes(b"".join(_xml(event) + b"\n" for event in events(arguments.events)))
    runs = []
    for _ in range(arguments.rounds):
        done = subprocess.run(
            [
                arguments.spark, str(REPOSITORY / "benchmarks" / "peers" / "xml_spark.py"),
                json.dumps({"documents": str(documents), "out": str(out)}),
            ],
            stdout=subprocess.PIPE, text=True, check=True,
        )  # fmt: skip
        found = json.loads(done.stdout.splitlines()[-1])
        assert found["rows"] == arguments.events, found
        runs.append((found["seconds"], found["cpu"]))
    seconds, cpu = (statistics.median(each) / arguments.events * 1e6 for each in zip(*runs, strict=True))
    measured = f"{1e6 / seconds:,.0f} events/s, {cpu:.1f} CPU-s per million"
    return [
        Row("W7", "xml, Spark from a file", measured, note="no broker, no ledger; a JVM's start is in it")
    ]


def report(results: dict[str, list[Result]]) -> list[Row]:
    """Medians over the rounds: events a second, CPU, and where the time goes."""

    def median(name: str, figure: Callable[[Result], float]) -> float:
        return statistics.median(figure(run) / run["rows"] * 1e6 for run in results[name])

    rows = []
    for name in results:
        seconds, cpu = median(name, lambda run: run["seconds"]), median(name, lambda run: run["cpu"])
        steps = ", ".join(
            f"{step} {median(name, lambda run, step=step: run['steps'][step]):.1f}"
            for step in results[name][0]["steps"]
        )
        rounds = list(zip(results["json"], results[name], strict=True))
        paces = sorted(base["seconds"] / run["seconds"] for base, run in rounds)
        dearer = statistics.median(run["cpu"] / base["cpu"] for base, run in rounds)
        pace, quarter = statistics.median(paces), len(paces) // 4
        measured = f"{1e6 / seconds:,.0f} events/s, {cpu:.1f} CPU-s per million"
        note = (
            f"{pace:.2f} × JSON's pace (in half of the rounds {paces[quarter]:.2f} to "
            f"{paces[-1 - quarter]:.2f}), {dearer:.2f} × its CPU; seconds per million: {steps}"
        )
        has_target = name in ("avro", "protobuf")
        rows.append(
            Row(
                "W7", name, measured, "at least JSON's pace" if has_target else "",
                pace >= 1 if has_target else None, note,
            )
        )  # fmt: skip
    return rows


if __name__ == "__main__":
    main()
