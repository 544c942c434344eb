"""kill -9 in the first run of a new lake: nothing says anything false afterwards, and the next run is sound.

The places are passed once each, in the order of a first run: from DuckDB's extensions to the checks.
"""

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import psycopg2
import pytest

from ingestion.declare.file import load_streams
from ingestion.lake.lake import Lake
from ingestion.settings import Settings
from orchestration.keys import AUDIT_JOB, REFRESH_JOB
from orchestration.services.postgres import EmbeddedPostgres
from tests.fault.conftest import Count, Tally
from tests.fault.oracle import KafkaOracle
from tests.fault.orders import Worker, order_for
from tests.fault.test_kills_build import ASSETS, TOPIC, make_order
from tests.frozen.commands import Commands
from tests.servers.apache_kafka import ApacheKafka

PLACES = (
    "lake.extensions", "lake.attached", "lake.noted", "lake.tables", "lake.first_row",
    "loader.committed", "dbt.built", "check.queried",
)  # fmt: skip
FALSE = ("Traceback", "Catalog Error", "lost", "missing from", "does not add up", "defect", "gap")
"""What would be false of a lake that lacks nothing but the end of its first run."""


@dataclass
class New:
    """New lakes at one place, one after the other."""

    settings: Settings
    worker: Worker
    database: str
    admin: Any

    def make(self) -> None:
        """Nothing is there; what dbt has parsed stays, which is not of the lake."""
        for path in self.settings.data_dir.iterdir():
            if path.name != "dbt":
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        with self.admin.cursor() as cursor:
            cursor.execute(f"drop database if exists {self.database} with (force)")
            cursor.execute(f"create database {self.database}")

    def run(self, *jobs: str, **order: Any) -> tuple[int, list[str]]:
        """Jobs as runs of `millrace up`: the exit, and the checks that failed."""
        failed = self.settings.data_dir.with_suffix(".failed")
        failed.write_text("[]")
        parts = {job: ASSETS if job == REFRESH_JOB else [] for job in jobs}
        return self.worker.run(jobs=parts, failed=str(failed), **order), json.loads(failed.read_text())


@pytest.fixture
def new(kafka_settings: Settings, apache_kafka: ApacheKafka, postgres: EmbeddedPostgres) -> Iterator[New]:
    apache_kafka.create_topic(TOPIC, partitions=2)
    (stream,) = (each for each in load_streams(kafka_settings.streams_file) if each.name == TOPIC)
    worker = Worker("tests.fault.first_run")
    worker.tell(order_for(stream, kafka_settings)["settings"])
    assert worker.run() == 0, "all is loaded"
    assert kafka_settings.catalog is not None
    admin = psycopg2.connect(postgres.libpq("lake"))
    admin.autocommit = True
    database = kafka_settings.catalog.get_secret_value().partition("?")[0].rpartition("/")[2]
    yield New(kafka_settings, worker, database, admin)
    admin.close()
    worker.close()
    apache_kafka.delete_topic(TOPIC)


@pytest.mark.timeout(1800)
@pytest.mark.xdist_group("production_orders")  # the topic of that name, on the shared Kafka
@pytest.mark.slow("makes seven lakes, kills each one's first run, audits it and runs it again")
def test_a_killed_first_run_leaves_nothing_false_behind(
    new: New, apache_kafka: ApacheKafka, commands: Commands, tally: Tally
) -> None:
    oracle = KafkaOracle(apache_kafka.bootstrap_servers, TOPIC, make=make_order)
    oracle.send(60, partitions=2)
    assert new.settings.catalog is not None
    at = {
        "data_dir": new.settings.data_dir,
        "catalog": new.settings.catalog.get_secret_value(),
        "kafka_bootstrap_servers": apache_kafka.bootstrap_servers,
    }
    for place in PLACES:
        new.make()
        count = tally.places.setdefault(f"first run: {place}", Count())
        assert new.run(REFRESH_JOB, place=place)[0] == -9, f"{place} was never passed"
        count.kills, count.events = count.kills + 1, count.events + 60
        for command in ("status", "verify"):
            said = commands.run(command, **at)
            print(place, command, said.code, said.out, said.err)
            assert said.code == 0, f"{command} after a kill at {place}: {said}"
            assert not [word for word in FALSE if word in said.out + said.err], f"{command}, {place}: {said}"
        assert new.run(AUDIT_JOB, REFRESH_JOB) == (0, []), f"the audit and the run after a kill at {place}"
        with Lake(new.settings, read_only=True) as lake:
            assert oracle.violations(lake, TOPIC) == [], place
            assert lake.query(f"select count(*) from staging.stg_{TOPIC}") == [(60 - 6,)], place
