"""`millrace peek`: what it shows, what it refuses, and that nobody notices it."""

import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest
from kafka import KafkaAdminClient

from ingestion.connectors.messages import Message
from ingestion.connectors.mqtt.session import session_file
from ingestion.declare.sources import Seen
from ingestion.declare.stream import Stream
from ingestion.lake.lake import Lake
from ingestion.settings import Settings
from ingestion.watch.fates import fates
from orchestration.cli.app import run
from orchestration.cli.messages import printable, show
from tests.dbt_project.raw import Event, RawWriter
from tests.ingestion.collecting import publish, running, settings_for, stream
from tests.ingestion.helpers import ingest, mqtt_collector, produce
from tests.names import numbers
from tests.servers.apache_kafka import ApacheKafka
from tests.servers.mosquitto import Mosquitto
from tests.waiting import eventually

_numbers = numbers()
Millrace = Callable[..., tuple[int, str, str]]


@pytest.fixture
def millrace(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Millrace:
    """Runs a command here; keywords are variables."""
    monkeypatch.setenv("MILLRACE_DATA_DIR", str(tmp_path / "data"))

    def command(*arguments: str, **variables: object) -> tuple[int, str, str]:
        with monkeypatch.context() as patch:
            for name, value in variables.items():
                patch.setenv(f"MILLRACE_{name.upper()}", str(value))
            code = run(arguments)
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    return command


@pytest.fixture
def topic(apache_kafka: ApacheKafka) -> str:
    name = f"peeked-{next(_numbers)}"
    apache_kafka.create_topic(name, partitions=1)
    return name


def groups_of(broker: ApacheKafka) -> list[str]:
    admin = KafkaAdminClient(bootstrap_servers=broker.bootstrap_servers)
    try:
        return [str(group) for group in admin.list_groups()]
    finally:
        admin.close()


def test_a_topic_s_last_messages(millrace: Millrace, apache_kafka: ApacheKafka, topic: str) -> None:
    kafka = {"kafka_bootstrap_servers": apache_kafka.bootstrap_servers}
    values = [b'{"n": 1}', b'{"n":\n 2}', b"{", None, "\u009b31m\x1b[2J".encode()]
    produce(apache_kafka.bootstrap_servers, topic, values, keys=[b"one", None, b"\xff", b"gone", None])
    code, shown, _ = millrace("peek", f"kafka:{topic}", **kafka)
    assert code == 0
    assert f"{topic}-0@0" in shown
    assert "key one" in shown
    assert '{"n":  2}' in shown  # on one line
    assert "refused, not_json: unexpected end of data" in shown
    assert "key \\xff" in shown
    assert "tombstone" in shown
    assert "\x1b[2J" not in shown  # nobody else's letters steer this terminal
    assert "\u009b" not in shown
    assert "5 messages of Kafka" in shown
    assert "format: json: JSON in 2 of 4 messages" in shown
    assert "nothing was taken" in shown
    code, shown, _ = millrace("peek", f"kafka:{topic}", "--json", "--limit", "4", **kafka)
    lines = [json.loads(line) for line in shown.splitlines()]
    assert [line["position"] for line in lines] == [1, 2, 3, 4]
    assert (lines[0]["payload"], lines[0]["format"]) == ({"n": 2}, "json")
    assert lines[1]["refused"] == {"reason": "not_json", "detail": lines[1]["refused"]["detail"]}
    assert lines[1]["bytes"] == "7b"
    assert millrace("peek", f"kafka:{topic}", "--from", "earliest", "-n", "1", **kafka)[1].count("@") == 1


def test_what_is_wrong_is_one_sentence(millrace: Millrace, apache_kafka: ApacheKafka, topic: str) -> None:
    kafka = {"kafka_bootstrap_servers": apache_kafka.bootstrap_servers}
    away = {"kafka_bootstrap_servers": "127.0.0.1:1", "source_timeout_seconds": 1}
    for arguments, variables, sentence in (
        (["kafak:t"], kafka, "'kafak' is not a kind of source; did you mean 'kafka'?"),
        ([f"kafka:{topic}s"], kafka, f"has no topic '{topic}s'; did you mean {topic}"),
        ([f"kafka:{topic}"], kafka, "holds no message from latest on"),
        ([f"kafka:{topic}"], away, "does not answer"),
        ([f"kafka:{topic}"], {}, "no Kafka cluster is configured"),
        ([f"kafka:{topic}", "-o", "strat=latest"], kafka, "unknown option; did you mean 'start'?"),
        ([f"kafka:{topic}", "-o", "start"], kafka, "'start' is not an option"),
        ([f"kafka:{topic}", "--from", "soon"], kafka, "neither earliest, latest nor a time"),
        ([f"kafka:{topic}", "--format", "jsno"], kafka, "'jsno' is not a format"),
        (["kafka:no topic"], kafka, "'no topic' is not a Kafka topic name"),
        (["mqtt:a/#/b"], kafka, "'a/#/b' is not an MQTT topic filter"),
        (["mqtt:a"], kafka, "MILLRACE_MQTT_HOST is not set"),
        (["mqtt:a"], {"mqtt_host": "127.0.0.1", "mqtt_port": 1}, "cannot be reached"),
        (["production_order"], kafka, "did you mean 'production_orders'?"),
        (["production_orders", "-o", "a=1"], kafka, "has its options and format in streams.yml"),
    ):
        code, shown, error = millrace("peek", *arguments, **variables)
        assert (code, shown) == (1, ""), arguments
        assert sentence in error
        assert error.startswith("millrace: ")
        assert len(error.splitlines()) == 1


def test_an_mqtt_filter_s_next_messages_and_what_the_broker_retains(
    millrace: Millrace, mosquitto: Mosquitto
) -> None:
    broker = {"mqtt_host": mosquitto.host, "mqtt_port": mosquitto.port}
    publish(mosquitto, [("home/door", b'"open"')], retain=True)
    stop = threading.Event()

    def send() -> None:
        while not stop.wait(0.05):
            publish(mosquitto, [("home/door", b"21.5"), ("home/door", b"warm")])

    with ThreadPoolExecutor() as pool:
        pool.submit(send)
        try:
            code, shown, _ = millrace("peek", "mqtt:$share/others/home/+", "-n", "5", **broker)
        finally:
            stop.set()
    assert code == 0
    assert "key home/door  retained" in shown
    assert "21.5" in shown
    assert '  "warm"' in shown  # text beside JSON
    assert "format: json: " in shown
    code, _, error = millrace("peek", "mqtt:other/#", "--for", "0.2", **broker)
    assert "no message of MQTT other/# came within 0.2 s" in error


def test_a_collector_does_not_notice_it(millrace: Millrace, mosquitto: Mosquitto, tmp_path: Path) -> None:
    settings = settings_for(mosquitto, tmp_path / "data")
    collector = mqtt_collector(settings, [stream("s", "$share/g/watched/#")])
    with running(collector):
        session = session_file(settings.data_dir / "collector")
        eventually(lambda: "watched" in session.read_text(), "the session is written down")
        known = session.read_text()
        publish(mosquitto, [("watched/a", b"%d" % number) for number in range(3)])
        with ThreadPoolExecutor() as pool:
            looking = pool.submit(
                millrace, "peek", "mqtt:$share/g/watched/#", "-n", "1", "--json",
                mqtt_host=mosquitto.host, mqtt_port=mosquitto.port,
            )  # fmt: skip
            sent = 3
            while not looking.done():
                publish(mosquitto, [("watched/a", b"more")])
                sent += 1
        assert looking.result()[0] == 0
        eventually(lambda: collector.status()["positions"] == {"s": sent}, "all are collected")
        status = collector.status()
        assert (status["connections"], status["sessions_lost"], status["unrouted"]) == (1, 0, 0)
        assert session.read_text() == known


def test_a_stream_s_events_with_what_became_of_them(
    kafka_settings: Settings, apache_kafka: ApacheKafka, topic: str, millrace: Millrace, tmp_path: Path
) -> None:
    file = tmp_path / "streams.yml"
    name = topic.replace("-", "_")
    file.write_text(f"{name}: {{source: {{kafka: {topic}}}}}\n")
    declared = Stream.model_validate({"name": name, "source": {"kafka": topic}})
    variables = {
        "kafka_bootstrap_servers": apache_kafka.bootstrap_servers, "streams_file": file,
        "catalog": kafka_settings.catalog.get_secret_value() if kafka_settings.catalog else "",
    }  # fmt: skip
    produce(apache_kafka.bootstrap_servers, topic, [b'{"n": 1}', b"{", b'{"n": 2}'])
    with Lake(kafka_settings) as lake:
        lake.prepare([name])
        assert "raw      not there yet" in millrace("peek", name, **variables)[1]
        assert not any(name in group for group in groups_of(apache_kafka))
        assert ingest(lake, declared, kafka_settings).events_landed == 2
        before = lake.snapshot_id()
        produce(apache_kafka.bootstrap_servers, topic, [b"unread"])
        code, shown, error = millrace("peek", name, **variables)
        assert lake.snapshot_id() == before
    assert code == 0, error
    assert shown.count("raw      batch 1") == 2
    assert f"staging  there is no model stg_{name} yet" in shown
    assert "rejects  not_json (open)" in shown
    assert "3 messages" in shown  # what is not read yet has no fate
    _, shown, _ = millrace("peek", name, "--json", "-n", "1", **variables)
    assert json.loads(shown)["raw"] == {"batch_id": 1}
    away = variables | {"catalog": "postgresql://me@127.0.0.1:1/lake"}
    code, shown, error = millrace("peek", name, **away)
    assert "what the lake made of them is not shown" in error
    assert "unread" in shown


def test_fates(lake: Lake) -> None:
    declared = Stream.model_validate(
        {"name": "s", "source": {"kafka": "t"}, "business_id": ["id"], "fields": {"id": "bigint"}}
    )
    at = datetime(2026, 3, 1, tzinfo=UTC)
    assert fates(lake, declared, [("s-0", 0)])["s-0@0"].batch_id is None  # there is no lake yet
    lake.prepare(["s"])
    raw = RawWriter(lake)
    raw.add("s", [Event({"id": 1}, at), Event({"id": 1.0}, at), Event(None, at), Event({"id": 2}, at)])
    raw.add("s", [Event({"id": 3}, at)])
    lake.connection.execute("create schema lake.staging")
    lake.connection.execute(
        "create table lake.staging.stg_s as select batch_id, source_partition, position, event_id, "
        "event_key, ingested_at, 1 as id, []::varchar [] as cast_errors from raw.s "
        "where batch_id = 1 and position = 0"
    )
    found = fates(lake, declared, [("s-0", position) for position in range(6)])
    assert [found[f"s-0@{at}"].batch_id for at in range(6)] == [1, 1, 1, 1, 2, None]
    assert found["s-0@0"].staged == {"batch_id": 1, "id": 1, "cast_errors": []}
    assert [found[f"s-0@{at}"].why_not for at in range(5)] == [
        "", "s-0@0 has the same id and another payload: a conflict, decided by on_conflict: first",
        "a tombstone is left out", "missing",
        "not built yet: it holds batches up to 1",
    ]  # fmt: skip


def test_every_element_of_an_array_is_shown(lake: Lake, capsys: pytest.CaptureFixture[str]) -> None:
    declared = Stream.model_validate(
        {"name": "s", "source": {"kafka": "t"}, "unnest": ".", "fields": {"id": "bigint"}}
    )
    lake.prepare(["s"])
    RawWriter(lake).add("s", [Event(b'[{"id": 1}, {"id": 2}]', datetime(2026, 3, 1, tzinfo=UTC))])
    lake.connection.execute("create schema lake.staging")
    lake.connection.execute(
        "create table lake.staging.stg_s as select batch_id, source_partition, position, "
        "event_id || '#' || n as event_id, n + 1 as id, []::varchar [] as cast_errors "
        "from raw.s, range(25) each (n)"
    )
    fate = fates(lake, declared, [("s-0", 0)])["s-0@0"]
    assert [row["id"] for row in fate.elements] == list(range(1, 21))
    assert fate.staged == {"elements": 25, "batch_id": 1, "id": 1, "cast_errors": []}
    message = Message("s-0", 0, None, b"[]", None, None)
    show([(Seen(message, None, "[]", format="json"), fate)], origin="Kafka t", nothing="", as_json=False)
    shown = capsys.readouterr().out
    assert [f"staging  id {number}\n" in shown for number in (1, 2, 20, 21)] == [True, True, True, False]
    assert "and 5 more elements" in shown
    show([(Seen(message, None, "[]", format="json"), fate)], origin="Kafka t", nothing="", as_json=True)
    assert len(json.loads(capsys.readouterr().out)["elements"]) == 20


def test_nothing_steers_the_terminal() -> None:
    assert printable("a\x1b[31m\u009bb\u202e\n") == "a\\x1b[31m\\x9bb\\x202e\\x0a"
    assert printable("Grüße, 世界 🙂") == "Grüße, 世界 🙂"
