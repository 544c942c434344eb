"""What a record of Kafka causes, seen from outside: by one trace from its producer to the reaction, and by
lineage from its topic to the mart. Real receivers of OTLP and of OpenLineage, a whole system."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from kafka import KafkaProducer

from tests.e2e.conditions.system import PATIENCE_SECONDS, System
from tests.names import numbers
from tests.servers.apache_kafka import ApacheKafka
from tests.servers.lineage import LineageCatalog
from tests.servers.otlp import Collector, Seen
from tests.servers.webhook import Webhook
from tests.waiting import eventually

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.slow("a whole system, from a record in Kafka to a posted alert"),
]
STREAM = """
heat{n}:
  source: {{kafka: heat{n}, start: earliest}}
  fields: {{device: varchar, celsius: double}}
"""
ALERTS = """
select 'hot' as rule_id, device, 'critical' as severity, min(event_at) as opened_at,
    null::timestamptz as closed_at, 'Warmer than its grease can bear' as description
from {{{{ ref('stg_heat{n}') }}}}
where celsius > 80
group by device
"""
ABOUT = """
models:
  - name: alerts
    config:
      materialized: table
      schema: marts
      meta: {{rule_alerts: {{key: device, conditions: [critical]}}}}
"""
TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SECRET = "t0ken-of-the-collector"


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as collector:
        yield collector


@pytest.fixture
def catalog() -> Iterator[LineageCatalog]:
    with LineageCatalog() as catalog:
        yield catalog


@pytest.fixture
def system(
    tmp_path: Path, apache_kafka: ApacheKafka, collector: Collector, catalog: LineageCatalog
) -> Iterator[System]:
    number = 4_000 + next(numbers())
    with Webhook() as hook:
        system = System(
            tmp_path / "p", kafka=apache_kafka.bootstrap_servers, hook=hook, number=number,
            environment={
                "MILLRACE_ENV_FILE": str(tmp_path / "p" / ".env"),
                "OTEL_EXPORTER_OTLP_HEADERS": f"authorization={SECRET}",
            },
        )  # fmt: skip
        apache_kafka.create_topic(f"heat{number}")
        system.write("streams.yml", STREAM)
        system.stage("heat")
        system.write("dbt_project/models/marts/alerts.sql", ALERTS)
        system.write("dbt_project/models/marts/alerts.yml", ABOUT)
        with (system.folder / ".env").open("a") as env:
            env.write(f"\nOTEL_EXPORTER_OTLP_ENDPOINT={collector.url}\nOPENLINEAGE_URL={catalog.url}\n")
        system.start()
        try:
            yield system
        finally:
            system.stop()


def test_a_trace_goes_from_the_producer_to_the_reaction_and_lineage_to_the_mart(
    system: System, collector: Collector, catalog: LineageCatalog, apache_kafka: ApacheKafka
) -> None:
    stream = f"heat{system.number}"
    producer = KafkaProducer(bootstrap_servers=apache_kafka.bootstrap_servers)
    producer.send(
        stream, json.dumps({"device": "press-1", "celsius": 95.0}).encode(),
        headers=[("traceparent", f"00-{TRACE}-{SPAN}-01".encode())],
    )  # fmt: skip
    producer.close()

    def loads() -> list[Seen]:
        return [span for span in collector.spans(f"load {stream}") if span.values.get("millrace.events")]

    eventually(lambda: bool(loads()), "the load is traced", seconds=PATIENCE_SECONDS)
    (load,) = loads()
    assert load.links == [(TRACE, SPAN)]
    assert load.values["messaging.system"] == "kafka"
    wanted = {
        "cycle", "plan", "read", "decode", "load", "confirm", f"check {stream}", "build models",
        f"model stg_{stream}", "model alerts", "publish", "react webhook",
    }  # fmt: skip

    def parts() -> dict[str, Seen]:
        return {span.name: span for span in collector.spans() if span.trace == load.trace}

    try:
        eventually(lambda: wanted <= parts().keys(), "all of it is there", seconds=PATIENCE_SECONDS)
    except AssertionError:
        raise AssertionError(f"missing: {wanted - parts().keys()}") from None
    found = parts()
    cycle = found["cycle"]
    assert {found[name].parent for name in ("publish", "react webhook", f"check {stream}")} == {cycle.id}
    assert (found["read"].parent, found["model alerts"].parent) == (load.id, found["build models"].id)
    order = [load, found["model alerts"], found["react webhook"]]
    assert [span.began for span in order] == sorted(span.began for span in order)
    assert {span.failure for span in found.values()} == {None}
    (alert,) = [
        each for each in system.hook.taken if (each["name"], each["reaction"]) == ("rule_alert", "webhook")
    ]
    assert alert["traceparent"].split("-")[1:3] == [cycle.trace, cycle.id]
    parts_of_the_system = {span.resource["millrace.part"] for span in found.values()}
    assert parts_of_the_system == {"run", "serving", "reactions"}
    sent = collector.text
    for secret in (SECRET, system.hook.url, "press-1", "t0ken"):
        assert secret not in sent

    jobs = {f"load.{stream}", f"check.raw.{stream}", f"build.staging.stg_{stream}", "build.marts.alerts"}

    def ended() -> set[str]:
        return {event["job"]["name"] for event in catalog.events if event["eventType"] == "COMPLETE"}

    eventually(lambda: jobs <= ended(), "each job has ended", seconds=PATIENCE_SECONDS)
    assert not [event for event in catalog.events if event["eventType"] == "FAIL"]
    mart = catalog.of("build.marts.alerts", "COMPLETE")[0]
    ((read,), (wrote,)) = mart["inputs"], mart["outputs"]
    assert (read["name"], wrote["name"]) == (f"staging.stg_{stream}", "marts.alerts")
    columns = {field["name"]: field["type"] for field in wrote["facets"]["schema"]["fields"]}
    assert columns["device"] == "varchar"
    staged = catalog.of(f"build.staging.stg_{stream}", "COMPLETE")[0]
    assert f"raw.{stream}" in {each["name"] for each in staged["inputs"]}
    assert "press-1" not in json.dumps(catalog.events)
