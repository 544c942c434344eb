"""An edge node at a real Mosquitto: births name what comes later; where one was missed it is asked for."""

import json
import queue
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion
from structlog.testing import capture_logs

from ingestion.declare.stream import Stream
from ingestion.lake.lake import Lake
from ingestion.settings import Settings
from orchestration.cli.app import run
from tests.formats.edge_node import EdgeNode
from tests.ingestion.collecting import running, spooled, wait_until
from tests.ingestion.helpers import ingest, mqtt_collector
from tests.servers.mosquitto import Mosquitto

pytestmark = [pytest.mark.mosquitto, pytest.mark.slow("brokers, collectors and batches of a lake")]
REBIRTH = b"Node Control/Rebirth"
WAIT_SECONDS = 60


def stream(**options: object) -> Stream:
    source = {"mqtt": "spBv1.0/plant/#"}
    return Stream.model_validate({"name": "plant", "source": source, "format": {"sparkplug": options}})


class EdgeClient:
    """A node that is connected, publishes at QoS 0 as the standard has it, and takes commands down."""

    def __init__(self, server: Mosquitto) -> None:
        self.node, self.commands = EdgeNode(), queue.Queue[bytes]()
        listening = queue.Queue[bool]()
        self._client = Client(CallbackAPIVersion.VERSION2)
        self._client.on_message = self._on_message
        self._client.on_subscribe = lambda *_: listening.put(True)
        self._client.will_set(*self.node.death())
        self._client.connect(server.host, server.port)
        self._client.subscribe(self.node.topic("NCMD"), 1)
        self._client.loop_start()
        listening.get(timeout=WAIT_SECONDS)

    def send(self, *messages: tuple[str, bytes]) -> None:
        for topic, value in messages:
            self._client.publish(topic, value, 1).wait_for_publish(WAIT_SECONDS)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _on_message(self, _client: Client, _data: Any, message: MQTTMessage) -> None:
        self.commands.put(message.payload)


@pytest.fixture
def edge(mosquitto: Mosquitto) -> Iterator[EdgeClient]:
    client = EdgeClient(mosquitto)
    yield client
    client.close()


@pytest.fixture
def at(settings: Settings, mosquitto: Mosquitto) -> Settings:
    return settings.replaced(mqtt_host=mosquitto.host, mqtt_port=mosquitto.port)


def events(lake: Lake) -> list[Any]:
    return [json.loads(text) for (text,) in lake.query("select payload from raw.plant order by position")]


def names(lake: Lake) -> list[tuple[str, list[str | None]]]:
    return [(event["type"], [each["name"] for each in event["metrics"]]) for event in events(lake)]


def test_a_birth_that_was_missed_is_asked_for_and_names_what_follows(
    lake: Lake, at: Settings, edge: EdgeClient
) -> None:
    lake.settings = at
    declared = stream(rebirth=True)
    edge.send(*edge.node.birth())  # nobody is there to read them

    def collected(count: int) -> None:
        wait_until(lambda: len(spooled(at.data_dir, "plant")) == count)
        ingest(lake, declared, at)

    with running(mqtt_collector(at, [declared])):
        edge.send(edge.node.data(1), edge.node.measured(2))
        collected(2)
        assert names(lake) == [("NDATA", [None]), ("DDATA", [None])]
        assert REBIRTH in edge.commands.get(timeout=WAIT_SECONDS)
        edge.send(*edge.node.birth(), edge.node.data(3))
        collected(6)
        edge.send(edge.node.measured(4))
        collected(7)
    # The stream reads its own command, too: what was asked, and when, stands in the lake.
    assert names(lake)[2:] == [
        ("NCMD", [REBIRTH.decode()]), ("NBIRTH", ["bdSeq", "Load"]), ("DBIRTH", ["Temp"]),
        ("NDATA", ["Load"]), ("DDATA", ["Temp"]),
    ]  # fmt: skip
    assert [event["seq"] for event in events(lake)] == [2, 3, None, 0, 1, 2, 3]
    assert edge.commands.empty(), "once is enough"


def test_nothing_is_published_where_it_is_not_declared(
    lake: Lake, at: Settings, mosquitto: Mosquitto, edge: EdgeClient
) -> None:
    lake.settings = at
    with running(mqtt_collector(at, [stream()])):
        edge.send(edge.node.data(1))
        wait_until(lambda: len(spooled(at.data_dir, "plant")) == 1)
    ingest(lake, stream(), at)
    edge.send((edge.node.topic("NCMD"), b"the first"))
    assert edge.commands.get(timeout=WAIT_SECONDS) == b"the first"


def test_a_birth_is_asked_for_by_hand(
    mosquitto: Mosquitto,
    edge: EdgeClient,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "streams.yml").write_text(
        "plant: {source: {mqtt: spBv1.0/plant/#}, format: sparkplug}\norders: {source: {mqtt: orders}}\n"
    )
    monkeypatch.setenv("MILLRACE_STREAMS_FILE", str(tmp_path / "streams.yml"))
    monkeypatch.setenv("MILLRACE_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("MILLRACE_MQTT_HOST", mosquitto.host)
    monkeypatch.setenv("MILLRACE_MQTT_PORT", str(mosquitto.port))
    _, group, _, node = edge.node.topic("NCMD").split("/")
    assert run(["rebirth", "plant", f"{group}/{node}", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"sent": [edge.node.topic("NCMD")]}
    assert REBIRTH in edge.commands.get(timeout=WAIT_SECONDS)
    for name, asked, said in (
        ("plant", node, "write group/node"),
        ("plant", f"{group}/+", "write group/node"),
        ("plant", f"{group}/{node}/device", "write group/node"),
        ("orders", f"{group}/{node}", "which has no births"),
    ):
        assert run(["rebirth", name, f"{group}/{node}", asked]) != 0
        assert said in " ".join(capsys.readouterr().err.split())
    edge.send((edge.node.topic("NCMD"), b"the next"))
    assert edge.commands.get(timeout=WAIT_SECONDS) == b"the next", "nobody is asked where one name is wrong"


def test_a_broker_that_takes_no_command_costs_a_warning_and_no_event(
    lake: Lake, at: Settings, mosquitto: Mosquitto, edge: EdgeClient
) -> None:
    lake.settings = at
    with running(mqtt_collector(at, [stream(rebirth=True)])):
        edge.send(edge.node.data(1))
        wait_until(lambda: len(spooled(at.data_dir, "plant")) == 1)
    mosquitto.stop()
    lake.settings = at.replaced(source_timeout_seconds=1)
    with capture_logs() as logs:
        assert ingest(lake, stream(rebirth=True), lake.settings).events_landed == 1
    (warned,) = [each for each in logs if each["event"] == "requests not sent"]
    assert warned["destinations"] == [edge.node.topic("NCMD")]
    mosquitto.start()
    assert names(lake) == [("NDATA", [None])]
