"""Other ways out than webhooks: brokers and people, each on the real part."""

import json
import logging
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from ingestion.connectors.messages import Look
from ingestion.declare.sources import peek, read_source
from tests.names import numbers
from tests.orchestration.reactions.desk import EVENTS, MODEL, Desk
from tests.servers.apache_kafka import ApacheKafka
from tests.servers.mosquitto import Mosquitto
from tests.servers.webhook import Webhook
from tests.waiting import eventually

_numbers = numbers()


def declared(folder: Path, send: str) -> None:
    (folder / "reactions.yml").write_text(f"plant: {{send: {send}}}\n")


def test_kafka_takes_the_opening_and_the_end_with_their_keys(
    tmp_path: Path, apache_kafka: ApacheKafka
) -> None:
    topic = f"alerts-{next(_numbers)}"
    apache_kafka.create_topic(topic)
    declared(tmp_path, f"{{publish: {{to: 'kafka:{topic}'}}}}")
    with Desk(tmp_path, kafka_bootstrap_servers=apache_kafka.bootstrap_servers).sending() as desk:
        desk.note([MODEL])
        desk.note([])
        eventually(lambda: len(desk.entries("delivered")) == 2, "both are acknowledged")
    look = Look(limit=2, start="earliest")
    messages = peek(read_source(f"kafka:{topic}"), desk.settings, look)
    found = [json.loads(message.value or b"") for message in messages]
    assert [each["event"] for each in found] == list(EVENTS)
    assert [each["key"] for each in found] == [each.notice.key for each in desk.entries()]


def test_mqtt_takes_them_and_what_came_while_it_was_away(tmp_path: Path, mosquitto: Mosquitto) -> None:
    place = f"mqtt:plant/alerts-{next(_numbers)}"
    declared(tmp_path, f"{{publish: {{to: '{place}'}}}}")
    desk = Desk(tmp_path, mqtt_host="127.0.0.1", mqtt_port=1)
    with desk.sending():
        desk.note([MODEL])
        eventually(lambda: "cannot be reached" in desk.said().get("plant", ""), "its trouble is said")
    again = Desk(tmp_path, mqtt_host=mosquitto.host, mqtt_port=mosquitto.port)
    found: list[dict[str, Any]] = []
    listens = threading.Event()
    client = Client(CallbackAPIVersion.VERSION2)
    client.on_message = lambda _client, _data, message: found.append(json.loads(message.payload))
    client.on_subscribe = lambda *_: listens.set()
    client.connect(mosquitto.host, mosquitto.port)
    client.subscribe(place.removeprefix("mqtt:"), qos=1)
    client.loop_start()
    assert listens.wait(60)
    with again.sending():
        again.note([])
        eventually(lambda: len(found) == 2, "both came")
        eventually(lambda: len(again.entries("delivered")) == 2, "both are acknowledged")
    client.loop_stop()
    assert [each["event"] for each in found] == list(EVENTS)


@pytest.fixture
def hook() -> Iterator[Webhook]:
    with Webhook() as hook:
        yield hook


def test_people_are_told_by_apprise_and_no_log_has_their_address(
    tmp_path: Path, hook: Webhook, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("PEOPLE", hook.url.replace("http://", "json://"))
    declared(tmp_path, "{apprise: {url_env: PEOPLE}}")
    hook.refuse = 2
    with Desk(tmp_path).sending() as desk:
        desk.note([MODEL])
        eventually(lambda: "did not take it" in desk.said().get("plant", ""), "its trouble is said")
        eventually(lambda: len(hook.taken) == 1, "it is tried again")
        desk.note([])
        eventually(lambda: len(hook.taken) == 2, "the end is taken")
        eventually(lambda: len(desk.entries("delivered")) == 2, "both are noted")
    assert [each["title"] for each in hook.taken] == ["Millrace", "Millrace: over"]
    assert hook.taken[0]["message"].startswith("Model marts/orders failed: a reason. It is tried again.")
    assert "t0ken" not in caplog.text
    assert "t0ken" not in "".join(path.read_text() for path in (tmp_path / "data").rglob("*.jsonl"))


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ("nonsense t0ken", "PEOPLE holds no address that apprise knows"),
        (None, "PEOPLE, which reaction 'plant'"),
    ],
    ids=["unknown", "unset"],
)
def test_an_address_that_is_none_is_said_without_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str | None, sentence: str
) -> None:
    if value:
        monkeypatch.setenv("PEOPLE", value)
    declared(tmp_path, "{apprise: {url_env: PEOPLE}}")
    with Desk(tmp_path).sending() as desk:
        desk.note([MODEL])
        eventually(lambda: sentence in desk.said().get("plant", ""), "its trouble is said")
        assert "t0ken" not in desk.said()["plant"]


def test_without_apprise_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestration.reactions.people.find_spec", lambda _: None)
    declared(tmp_path, "{apprise: {url_env: PEOPLE}}")
    with Desk(tmp_path).sending() as desk:
        desk.note([MODEL])
        eventually(lambda: "the extra 'reactions'" in desk.said().get("plant", ""), "its trouble is said")
