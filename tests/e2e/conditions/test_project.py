"""What somebody wrote or switched off, or whose broker is away: fifteen kinds, said everywhere and mended."""

import os
import signal
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from ingestion.connectors.registry import connector
from ingestion.land.unrouted import discard
from ingestion.spool.unrouted import unrouted_name
from ingestion.spool.writer import SpoolEvent, SpoolWriter
from tests.e2e.conditions.system import PATIENCE_SECONDS, REACTIONS, System
from tests.ingestion.helpers import produce
from tests.names import numbers
from tests.servers.apache_kafka import ApacheKafka
from tests.servers.browser import Browser
from tests.servers.mosquitto import Mosquitto
from tests.servers.webhook import Webhook
from tests.waiting import eventually

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(1800),
    pytest.mark.slow("a whole system is broken in fifteen ways and mended; alerts of brokers wait for 30 s"),
]
UNROUTED = unrouted_name(connector("mqtt").collector)
STREAMS = """
orders{n}: {{source: {{kafka: orders{n}, start: earliest}}, fields: {{id: varchar}}}}
strict{n}: {{source: {{kafka: strict{n}, start: earliest}}, fields: {{id: varchar}}{share}}}
listed{n}: {{source: {{kafka: [orders{n}, unlisted{n}], start: earliest}}, fields: {{id: varchar}}}}
absent{n}: {{source: {{kafka: absent{n}, start: earliest}}, fields: {{id: varchar}}}}
noisy{n}: {{source: {{kafka: noisy{n}, start: earliest}}, fields: {{id: varchar}}}}
readings{n}: {{source: {{mqtt: "home/+"}}, fields: {{id: varchar}}}}
"""
GOOD = "{{{{ config(materialized='table') }}}} select count(*) as n from {{{{ ref('stg_orders{n}') }}}}"
FEW = """
select 'few' as rule_id, 'orders' as key, 'critical' as severity,
    timestamptz '2026-01-01 00:00:00+00' as opened_at, null::timestamptz as closed_at
from (select count(*) as n from {{{{ ref('stg_orders{n}') }}}}) where n < 20
"""
RULE = """
models: [{{name: few, config: {{materialized: view, meta: {{rule_alerts: {{conditions: [critical]}}}}}}}}]
"""
CONTRACT = (
    "dataset: lake/marts/counts\ncolumns: [{{name: n, checks: [{{invalid: {{valid_min: {least}}}}}]}}]\n"
)
SENSORS = """
{ sensorsOrError(repositorySelector: {repositoryName: "__repository__", repositoryLocationName: "millrace"}) {
  ... on Sensors { results { name id } } } }
"""


@pytest.fixture
def system(tmp_path: Path, apache_kafka: ApacheKafka, mosquitto: Mosquitto) -> Iterator[System]:
    number = next(numbers())
    with Webhook() as hook:
        system = System(
            tmp_path / "p", kafka=apache_kafka.bootstrap_servers, mosquitto=mosquitto, hook=hook,
            number=number, RESTART_STUCK=False,
        )  # fmt: skip
        for topic in (f"orders{number}", f"strict{number}", f"noisy{number}"):
            apache_kafka.create_topic(topic)
        produce(apache_kafka.bootstrap_servers, f"orders{number}", [b'{"id": "a"}'] * 3)
        for topic in (f"strict{number}", f"noisy{number}"):
            produce(apache_kafka.bootstrap_servers, topic, [b"no json"] * 30)
        system.write("streams.yml", STREAMS, share=", max_reject_share: 0.1")
        system.stage("orders", "strict", "absent", "noisy", "readings")
        system.write("dbt_project/models/marts/few.sql", FEW)
        system.write("dbt_project/models/marts/few.yml", RULE)
        system.write("dbt_project/models/marts/counts.sql", GOOD)
        system.write("dbt_project/contracts/counts.yml", CONTRACT, least=1000)
        system.write("dbt_project/models/marts/failing.sql", GOOD.replace("count(*)", "no_such_column"))
        system.write("dbt_project/models/marts/broken.sql", "select {{{{ 1 + }}}}")
        hook.refuse = 4
        with closing(SpoolWriter(system.data_dir / "spool" / UNROUTED)) as writer:
            writer.append([SpoolEvent(b"elsewhere", b"1", None, 1)])
            writer.commit()
        system.start()
        try:
            yield system
        finally:
            system.stop()


def sensor(system: System, name: str) -> dict[str, Any]:
    sensors = system.ask(SENSORS)["sensorsOrError"]["results"]
    return next(each for each in sensors if each["name"] == name)


def test_every_trouble_is_said_everywhere_and_ends_when_it_is_mended(
    system: System, browser: Browser, apache_kafka: ApacheKafka, mosquitto: Mosquitto
) -> None:
    seen = set[str]()
    at_first = {
        "project_file_broken", "model_failing", "stream_paused", "source_unreachable", "check_failing",
        "alert_undelivered", "partition_stopped", "messages_unrouted", "rejects_flood", "rule_alert",
    }  # fmt: skip

    def all_seen() -> bool:
        seen.update(system.names())
        return at_first <= seen

    eventually(all_seen, f"{at_first} are conditions", seconds=PATIENCE_SECONDS)
    off = sensor(system, "failed_runs")
    system.ask("mutation($id: String!) { stopSensor(id: $id) { __typename } }", id=off["id"])
    mosquitto.stop()
    system.write("streams.yml", STREAMS + "more: {{sorce: none}}\n", share=", max_reject_share: 0.1")
    system.write("reactions.yml", "pager: {{sned: nobody}}\n")
    wanted = (at_first - {"alert_undelivered"}) | {
        "sensor_off",
        "collector_in_trouble",
        "streams_file_refused",
        "reactions_file_refused",
    }
    sentences = system.require_shown(wanted, browser)
    assert "unknown key 'sorce'" in sentences["streams_file_refused"]
    assert "no_such_column" in sentences["model_failing"]
    assert "models/marts/broken.sql, line 1" in sentences["project_file_broken"]
    assert "max_reject_share" in sentences["stream_paused"]
    assert "'failed_runs' was switched off" in sentences["sensor_off"]
    # Within its few seconds a busy machine may not answer all that is asked.
    eventually(lambda: system.status()["streams"], "the rest is shown too", seconds=PATIENCE_SECONDS)
    assert f"has no 'unlisted{system.number}'" in sentences["partition_stopped"]
    assert "keeps 1 messages" in sentences["messages_unrouted"]
    assert "unknown key 'sned'" in sentences["reactions_file_refused"]
    assert sentences["rule_alert"].startswith("'orders' breaks the rule 'few' (critical) since 2026-01-01")
    assert "t0ken" not in system.output()

    apache_kafka.create_topic(f"absent{system.number}")
    apache_kafka.create_topic(f"unlisted{system.number}")
    assert discard(system.data_dir / "spool" / UNROUTED, chosen=lambda _: True) == 1
    mosquitto.start()
    system.ask(
        'mutation($s: String!) { startSensor(sensorSelector: {repositoryName: "__repository__", '
        'repositoryLocationName: "millrace", sensorName: $s}) { __typename } }',
        s="failed_runs",
    )
    system.write("dbt_project/contracts/counts.yml", CONTRACT, least=1)
    system.write("dbt_project/models/marts/failing.sql", GOOD)
    (system.folder / "dbt_project/models/marts/broken.sql").unlink()
    # So many sound ones that what could not be decoded is not most of it.
    for topic in ("strict", "noisy", "orders"):
        produce(apache_kafka.bootstrap_servers, f"{topic}{system.number}", [b'{"id": "a"}'] * 40)
    system.write("reactions.yml", REACTIONS)
    system.write("streams.yml", STREAMS, share="")
    system.require_over(wanted)

    daemon = system.pid("daemon")
    assert daemon is not None
    os.kill(daemon, signal.SIGSTOP)
    system.require_shown({"service_stuck"}, browser)
    os.kill(daemon, signal.SIGCONT)
    system.require_over({"service_stuck"})
    system.require_each_end_once()
