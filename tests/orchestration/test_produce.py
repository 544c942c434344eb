"""`millrace produce`: files, pipes and made-up events to real brokers; what is wrong is one sentence."""

import io
import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import pytest

from ingestion.connectors.messages import Look
from ingestion.declare.examples import example_payload
from ingestion.declare.file import load_streams
from ingestion.declare.sources import peek, read_source
from ingestion.declare.stream import Stream
from ingestion.settings import load_settings
from orchestration.cli.app import run
from tests.names import numbers
from tests.repository import REPOSITORY
from tests.servers.apache_kafka import ApacheKafka
from tests.servers.mosquitto import Mosquitto

_numbers = numbers()


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a streams.yml, which is the current one."""
    monkeypatch.setenv("MILLRACE_STREAMS_FILE", str(tmp_path / "streams.yml"))
    monkeypatch.setenv("MILLRACE_DATA_DIR", str(tmp_path / "data"))
    (tmp_path / "streams.yml").write_text(
        "orders: {source: {kafka: orders}, business_id: id, event_time: at,"
        " fields: {id: varchar, at: timestamp}}\n"
        "doors: {source: {mqtt: home/+/door}}\n"
        "many: {source: {kafka: [a, b]}}\n"
        "pattern: {source: {kafka: ^x}}\n"
        "elements: {source: {kafka: orders}, unnest: readings, business_id: id, fields: {id: varchar}}\n"
        "lines: {source: {kafka: orders}, format: {json: {lines: true}}, business_id: id,"
        " fields: {id: bigint}}\n"
    )
    return tmp_path


@pytest.fixture
def topic(apache_kafka: ApacheKafka, monkeypatch: pytest.MonkeyPatch, project: Path) -> str:
    """A topic of one partition that the stream `orders` reads."""
    name = f"produced-{next(_numbers)}"
    apache_kafka.create_topic(name, partitions=1)
    monkeypatch.setenv("MILLRACE_KAFKA_BOOTSTRAP_SERVERS", apache_kafka.bootstrap_servers)
    file = project / "streams.yml"
    file.write_text(file.read_text().replace("kafka: orders", f"kafka: {name}"))
    return name


def sent(topic: str, limit: int = 1000) -> list[tuple[bytes | None, bytes | None, str | None]]:
    seen = peek(read_source(f"kafka:{topic}"), load_settings(), Look(limit=limit))
    return [(message.key, message.value, message.headers) for message in seen]


def test_a_file_s_lines_are_messages(topic: str, project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = project / "events.ndjson"
    file.write_bytes(b'{"id": {"n": 1}}\r\n\n{"id": {"n": "two"}}\n  \nnot json')
    assert run(["produce", "orders", "--file", str(file), "--header", "from=here"]) == 0
    assert f"the broker has accepted 3 messages for '{topic}'" in capsys.readouterr().out
    header = '{"from":"here"}'
    assert sent(topic) == [
        (None, b'{"id": {"n": 1}}', header), (None, b'{"id": {"n": "two"}}', header),
        (None, b"not json", header),
    ]  # fmt: skip
    assert run(["produce", f"kafka:{topic}", "-f", str(file), "-n", "2", "--key", "id.n", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "source": f"Kafka {topic}", "destination": topic, "sent": 2,
    }  # fmt: skip
    assert [key for key, _, _ in sent(topic)][3:] == [b"1", b"two"]
    assert run(["produce", "orders", "-f", str(file), "--rate", "1000", "--repeat", "--count", "8"]) == 0
    assert len(sent(topic)) == 13


def test_a_pipe_s_lines_are_messages(topic: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for arguments, count in (([], 3), (["--count", "2"], 2)):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BufferedReader(io.BytesIO(b"1\n2\n3"))))
        assert run(["produce", "orders", "--file", "-", *arguments]) == 0
        assert len(sent(topic, count)) == count
    assert [value for _, value, _ in sent(topic)] == [b"1", b"2", b"3", b"1", b"2"]


def test_made_up_events_fit_the_fields(topic: str) -> None:
    assert run(["produce", "orders", "--rate", "200", "--count", "5"]) == 0
    payloads = [json.loads(value or b"") for _, value, _ in sent(topic)]
    assert len({payload["id"] for payload in payloads}) == 5
    for payload in payloads:
        at = datetime.fromisoformat(payload["at"])
        assert abs((datetime.now(UTC) - at).total_seconds()) < 600


def test_made_up_events_are_like_the_last_ones(topic: str, project: Path) -> None:
    file = project / "one"
    file.write_text('{"id": "i-1", "at": "2020-01-01T00:00:00Z", "colour": "red", "n": 7}\n5\n')
    assert run(["produce", "orders", "--file", str(file)]) == 0
    assert run(["produce", "orders", "--count", "3"]) == 0
    payloads = [json.loads(value or b"") for _, value, _ in sent(topic)[2:]]
    assert [(payload["colour"], payload["n"]) for payload in payloads] == [("red", 7)] * 3
    assert len({payload["id"] for payload in payloads} - {"i-1"}) == 3
    assert all(payload["at"] > "2026" for payload in payloads)


def test_every_type_can_be_made_up() -> None:
    now = datetime(2026, 3, 1, tzinfo=UTC)
    for stream in load_streams(REPOSITORY / "tests" / "frozen" / "every_option.yml"):
        payload = example_payload(stream, number=7, now=now, random=Random(1))
        for field in stream.fields.values():
            if not field.path:  # it is beside the payload
                continue
            value = payload
            for part in field.path.split("."):
                value = value[part]
            assert value is not None


def made(**said: object) -> object:
    body = {"name": "plant", "source": {"kafka": "plant"}, "business_id": "id", "fields": {"id": "bigint"}}
    now = datetime(2026, 3, 1, tzinfo=UTC)
    return example_payload(Stream.model_validate(body | said), number=7, now=now, random=Random(1))


def test_arrays_of_events_can_be_made_up() -> None:
    assert made(unnest=".") == [{"id": 13}, {"id": 14}]
    assert made(format={"json": {"lines": True}}) == [{"id": 13}, {"id": 14}]
    fields = {"id": "bigint", "on": {"type": "date", "path": "^meta.on"}}
    whole = {"meta": {"on": "2026-03-01"}, "data": {"readings": [{"id": 13}, {"id": 14}]}}
    assert made(unnest="data.readings", fields=fields) == whole
    assert made(unnest=".", fields={"id": {"type": "bigint", "path": "."}}) == [13, 14]
    by_index = {
        "id": "bigint",
        "third": {"type": "date", "path": "days[2].on"},
        "last": {"type": "date", "path": "ends[-1]"},
    }
    expected = {"id": 7, "days": [None, None, {"on": "2026-03-01"}], "ends": ["2026-03-01"]}
    assert made(fields=by_index) == expected
    assert made(fields={"id": "bigint", "below": {"type": "date", "path": "id.x.y"}}) == {"id": 7}


def test_made_up_elements_and_lines_each_have_an_identity(topic: str, project: Path) -> None:
    assert run(["produce", "elements", "--count", "2"]) == 0
    assert run(["produce", "lines", "--count", "2"]) == 0
    values = [value or b"" for _, value, _ in sent(topic)]
    arrays = [json.loads(value)["readings"] for value in values[:2]]
    lines = [[json.loads(line) for line in value.split(b"\n")] for value in values[2:]]
    ids = [event["id"] for group in (*arrays, *lines) for event in group]
    assert len(ids) == 8
    assert len(set(map(str, ids[:4]))) == len(set(map(str, ids[4:]))) == 4


def test_a_topic_that_is_missing_is_made_where_one_wants_it(
    topic: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["produce", f"kafka:{topic}x", "--file", __file__]) == 1
    said = capsys.readouterr().err
    assert f"has no topic '{topic}x'; did you mean {topic}" in said
    assert "(--create makes it)" in said
    assert run(["produce", f"kafka:{topic}x", "--file", __file__, "--create", "-n", "1"]) == 0
    assert len(sent(f"{topic}x")) == 1


def test_mqtt(project: Path, mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILLRACE_MQTT_HOST", mosquitto.host)
    monkeypatch.setenv("MILLRACE_MQTT_PORT", str(mosquitto.port))
    file = project / "lines"
    file.write_text("1\n" * 250)
    for protocol, options in (("3.1.1", []), ("5", ["--header", "a=b"])):
        monkeypatch.setenv("MILLRACE_MQTT_PROTOCOL", protocol)
        arguments = ["produce", "doors", "--to", "home/1/door", "--file", str(file), *options]
        assert run(arguments) == 0


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["order", "-n", "1"], "did you mean 'orders'?"),
        (["orders"], "say what to send"),
        (["kafka:orders", "-n", "1"], "made up for a stream of streams.yml only"),
        (["doors", "-n", "1"], "'home/+/door' matches several topics: choose one with --to"),
        (["doors", "-n", "1", "--to", "home/door"], "does not read 'home/door'"),
        (["doors", "-n", "1", "--to", "home/a/door"], "declares no fields"),
        (["many", "-n", "1"], "names several topics: choose one with --to"),
        (["pattern", "-n", "1", "--to", "y"], "does not read 'y'"),
        (["orders", "-f", "/nonexistent"], "/nonexistent cannot be read: No such file or directory"),
        (["orders", "-f", __file__, "--key", "id"], "has no field 'id' for its key"),
    ],
)
def test_what_is_wrong_is_one_sentence(
    topic: str, arguments: list[str], sentence: str, mosquitto: Mosquitto,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setenv("MILLRACE_MQTT_HOST", mosquitto.host)
    monkeypatch.setenv("MILLRACE_MQTT_PORT", str(mosquitto.port))
    assert run(["produce", *arguments]) == 1
    shown = capsys.readouterr()
    assert sentence in shown.err
    assert shown.out == ""
    assert len(shown.err.strip().splitlines()) == 1


def test_a_broker_that_is_away(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MILLRACE_SOURCE_TIMEOUT_SECONDS", "1")
    monkeypatch.setenv("MILLRACE_KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1")
    assert run(["produce", "orders", "-n", "1"]) == 1
    assert "Kafka at 127.0.0.1:1 does not answer" in capsys.readouterr().err
