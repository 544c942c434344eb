"""Real series, replayed through real brokers, counted and aggregated against the files themselves.

Numenta's Anomaly Benchmark lies beside the project where it is at hand; no copy of it is kept here.
"""

import json
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import duckdb
import paho.mqtt.client as mqtt
import pytest
from kafka import KafkaProducer

from ingestion.declare.file import load_streams
from ingestion.declare.logs import open_log
from ingestion.declare.stream import Stream
from ingestion.formats.decode import decoder
from ingestion.lake.lake import Lake
from ingestion.lake.ledger import prove
from ingestion.land.batch import Ingestor
from ingestion.settings import Settings, load_settings
from orchestration.dbt.call import DbtProject
from orchestration.dbt.prepared import prepare_project
from orchestration.dbt.runner import build_args, invoke
from tests.ingestion.helpers import mqtt_collector
from tests.repository import REPOSITORY
from tests.servers.apache_kafka import ApacheKafka
from tests.servers.mosquitto import Mosquitto
from tests.waiting import eventually

NAB = REPOSITORY.parent / "shared" / "data" / "nab"
SERIES = {
    "machine_temperature": "machine_temperature_system_failure.csv",
    "cpu_utilization": "cpu_utilization_asg_misconfiguration.csv",
    "request_latency": "ec2_request_latency_system_failure.csv",
}
STREAMS = """
machine_temperature:
  source: {mqtt: nab/machine/temperature}
  event_time: read_at
  fields: {read_at: timestamp, value: double}
cpu_utilization:
  source: {kafka: cpu_utilization}
  event_time: read_at
  fields: {read_at: timestamp, value: double}
request_latency:
  source: {kafka: request_latency}
  event_time: read_at
  fields: {read_at: timestamp, value: double}
"""
BUCKETS = (
    "date_trunc('{unit}', {time}) as bucket, count(*) as readings, sum({value}::decimal(38, 12)) as total"
)

needs_nab = pytest.mark.skipif(
    not NAB.is_dir(), reason="the NAB series are not beside the project (shared/data/nab)"
)
pytestmark = [pytest.mark.early, needs_nab]


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[Mosquitto]:
    """A Mosquitto that queues without a bound: with its 1,000 it drops what comes faster than we take."""
    server = Mosquitto(tmp_path / "mosquitto", max_queued_messages=0)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def nab_settings(
    settings: Settings, apache_kafka: ApacheKafka, mosquitto: Mosquitto, tmp_path: Path
) -> Settings:
    streams_file = tmp_path / "streams.yml"
    streams_file.write_text(STREAMS)
    return load_settings(
        data_dir=settings.data_dir,
        catalog=settings.catalog,
        streams_file=streams_file,
        kafka_bootstrap_servers=apache_kafka.bootstrap_servers,
        mqtt_host=mosquitto.host,
        mqtt_port=mosquitto.port,
        batch_max_events=9_000,
    )


def payloads_of(series: str) -> list[bytes]:
    """Each row of a file as an event, in order."""
    rows = duckdb.sql(f"select timestamp::varchar, value from read_csv('{NAB / SERIES[series]}')").fetchall()
    return [json.dumps({"read_at": at, "value": value}).encode() for at, value in rows]


def publish_mqtt(server: Mosquitto, payloads: list[bytes]) -> None:
    """Send to nab/machine/temperature and wait until the broker has all."""
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id="nab")
    client.connect(server.host, server.port)
    client.loop_start()
    sent = [client.publish("nab/machine/temperature", payload, qos=1) for payload in payloads]
    for message in sent:
        message.wait_for_publish(timeout=60)
    client.disconnect()
    client.loop_stop()


def _ingest_all(lake: Lake, streams: tuple[Stream, ...], settings: Settings) -> None:
    ingestor = Ingestor(lake)
    for stream in streams:
        log = open_log(stream, settings)
        while ingestor.run(stream, log, decode=decoder("json")).batch_id is not None:
            pass
        log.close()


def _dbt_project(tmp_path: Path, streams: tuple[Stream, ...], settings: Settings) -> DbtProject:
    """The project's macros and profile with a one-line staging model for each stream."""
    folder = tmp_path / "dbt"
    ours = REPOSITORY / "dbt_project"
    shutil.copytree(ours / "macros", folder / "macros")
    for name in ("dbt_project.yml", "packages.yml", "profiles.yml"):
        shutil.copy(ours / name, folder / name)
    (folder / "models" / "staging").mkdir(parents=True)
    for stream in streams:
        model = folder / "models" / "staging" / f"stg_{stream.name}.sql"
        model.write_text(f"{{{{ staging('{stream.name}') }}}}\n")
    prepare_project(streams, folder)
    return DbtProject(
        project_dir=folder,
        profiles_dir=folder,
        state_dir=tmp_path / "dbt-state",
        target="prod",
        environment={"MILLRACE_DATA_DIR": str(settings.data_dir)},
    )


@pytest.mark.slow("real series of half a minute's work; they lie beside the project where they are at hand")
def test_every_reading_arrives_once_and_aggregates_equal_the_files(
    lake: Lake, nab_settings: Settings, apache_kafka: ApacheKafka, mosquitto: Mosquitto, tmp_path: Path
) -> None:
    streams = load_streams(nab_settings.streams_file)
    payloads = {series: payloads_of(series) for series in SERIES}
    lake.settings = nab_settings
    lake.prepare([stream.name for stream in streams])
    lake.publish_access()
    collector, stop = mqtt_collector(nab_settings, streams), threading.Event()
    listening = threading.Thread(target=collector.run, args=(stop,))
    listening.start()
    try:
        eventually(lambda: collector.status()["subscribed"], "the collector has subscribed")
        publish_mqtt(mosquitto, payloads["machine_temperature"])
        for series in ("cpu_utilization", "request_latency"):
            apache_kafka.create_topic(series, partitions=3)
            producer = KafkaProducer(bootstrap_servers=apache_kafka.bootstrap_servers, compression_type="lz4")
            for index, payload in enumerate(payloads[series]):
                producer.send(series, payload, partition=index % 3)
            producer.close()
        wanted = len(payloads["machine_temperature"])
        spooled = open_log(streams[0], nab_settings)
        eventually(
            lambda: sum(held.end for held in spooled.bounds().values()) >= wanted,
            f"{wanted} readings are spooled",
        )
    finally:
        stop.set()
        listening.join(timeout=60)
    _ingest_all(lake, streams, nab_settings)
    invoke(_dbt_project(tmp_path, streams, nab_settings), build_args("build"))
    for series, expected in payloads.items():
        landed = [row[0].encode() for row in lake.query(f"select payload from raw.{series}")]
        assert sorted(landed) == sorted(expected), f"{series}: not every reading exactly once"
        assert prove(lake, series).defects == ()
        for unit in ("minute", "hour"):
            ours = lake.query(
                f"select {BUCKETS.format(unit=unit, time='event_at', value='value')} "
                f"from staging.stg_{series} group by all order by 1"
            )
            theirs = duckdb.sql(
                "set TimeZone = 'UTC'; select "
                + BUCKETS.format(unit=unit, time="timestamp::timestamptz", value="value")
                + f" from read_csv('{NAB / SERIES[series]}') group by all order by 1"
            ).fetchall()
            assert ours == theirs, f"{series} by {unit}"
