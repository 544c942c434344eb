"""streams.yml: what is accepted, and that every mistake is told with its line and its remedy."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from ingestion.connectors.kafka.declare import KafkaSource
from ingestion.connectors.mqtt.declare import MqttSource
from ingestion.declare.file import load_streams
from ingestion.errors import ConfigError
from tests.repository import REPOSITORY


def _load(tmp_path: Path, text: str):
    path = tmp_path / "streams.yml"
    path.write_text(text)
    return load_streams(path)


def test_the_projects_own_file_is_valid() -> None:
    streams = {stream.name: stream for stream in load_streams(REPOSITORY / "streams.yml")}
    assert isinstance(streams["production_orders"].source, KafkaSource)
    assert isinstance(streams["plant_telemetry"].source, MqttSource)
    assert streams["plant_telemetry"].fields["measured_at"].type == "timestamp"


def test_six_lines_declare_a_stream(tmp_path: Path) -> None:
    (stream,) = _load(
        tmp_path,
        "shipments:\n  source: {kafka: [s.eu, s.us], start: 2026-01-02T03:04:05}\n"
        "  event_time: at\n"
        "  business_id: id\n  fields:\n"
        "    {id: varchar, at: timestamp, town: {path: to.town, type: varchar}}\n",
    )
    assert isinstance(stream.source, KafkaSource)
    assert stream.source.kafka == ("s.eu", "s.us")
    assert stream.source.start == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert stream.business_id == ("id",)
    assert (stream.fields["town"].path, stream.fields["id"].path) == ("to.town", "id")


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("a:\n  source: {kafka: t}\n  feilds: {x: date}\n", 3, "did you mean 'fields'"),
        ("a:\n  source: {kafka: t, strat: latest}\n", 2, "did you mean 'start'"),
        ("a:\n  source: {kafka: t}\n  fields:\n    x: {typo: date}\n", 4, "typo"),
        ("a:\n  source: {kafak: t}\n", 2, "source names one of kafka"),
        ("a:\n  source: {kafka: t, mqtt: u}\n", 2, "source names one of kafka"),
        ("Abc:\n  source: {mqtt: a/#}\n", 1, "lower_snake_case"),
        ("a__b:\n  source: {mqtt: a/#}\n", 1, "lower_snake_case"),
        ("batches:\n  source: {mqtt: a/#}\n", 1, "name of a table that Millrace keeps"),
        ("a:\n  source: {mqtt: a/#/b}\n", 2, "topic filter"),
        ("a:\n  source: {mqtt: a, qos: 2}\n", 2, "qos"),
        ("a:\n  source: {kafka: 'x; drop'}\n", 2, "not a Kafka topic"),
        ("a:\n  source: {kafka: ../../x}\n", 2, "not a Kafka topic"),
        ("a:\n  source: {kafka: '^(x'}\n", 2, "regular expression"),
        ("a:\n  source: {kafka: t}\n\n  fields:\n    x: flot\n", 5, "is not a type"),
        ("a:\n  source: {kafka: t}\n  event_time: at\n  fields: {x: date}\n", 1, "not among the fields"),
        ("a:\n  source: {kafka: t}\n  fields: {position: bigint}\n", 1, "add 'path: position'"),
        ("a:\n  source: {kafka: t, start: soon}\n", 2, "ISO time"),
        ("a:\n  source: {kafka: t}\na:\n  source: {kafka: u}\n", 3, "stands already on line 1"),
        ("a: 3\n", 1, "a stream is a mapping"),
        ("- a\n", 1, "a mapping of stream names"),
        ("a: [\n", 2, "is not YAML"),
        ("a:\n  source: !!python/object/apply:os.system ['true']\n", 2, "is not YAML"),
    ],
)
def test_a_mistake_is_told_with_line_and_remedy(tmp_path: Path, text: str, line: int, words: str) -> None:
    with pytest.raises(ConfigError, match=f"line {line}") as caught:
        _load(tmp_path, text)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_names_the_variable(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="MILLRACE_STREAMS_FILE"):
        load_streams(tmp_path / "none.yml")
