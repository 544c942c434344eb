"""From the wheel to an own project on real brokers: 10,000 real readings of each, to the last digit."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
import pytest
from kafka import KafkaProducer

from tests.e2e.test_nab import BUCKETS, NAB, SERIES, needs_nab, payloads_of, publish_mqtt
from tests.names import numbers
from tests.servers.apache_kafka import ApacheKafka
from tests.servers.mosquitto import Mosquitto
from tests.waiting import eventually

ROWS = 10_000
TEMPERATURE, CPU = "machine_temperature", "cpu_utilization"
STREAMS = """
machine_temperature:
  source: {{mqtt: nab/machine/temperature}}
  event_time: read_at
  fields: {{read_at: timestamp, value: double}}
cpu_utilization:
  source: {{kafka: {topic}, start: earliest}}
  event_time: read_at
  fields: {{read_at: timestamp, value: double}}
"""
MART = """{{ config(materialized='incremental', unique_key=['series', 'hour_at']) }}

with readings as (
    select
        'machine_temperature' as series, date_trunc('hour', event_at) as hour_at, value,
        batch_id as temperature_batch_id, 0 as cpu_batch_id
    from {{ ref('stg_machine_temperature') }}
    union all
    select
        'cpu_utilization' as series, date_trunc('hour', event_at) as hour_at, value,
        0 as temperature_batch_id, batch_id as cpu_batch_id
    from {{ ref('stg_cpu_utilization') }}
),

changed as (
    select distinct series, hour_at
    from readings
    where
        temperature_batch_id > {{ watermark(this, 'last_temperature_batch_id') }}
        or cpu_batch_id > {{ watermark(this, 'last_cpu_batch_id') }}
),

final as (
    select
        series, hour_at, count(*) as readings, sum(value::decimal(38, 12)) as total,
        max(temperature_batch_id) as last_temperature_batch_id, max(cpu_batch_id) as last_cpu_batch_id
    from readings
    semi join changed using (series, hour_at)
    group by series, hour_at
)

select * from final
"""
pytestmark = [
    pytest.mark.e2e,
    pytest.mark.xdist_group("wheel"),
    pytest.mark.mosquitto,
    pytest.mark.slow("an environment is made from the wheel, and a system runs in it until all has landed"),
    needs_nab,
]


class Project:
    """A project's folder, and the programs of an environment that has the wheel and no checkout."""

    def __init__(self, folder: Path, programs: Path, *, topic: str) -> None:
        self.folder, self.topic, self._programs = folder, topic, programs
        self._environment = {
            name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "MILLRACE_"))
        }

    def millrace(self, *arguments: str, cwd: Path | None = None, code: int = 0) -> str:
        """Run a command as a user does; it has to end with this code."""
        done = subprocess.run(
            [self._programs / "millrace", *arguments], cwd=cwd or self.folder, env=self._environment,
            capture_output=True, text=True, timeout=180,
        )  # fmt: skip
        assert done.returncode == code, f"{arguments}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def query(self, sql: str) -> list[dict[str, object]]:
        """Rows of the lake."""
        return list(json.loads(self.millrace("query", "--json", sql)))

    def write(self, path: str, text: str) -> None:
        """Write a file of the project."""
        (self.folder / path).write_text(text)

    @contextmanager
    def running(self) -> Iterator[None]:
        """`millrace up`, until the block ends; its log is shown when the test fails."""
        with (self.folder / "up.log").open("w") as log:
            argv = [self._programs / "millrace", "up", "--no-ui"]
            system = subprocess.Popen(argv, cwd=self.folder, env=self._environment, stdout=log, stderr=log)
            try:
                yield
                assert system.poll() is None
            finally:
                system.terminate()
                system.wait(timeout=60)
                print((self.folder / "up.log").read_text())

    def count(self, table: str) -> int:
        """Rows of a table; 0 while it is not there."""
        try:
            return int(str(self.query(f"select count(*) as n from {table}")[0]["n"]))
        except AssertionError:
            return 0


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[Mosquitto]:
    """A Mosquitto that queues without a bound."""
    server = Mosquitto(tmp_path / "mosquitto", max_queued_messages=0)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def project(
    bin_dir: Path, apache_kafka: ApacheKafka, mosquitto: Mosquitto, tmp_path: Path
) -> Iterator[Project]:
    """An empty new project, then two streams, their staging models, a mart, and both brokers in .env."""
    topic = f"nab_cpu_{next(numbers())}"
    made = Project(tmp_path / "x", bin_dir, topic=topic)
    made.millrace("new", "x", "--example", "none", cwd=tmp_path)
    apache_kafka.create_topic(topic, partitions=3)
    made.write("streams.yml", STREAMS.format(topic=topic))
    for stream in (TEMPERATURE, CPU):
        made.write(f"dbt_project/models/staging/stg_{stream}.sql", f"{{{{ staging('{stream}') }}}}\n")
    made.write("dbt_project/models/marts/hourly.sql", MART)
    with (made.folder / ".env").open("a") as file:
        file.write(f"MILLRACE_KAFKA_BOOTSTRAP_SERVERS={apache_kafka.bootstrap_servers}\n")
        file.write(f"MILLRACE_MQTT_HOST={mosquitto.host}\nMILLRACE_MQTT_PORT={mosquitto.port}\n")
    yield made
    shutil.rmtree(made.folder / ".millrace", ignore_errors=True)


def subscribed(project: Project) -> bool:
    try:
        status = json.loads((project.folder / ".millrace" / "collector" / "status.json").read_text())
    except (OSError, ValueError):
        return False
    return bool(status.get("subscribed"))


def expected(series: str) -> list[tuple[str, int, str]]:
    """Hour, readings and total of the first rows of a file."""
    rows = duckdb.sql(
        "set TimeZone = 'UTC'; select bucket::varchar, readings, total::varchar from (select "
        + BUCKETS.format(unit="hour", time="timestamp::timestamptz", value="value")
        + f" from (from read_csv('{NAB / SERIES[series]}') limit {ROWS}) group by all) order by bucket"
    )
    return rows.fetchall()


def test_two_streams_of_real_readings_reach_a_mart_to_the_last_digit(
    project: Project, apache_kafka: ApacheKafka, mosquitto: Mosquitto
) -> None:
    payloads = {series: payloads_of(series)[:ROWS] for series in (TEMPERATURE, CPU)}
    assert [len(each) for each in payloads.values()] == [ROWS, ROWS]
    with project.running():
        eventually(lambda: subscribed(project), "the collector has subscribed", seconds=120)
        publish_mqtt(mosquitto, payloads[TEMPERATURE])
        producer = KafkaProducer(bootstrap_servers=apache_kafka.bootstrap_servers, compression_type="lz4")
        for index, payload in enumerate(payloads[CPU]):
            producer.send(project.topic, payload, partition=index % 3)
        producer.close()
        total = "(select coalesce(sum(readings), 0)::bigint as n from marts.hourly)"
        eventually(
            lambda: (
                all(project.count(f"staging.stg_{series}") == ROWS for series in payloads)
                and project.query(f"select n from {total}") == [{"n": 2 * ROWS}]
            ),
            "both streams are in the mart",
            seconds=240,
        )
        for series, sent in payloads.items():
            landed = [
                str(row["payload"]).encode() for row in project.query(f"select payload from raw.{series}")
            ]
            assert sorted(landed) == sorted(sent), series
            rows = project.query(
                "select hour_at::varchar as bucket, readings, total::varchar as total from marts.hourly "
                f"where series = '{series}' order by hour_at"
            )
            assert [tuple(row.values()) for row in rows] == expected(series), series
        project.millrace("verify")
    assert project.millrace("upgrade-project").startswith("nothing to do")
