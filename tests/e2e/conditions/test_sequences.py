"""A sender numbers its events, and some never reach the broker: named everywhere until it is settled."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conditions.system import PATIENCE_SECONDS, System
from tests.ingestion.helpers import produce
from tests.names import numbers
from tests.servers.apache_kafka import ApacheKafka
from tests.servers.browser import Browser
from tests.servers.mosquitto import Mosquitto
from tests.servers.webhook import Webhook
from tests.waiting import eventually

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.slow("a whole system is started, loses events twice, and shows it on every surface"),
]
STREAMS = """
counted{n}:
  source: {{kafka: counted{n}, start: earliest}}
  fields: {{device: varchar, n: bigint}}
  sequence: {{per: device, field: n, start: 1, late_minutes: 0}}
"""


@pytest.fixture
def system(tmp_path: Path, apache_kafka: ApacheKafka, mosquitto: Mosquitto) -> Iterator[System]:
    number = 2_000 + next(numbers())
    with Webhook() as hook:
        system = System(
            tmp_path / "p",
            kafka=apache_kafka.bootstrap_servers,
            mosquitto=mosquitto,
            hook=hook,
            number=number,
        )
        apache_kafka.create_topic(f"counted{number}")
        system.write("streams.yml", STREAMS)
        system.stage("counted")
        system.start()
        try:
            yield system
        finally:
            system.stop()


def test_what_a_sender_lost_is_named_until_it_comes_or_is_given_up(
    system: System, apache_kafka: ApacheKafka, browser: Browser
) -> None:
    stream = f"counted{system.number}"

    def send(*counted: int) -> None:
        events = [json.dumps({"device": "d-17", "n": number}).encode() for number in counted]
        produce(apache_kafka.bootstrap_servers, stream, events)

    def told(*command: str) -> Any:
        return json.loads(system.run(*command, "--json").stdout)

    send(1, 2, 3, 6, 7)
    sentences = system.require_shown({"sequence_gap"}, browser)
    said = f"2 events of sender d-17 of {stream} never came: numbers 4 to 5, after "
    assert sentences["sequence_gap"].startswith(said)
    send(5, 4, 8)
    system.require_over({"sequence_gap"})

    send(9, 12)
    eventually(lambda: "sequence_gap" in system.names(), "it is open again", seconds=PATIENCE_SECONDS)
    (gap,) = told("gaps", "list", stream)
    assert (gap["sender"], gap["first_number"], gap["last_number"], gap["missing"]) == ("d-17", 10, 11, 2)
    accepted = told("gaps", "accept", stream, "--note", "a test of mine")
    assert (accepted["gaps"], accepted["missing"]) == (1, 2)
    system.require_over({"sequence_gap"})
    assert told("gaps", "list", stream) == []
    totals = "select expected, received, missing, duplicates, resets, late from marts.ops_sequences"
    (row,) = told("query", totals)
    assert row == {"expected": 12, "received": 10, "missing": 2, "duplicates": 0, "resets": 0, "late": 2}
