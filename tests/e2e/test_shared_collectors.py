"""`millrace up` with three collectors that share a subscription: each is watched; none loses anything."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import orjson
import pytest

from ingestion.backup.backup import backups_of
from ingestion.collect.members import Member
from ingestion.connectors.mqtt.connector import MQTT
from orchestration.records.system_state import STATE_FILE
from tests.e2e.conditions.system import PATIENCE_SECONDS, System
from tests.ingestion.collecting import publish
from tests.names import numbers
from tests.servers.apache_kafka import ApacheKafka
from tests.servers.mosquitto import Mosquitto
from tests.servers.webhook import Webhook
from tests.waiting import eventually

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.mosquitto,
    pytest.mark.slow("a whole system is started, one of its collectors is killed and another one halted"),
]
STREAMS = """
shared{n}: {{source: {{mqtt: "$share/group{n}/shared{n}/#"}}}}
"""
COLLECTORS = 3


@pytest.fixture
def system(tmp_path: Path, apache_kafka: ApacheKafka, mosquitto: Mosquitto) -> Iterator[System]:
    with Webhook() as hook:
        system = System(
            tmp_path / "p", kafka=apache_kafka.bootstrap_servers, mosquitto=mosquitto, hook=hook,
            number=3_000 + next(numbers()), MQTT_COLLECTORS=COLLECTORS,
        )  # fmt: skip
        system.write("streams.yml", STREAMS)
        system.start()
        try:
            yield system
        finally:
            system.stop()


def test_further_collectors_are_started_again_and_what_they_held_is_landed_and_backed_up(
    system: System, mosquitto: Mosquitto, tmp_path: Path
) -> None:
    name, sent = f"shared{system.number}", [0]
    first, second, third = (Member(MQTT, number).name for number in range(COLLECTORS))

    def send(count: int) -> None:
        publish(mosquitto, [(f"{name}/a", b"%d" % n) for n in range(sent[0], sent[0] + count)])
        sent[0] += count

    def within(condition: Callable[[], object], what: str) -> None:
        eventually(condition, what, seconds=PATIENCE_SECONDS)

    def query(sql: str) -> list[object]:
        answer = system.run("query", "--json", sql)
        return [] if answer.returncode else [row["x"] for row in orjson.loads(answer.stdout)]

    def landed() -> bool:
        found = query(f"select distinct payload::bigint as x from raw.{name} order by x")
        return found == list(range(sent[0]))

    def is_another(collector: str, pid: int | None) -> bool:
        return system.pid(collector) not in (None, pid)

    within((system.data_dir / STATE_FILE).exists, "it publishes what runs")
    within(lambda: all(system.pid(each) for each in (first, second, third)), "three collectors run")
    send(300)
    within(landed, "all of them share the messages")
    (status,) = system.status()["streams"]
    assert status["lag_events"] == 0
    partitions = [f"{name}-{number}" for number in range(COLLECTORS)]
    assert query(f"select distinct source_partition as x from raw.{name} order by x") == partitions

    killed = system.pid(third)
    assert killed is not None
    os.kill(killed, signal.SIGKILL)
    send(300)
    within(lambda: is_another(third, killed), "it is started again")
    within(landed, "what the killed one had not acknowledged came again")

    halted = system.pid(second)
    assert halted is not None
    os.kill(halted, signal.SIGSTOP)
    send(300)
    within(lambda: is_another(second, halted), "a halted one is ended and started again")
    within(landed, "so did what the halted one held")
    within(lambda: not system.names(), "all is well")

    assert system.run("doctor").returncode == 0
    assert system.run("verify").returncode == 0
    assert system.run("backup", str(tmp_path / "backups")).returncode == 0
    (backup,) = backups_of(tmp_path / "backups")
    assert sorted(path.name for path in (backup / "spool").iterdir()) == [name, f"{name}-1", f"{name}-2"]
