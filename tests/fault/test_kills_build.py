"""kill -9 in a run's build: in dbt between two models, and in a check; then one run makes all of it good."""

import json
import random
from collections.abc import Iterator

import pytest

from ingestion.declare.file import load_streams
from ingestion.lake.lake import Lake
from ingestion.settings import Settings
from tests.fault.conftest import Count, Tally
from tests.fault.oracle import KafkaOracle
from tests.fault.orders import Worker, order_for
from tests.fault.seeds import RUNS_KILLED, SEED
from tests.servers.apache_kafka import ApacheKafka

pytestmark = pytest.mark.early
TOPIC = "production_orders"  # of the project's own streams.yml
TABLES = ["staging.stg_production_orders", "intermediate.int_order_events", "marts.order_progress"]
ASSETS = [["raw", TOPIC], *(table.split(".") for table in TABLES)]
DEEPEST = {"dbt.built": 3, "check.queried": 4}


def make_order(number: int) -> bytes:
    event = {
        "order_event_id": f"event-{number}",
        "order_id": f"order-{number // 3}",
        "machine_id": "press-01",
        "product": "gear",
        "quantity": 5,
        "event": ("created", "started", "completed")[number % 3],
        "occurred_at": f"2026-03-01T08:{number // 60 % 60:02}:{number % 60:02}Z",
    }
    return json.dumps(event).encode()


@pytest.fixture
def builder(lake: Lake, settings: Settings, apache_kafka: ApacheKafka) -> Iterator[Worker]:
    apache_kafka.create_topic(TOPIC, partitions=2)
    lake.prepare(stream.name for stream in load_streams(settings.streams_file))
    lake.publish_access()
    (stream,) = (each for each in load_streams(settings.streams_file) if each.name == TOPIC)
    builder = Worker("tests.fault.builder")
    at = settings.replaced(kafka_bootstrap_servers=apache_kafka.bootstrap_servers)
    builder.tell(order_for(stream, at)["settings"])
    yield builder
    builder.close()
    apache_kafka.delete_topic(TOPIC)


@pytest.mark.xdist_group("production_orders")  # the topic of that name, on the shared Kafka
@pytest.mark.slow("a process is killed at each place of a build, and the next one builds again")
def test_a_kill_in_dbt_or_in_a_check_is_made_good_by_the_next_run(
    lake: Lake, apache_kafka: ApacheKafka, builder: Worker, tally: Tally
) -> None:
    print(f"seed {SEED}")
    dice = random.Random(SEED)
    oracle = KafkaOracle(apache_kafka.bootstrap_servers, TOPIC, make=make_order)
    for _ in range(RUNS_KILLED):
        for place, deepest in DEEPEST.items():
            count = tally.places.setdefault(place, Count())
            oracle.send(60, partitions=2)
            count.events += 60
            assert builder.run(assets=ASSETS, place=place, passes=dice.randint(1, deepest)) == -9, (
                "never passed"
            )
            count.kills += 1
        # Nothing has come since: this run has only the models and the checks to make good.
        assert builder.run(assets=ASSETS) == 0
        violations = oracle.violations(lake, TOPIC)
        count.violations += len(violations)
        assert violations == []
    built = {table: lake.query(f"select * from {table} order by all") for table in TABLES}
    assert builder.run(assets=ASSETS[1:], full_refresh=True) == 0
    assert {table: lake.query(f"select * from {table} order by all") for table in TABLES} == built
    assert len(built[TABLES[0]]) == sum(value.endswith(b"}") for value in oracle.acknowledged.values())
