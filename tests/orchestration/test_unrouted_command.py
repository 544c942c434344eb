"""`millrace unrouted` from end to end: a broker that held messages while the stream's filter was changed."""

import json
from pathlib import Path

import pytest

from ingestion.declare.file import load_streams
from ingestion.lake.lake import Lake
from ingestion.settings import Settings
from orchestration.cli.app import run
from tests.ingestion.collecting import publish, running, wait_until
from tests.ingestion.helpers import ingest, mqtt_collector
from tests.servers.mosquitto import Mosquitto

pytestmark = pytest.mark.mosquitto


def test_what_came_under_a_former_filter_is_listed_given_and_discarded(
    lake: Lake,
    settings: Settings,
    mosquitto: Mosquitto,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = tmp_path / "streams.yml"
    assert settings.catalog is not None
    for name, value in {
        "CATALOG": settings.catalog.get_secret_value(),
        "DATA_DIR": str(settings.data_dir),
        "STREAMS_FILE": str(file),
        "MQTT_HOST": mosquitto.host,
        "MQTT_PORT": str(mosquitto.port),
    }.items():
        monkeypatch.setenv(f"MILLRACE_{name}", value)
    at = settings.replaced(mqtt_host=mosquitto.host, mqtt_port=mosquitto.port)

    def say(*arguments: str, code: int = 0) -> str:
        assert run(["unrouted", *arguments]) == code
        return capsys.readouterr().out

    def declare(topic_filter: str) -> None:
        file.write_text(f"plant: {{source: {{mqtt: '{topic_filter}'}}}}\n")

    def topics() -> dict[str, int]:
        return {each["topic"]: each["messages"] for each in json.loads(say("list", "--json"))}

    assert "no messages wait for a stream" in say("list")
    declare("old/#")
    with running(mqtt_collector(at, load_streams(file))):
        pass
    publish(mosquitto, [("old/a", b'{"n": 1}'), ("old/a", b'{"n": 2}'), ("old/b", b"{"), ("old/c", b"3")])
    declare("new/#")
    with running(mqtt_collector(at, load_streams(file))) as collector:
        publish(mosquitto, [("new/a", b'{"n": 9}')])
        wait_until(lambda: collector.status()["positions"]["plant"] == 1)
        wait_until(lambda: collector.status()["unrouted"] == 4)
    assert topics() == {"old/a": 2, "old/b": 1, "old/c": 1}
    assert "old/a" in say("list")

    assert "plant: 0 landed" in say("give", "plant"), "it reads none of these topics"
    assert "plant: 2 landed, 0 cannot be decoded" in say("give", "plant", "--topic", "old/a")
    assert "plant: 0 landed, 1 cannot be decoded and are kept" in say(
        "give", "plant", "--topic", "old/b", code=1
    )
    assert "plant: 0 landed" in say("give", "plant", "--topic", "old/a"), "each is given once"
    assert json.loads(say("discard", "old/b", "--json")) == {"discarded": 1}
    assert json.loads(say("give", "plant", "--all", "--json"))["landed"] == 1
    assert (topics(), say("discard", "--all").strip()) == ({}, "0 discarded")

    (stream,) = load_streams(file)
    ingest(lake, stream, at)
    rows = lake.query("select payload, event_key from raw.plant order by payload")
    assert rows == [("3", "old/c"), ('{"n": 1}', "old/a"), ('{"n": 2}', "old/a"), ('{"n": 9}', "new/a")]
