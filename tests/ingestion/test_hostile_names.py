"""Names from outside that try to be something else: topics and keys of brokers, names in streams.yml."""

import json
from pathlib import Path

import pytest

from ingestion.declare.file import load_streams
from ingestion.declare.stream import Stream
from ingestion.errors import ConfigError
from ingestion.formats.decode import decoder
from ingestion.lake.lake import Lake
from ingestion.land.batch import Ingestor
from ingestion.settings import Settings
from ingestion.spool.log import SpoolLog
from ingestion.spool.writer import SpoolEvent, SpoolWriter
from tests.ingestion.helpers import ingest, kafka_stream, produce
from tests.servers.apache_kafka import ApacheKafka

HOSTILE = [
    "../../x",
    "%2e%2e/%2e%2e/x",
    "/etc/passwd",
    "a\0b",
    "x" * 10_000,
    "it's",
    'say "x"',
    '"; DROP TABLE raw.batches; --',
    "'); drop schema raw cascade; --",
    "{{ env_var('HOME') }}",
    "\N{RIGHT-TO-LEFT OVERRIDE}cod",
    "a\nb",
]

KEYS = ["\\x610062" if name == "a\0b" else name for name in HOSTILE]
"""The same as raw has keys."""


def _quoted(name: str) -> str:
    """As a double-quoted YAML scalar."""
    escaped = name.replace("\\", "\\\\").replace('"', '\\"').replace("\0", "\\0").replace("\n", "\\n")
    return f'"{escaped}"'


def _is_a_path(name: str) -> bool:
    """A key of a payload may be called nearly anything; it is quoted wherever it goes."""
    return not set(name) & {'"', "'"} and all(name.split("."))


CASES = [
    (place, name)
    for place in ("stream", "topic", "field", "path", "type")
    for name in HOSTILE
    if place != "path" or not _is_a_path(name)
]


@pytest.mark.parametrize(("place", "name"), CASES, ids=range(len(CASES)))
def test_no_hostile_name_is_taken_from_streams_yml(tmp_path: Path, place: str, name: str) -> None:
    say = {"stream": "events", "topic": "events", "field": "a", "path": "a", "type": "varchar"}
    say[place] = _quoted(name)
    file = tmp_path / "streams.yml"
    file.write_text(
        f"{say['stream']}:\n  source: {{kafka: {say['topic']}}}\n"
        f"  fields:\n    {say['field']}: {{type: {say['type']}, path: {say['path']}}}\n",
        encoding="utf-8",
    )
    with pytest.raises(ConfigError) as caught:
        load_streams(file)
    assert "streams.yml line " in str(caught.value)
    assert len(str(caught.value)) < 500


def test_hostile_mqtt_topics_and_payloads_are_only_data(lake: Lake, tmp_path: Path) -> None:
    stream = Stream.model_validate({"name": "devices", "source": {"mqtt": "#"}})
    writer = SpoolWriter(tmp_path / "spool" / "devices")
    writer.append(SpoolEvent(name.encode(), json.dumps({name: name}).encode(), None, 1) for name in HOSTILE)
    writer.commit()
    writer.close()
    lake.prepare(["devices"])
    log = SpoolLog(stream.name, tmp_path / "spool")
    assert Ingestor(lake).run(stream, log, decode=decoder("json")).events_landed == len(HOSTILE)
    log.close()
    rows = lake.query("select event_key, payload from raw.devices order by position")
    assert [(key, json.loads(payload)) for key, payload in rows] == [
        (key, {name: name}) for key, name in zip(KEYS, HOSTILE, strict=True)
    ]


def test_hostile_kafka_keys_and_headers_are_only_data(
    lake: Lake, settings: Settings, apache_kafka: ApacheKafka
) -> None:
    apache_kafka.create_topic("hostile")
    known = settings.replaced(kafka_bootstrap_servers=apache_kafka.bootstrap_servers)
    keys = [name.encode() for name in HOSTILE]
    produce(apache_kafka.bootstrap_servers, "hostile", [b"1"] * len(keys), keys=keys)
    ingest(lake, kafka_stream("hostile"), known)
    assert [row[0] for row in lake.query("select event_key from raw.hostile order by position")] == KEYS
    assert lake.query("select count(*) from raw.batches") == [(1,)]
