"""Collector, batches, broker and catalog are killed while events come, for every kind of source.

Small as it stands. By hand, a million events and ten rounds of kills of one kind:

    MILLRACE_FAULT_EVENTS=1000000 MILLRACE_FAULT_KILLS=40 pytest -m "" -n 0 --timeout 7200 -s \\
        tests/fault/test_every_source_under_fire.py -k mqtt

What is promised of which: docs/delivery.md.
"""

import json
import os
import random
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg2
import pytest

from ingestion.declare.logs import open_log
from ingestion.declare.stream import Stream
from ingestion.lake.lake import Lake
from ingestion.settings import load_settings
from ingestion.watch.recount import verify
from orchestration.services.postgres import EmbeddedPostgres
from orchestration.services.rabbitmq import LocalRabbitMq
from tests.conftest import there
from tests.dbt_project.conftest import Warehouse, copy_project
from tests.dbt_project.raw import RawWriter
from tests.fault.conftest import Tally
from tests.fault.fire.http import HttpUnderFire
from tests.fault.fire.kafka import KafkaUnderFire
from tests.fault.fire.killing import Collector, Fire, Runs, unexplained
from tests.fault.fire.kinesis import KinesisUnderFire
from tests.fault.fire.mqtt import MqttUnderFire
from tests.fault.fire.rabbitmq import RabbitUnderFire
from tests.fault.fire.reckoning import copies, rows_of, staged, violations
from tests.fault.fire.source import Source
from tests.fault.orders import Worker, order_for
from tests.fault.seeds import KILLS, SEED
from tests.names import numbers
from tests.servers.mosquitto import Mosquitto
from tests.servers.moto import Moto
from tests.servers.rabbitmq import RabbitMq, rabbitmq_server

EVENTS = int(os.environ.get("MILLRACE_FAULT_EVENTS", "2000"))
ROUNDS = max(1, KILLS // 4)
NOTHING_CAME_SECONDS = 60.0
STRETCH_SECONDS = 1.0 if EVENTS < 20_000 else 3.0
_numbers = numbers()


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    """A PostgreSQL that is killed."""
    server = EmbeddedPostgres(tmp_path_factory.mktemp("catalog"))
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[LocalRabbitMq, RabbitMq]]:
    """A RabbitMQ that is killed."""
    server, reached = there(lambda: rabbitmq_server(tmp_path_factory.mktemp("rabbitmq")))
    server.start()
    yield server, reached
    server.kill()


def _queue(request: pytest.FixtureRequest, name: str, _: random.Random) -> Source:
    return RabbitUnderFire(*request.getfixturevalue("broker"), name, is_stream=False)


def _stream(request: pytest.FixtureRequest, name: str, _: random.Random) -> Source:
    return RabbitUnderFire(*request.getfixturevalue("broker"), name, is_stream=True)


def _kafka(request: pytest.FixtureRequest, name: str, _: random.Random) -> Source:
    return KafkaUnderFire(request.getfixturevalue("breakable_kafka"), name)


def _mqtt(request: pytest.FixtureRequest, name: str, _: random.Random) -> Source:
    folder = request.getfixturevalue("tmp_path") / "mosquitto"
    saved = ["persistence true", f"persistence_location {folder}/", "autosave_interval 0"]
    server = there(lambda: Mosquitto(folder, max_queued_messages=0, extra=saved))
    server.start()
    request.addfinalizer(server.stop)
    return MqttUnderFire(server, name)


def _kinesis(request: pytest.FixtureRequest, name: str, dice: random.Random) -> Source:
    request.getfixturevalue("aws_credentials")
    moto: Moto = request.getfixturevalue("moto")
    return KinesisUnderFire(moto, name, dice)


SOURCES: dict[str, Callable[[pytest.FixtureRequest, str, random.Random], Source]] = {
    "kafka": _kafka,
    "rabbitmq-stream": _stream,
    "rabbitmq-queue": _queue,
    "kinesis": _kinesis,
    "mqtt": _mqtt,
    "http-with-key": lambda *_: HttpUnderFire(keyed=True),
    "http-without-key": lambda *_: HttpUnderFire(keyed=False),
}


@pytest.mark.slow("collector, batches, broker and catalog are killed and started for each kind")
@pytest.mark.xdist_group("breakable_kafka")
@pytest.mark.parametrize("name", SOURCES)
def test_what_was_confirmed_is_there_as_promised_whatever_is_killed(
    name: str,
    request: pytest.FixtureRequest,
    catalog: EmbeddedPostgres,
    worker: Worker,
    tally: Tally,
    tmp_path: Path,
) -> None:
    print(f"{name}: {EVENTS:,} events, MILLRACE_FAULT_SEED={SEED}")
    dice, own = random.Random(SEED), next(_numbers)
    source = SOURCES[name](request, f"fire-{own}", dice)
    request.addfinalizer(source.close)
    settings = load_settings(
        data_dir=tmp_path / "data", catalog=_database(catalog, f"fire_{own}"), **source.settings
    )
    declared = {"source": source.declared, "business_id": ["n"], "fields": {"n": "bigint"}}
    stream = Stream.model_validate({"name": "s", **declared})
    settings.data_dir.mkdir(parents=True)
    (settings.data_dir / "streams.yml").write_text(json.dumps({"s": declared}))
    with Lake(settings) as lake:
        lake.prepare(["s"])
        lake.publish_access()

    began = time.monotonic()
    order = order_for(stream, settings, batch_max_events=max(EVENTS // 20, 100), **source.settings)
    collector = Collector(source.collector, settings, source.settings, dice) if source.collector else None
    if collector is not None:
        request.addfinalizer(collector.end)
    runs = Runs(worker, order, random.Random(SEED + 1))
    fire = Fire(source, collector, runs, catalog, dice)
    try:
        fire.burn(EVENTS, rounds=ROUNDS, seconds=STRETCH_SECONDS)
    finally:
        runs.close()
    runs.settle(source.heal)
    with Lake(settings) as lake:
        _until_landed(runs, lake)
        if collector is not None:
            assert collector.stop() == 0, collector.said
        runs.settle(source.heal)
        seconds = time.monotonic() - began
        rows = rows_of(lake, "s", mark=source.mark)
        found = violations(rows, source.sent, once=source.once, kept=source.kept())
        found += unexplained(runs.ended, fire.killed)
        log = open_log(stream, settings)
        counted = verify(lake, stream, log=log)
        log.close()
        found += [] if counted.verdict == "ok" else [f"verify: {counted}"]
        _build_staging(lake, stream, tmp_path / "dbt")
        found += staged(lake, "s", source.sent)
        again = verify(lake, stream, log=None)
        found += [] if again.verdict == "ok" else [f"verify of staging: {again}"]
    marked = sum(row.marked for row in rows)
    print(
        f"\n{name}: {EVENTS:,} confirmed, {len(rows):,} rows, {copies(rows)} copies, {marked} marked, "
        f"{sum(source.sent.again.values())} sent again, {source.sent.returned} given back; "
        f"{dict(fire.killed)}; runs {dict(runs.ended)}; {seconds:.0f} s; seed {SEED}; {found or 'all holds'}"
    )
    for what, count in fire.killed.items():
        tally.places[f"{name}, all at once: {what}"].kills += count
    tally.places[f"{name}, all at once"].events += EVENTS
    tally.places[f"{name}, all at once"].violations += len(found)
    assert found == []
    assert fire.killed["run"] == ROUNDS
    assert fire.killed["catalog"] == ROUNDS
    assert runs.ended[-signal.SIGKILL] >= ROUNDS


def _database(catalog: EmbeddedPostgres, name: str) -> str:
    connection = psycopg2.connect(catalog.libpq("lake"))
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute(f"create database {name}")
    connection.close()
    return catalog.dsn(name)


def _until_landed(runs: Runs, lake: Lake) -> None:
    """Ingest until all is there, or nothing more comes: what is missing then, the reckoning names."""
    landed, came_at = -1, time.monotonic()
    while landed < EVENTS and time.monotonic() - came_at < NOTHING_CAME_SECONDS:
        code = runs.drain()
        ((count,),) = lake.query("select count(distinct payload) from raw.s")
        if count > landed:
            landed, came_at = count, time.monotonic()
        print(f"\rdrained with {code} {runs.refused}, {count:,} are in raw", end="", flush=True)


def _build_staging(lake: Lake, stream: Stream, project: Path) -> None:
    """Staging of the stream alone, by dbt."""
    warehouse = Warehouse(lake, copy_project(project), RawWriter(lake))
    for folder in ("models", "tests", "seeds"):
        shutil.rmtree(warehouse.project / folder)
    (warehouse.project / "models" / "staging").mkdir(parents=True)
    warehouse.write_model("staging/stg_s.sql", "{{ staging('s') }}\n")
    warehouse.declare((stream,))
    warehouse.dbt("run", "--select", "stg_s")
