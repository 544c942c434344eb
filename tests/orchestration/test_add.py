"""`millrace add`: from real messages to a stream with a mart that builds and a contract that holds."""

import gzip
import json
import sys
from collections.abc import Callable
from datetime import UTC, timedelta
from pathlib import Path

import cbor2
import pytest

from ingestion.clock import utc_now
from ingestion.declare.file import load_streams
from ingestion.lake.lake import Lake
from ingestion.settings import Settings
from orchestration.checks.contracts import load_contract
from orchestration.checks.soda import verify
from orchestration.cli import add as adding
from orchestration.cli.app import run
from orchestration.dbt.casts import typed_payloads
from orchestration.dbt.meta import fields_meta
from orchestration.dbt.prepared import prepare_project
from orchestration.scaffold.new import create_project
from tests.dbt_project.conftest import explain, run_dbt
from tests.formats.registering import avro, record
from tests.ingestion.helpers import ingest, produce
from tests.names import numbers
from tests.orchestration.checks.helpers import not_passed
from tests.servers.apache_kafka import ApacheKafka
from tests.servers.schema_registry import SchemaRegistry

_numbers = numbers()
Add = Callable[..., tuple[int, str, str]]
START = utc_now().replace(minute=0, second=0, microsecond=0) - timedelta(hours=5)


@pytest.fixture
def topic(apache_kafka: ApacheKafka) -> str:
    name = f"added_{next(_numbers)}"
    apache_kafka.create_topic(name, partitions=1)
    return name


@pytest.fixture
def project(tmp_path: Path) -> Path:
    create_project(tmp_path / "mine", example="none")
    return tmp_path / "mine"


@pytest.fixture
def add(
    project: Path, apache_kafka: ApacheKafka, settings: Settings, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Add:  # fmt: skip
    """Runs `millrace add` in the project."""
    monkeypatch.setenv("MILLRACE_PROJECT", str(project))
    monkeypatch.setenv("MILLRACE_DATA_DIR", str(settings.data_dir))
    monkeypatch.setenv("MILLRACE_KAFKA_BOOTSTRAP_SERVERS", apache_kafka.bootstrap_servers)

    def command(*arguments: str) -> tuple[int, str, str]:
        code = run(["add", *arguments])
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    return command


def event(number: int, *, minutes: float) -> bytes:
    at = START + timedelta(minutes=minutes)
    payload = {
        "reading_id": f"r-{number}",
        "at": at.isoformat(),
        "machine": {"name": f"m-{number % 3}", "order": number},
        "celsius": 20 + number / 4,
        "price": "1.25",
        "position": number,
        "big": 2**63 + number,
        "tags": ["a"],
        "state": number if number % 4 else "off",
    }
    return json.dumps(payload).encode()


def files_of(project: Path) -> dict[str, str]:
    kept = ("streams.yml", "models/staging/", "models/marts/", "contracts/")
    return {
        str(path.relative_to(project)): path.read_text()
        for path in project.rglob("*")
        if path.is_file() and any(part in str(path) for part in kept) and "sources" not in path.parts
    }


def test_from_messages_to_a_mart_whose_contract_holds(
    add: Add, project: Path, topic: str, apache_kafka: ApacheKafka, lake: Lake, kafka_settings: Settings
) -> None:
    sent = [event(number, minutes=number) for number in range(90)]
    values = [*sent, sent[5], b"not json", None]
    produce(apache_kafka.bootstrap_servers, topic, values, keys=[b"k"] * len(values))
    code, shown, error = add(topic, "--from", f"kafka:{topic}", "--yes")
    assert code == 0, error
    assert "91 messages of Kafka" in shown
    assert "1 more refused: not_json" in shown
    assert ", 1 tombstone" in shown
    (stream,) = load_streams(project / "streams.yml")
    assert (stream.event_time, stream.business_id) == ("at", ("reading_id",))
    assert {name: field.type for name, field in stream.fields.items()} == {
        "reading_id": "varchar", "at": "timestamp", "machine_name": "varchar", "machine_order": "bigint",
        "celsius": "double", "price": "decimal(38,2)", "payload_position": "bigint", "big": "decimal(38,0)",
        "tags": "json", "state": "varchar",
    }  # fmt: skip
    prepare_project([stream], project / "dbt_project")
    lake.publish_access()

    def built(*options: str) -> list[tuple[object, ...]]:
        ingest(lake, stream, kafka_settings)
        done = run_dbt(project / "dbt_project", lake.settings.data_dir, "build", *options)
        assert done.success, explain(done)
        assert lake.query(f"select count(*) from staging.stg_{topic} where len(cast_errors) > 0") == [(0,)]
        columns = "hour_at, events, celsius_avg, celsius_min, celsius_max"
        return lake.query(f"select {columns} from marts.{topic}_by_hour order by all")

    assert [row[1] for row in built()] == [60, 30]
    late = [event(1000 + number, minutes=30 + 60 * number) for number in range(4)]
    produce(apache_kafka.bootstrap_servers, topic, [*late, sent[7]])
    small = built()
    assert [row[1] for row in small] == [61, 31, 1, 1]
    assert built("--full-refresh", "--vars", "{ops_window_hours: 100000}") == small
    contract = load_contract(project / "dbt_project" / "contracts" / f"{topic}_by_hour.yml")
    outcomes = verify(lake.connection, contract, now=utc_now())
    assert len(outcomes) == 6
    assert not_passed(outcomes) == {}


def document(number: int) -> dict[str, object]:
    at = START + timedelta(minutes=number)
    return {"reading_id": f"r-{number}", "measured_at": at.isoformat(), "celsius": 20 + number / 4}


def as_xml(number: int) -> bytes:
    names = document(number)
    inner = "".join(f"<{name}>{value}</{name}>" for name, value in names.items())
    return f'<?xml version="1.0"?><reading>{inner}</reading>'.encode()


def as_csv(number: int) -> bytes:
    return ",".join(map(str, document(number).values() if number else document(0).keys())).encode()


@pytest.mark.parametrize(
    ("encode", "declared", "why"),
    [
        (lambda each: cbor2.dumps(document(each)), "cbor", "whole CBOR maps, whose names are words,"),
        (as_xml, "xml", "whole XML documents in 5 of 5 messages; the first one's root is 'reading'"),
        (
            as_csv, {"csv": {"columns": ["reading_id", "measured_at", "celsius"]}},
            "3 values with commas between them in 5 of 5 messages; one of them has the names",
        ),
    ],
    ids=["cbor", "xml", "csv"],
)  # fmt: skip
def test_messages_of_any_format_land_with_what_is_proposed(
    add: Add, project: Path, topic: str, apache_kafka: ApacheKafka, lake: Lake, kafka_settings: Settings,
    encode: Callable[[int], bytes], declared: object, why: str,
) -> None:  # fmt: skip
    sent = [encode(number) for number in range(5)]
    produce(apache_kafka.bootstrap_servers, topic, sent)
    code, shown, error = add(topic, "--from", f"kafka:{topic}", "--yes", "--no-mart")
    assert code == 0, error
    assert why in " ".join(shown.split())
    (stream,) = load_streams(project / "streams.yml")
    assert stream.format.declared() == declared
    report = ingest(lake, stream, kafka_settings)
    assert (report.events_landed, report.events_rejected) == (5, 0)
    assert lake.query(f"select payload_raw from raw.{topic} order by position") == [(each,) for each in sent]
    staged = typed_payloads(f"raw.{topic}", fields_meta(stream), event_time=stream.event_time)
    *_, at, celsius = stream.fields
    assert [stream.fields[name].type for name in (at, celsius)] == ["timestamp", "double"]
    rows = lake.query(f"select {at}, {celsius}, cast_errors from ({staged}) order by position")
    header = 1 if declared != "cbor" and isinstance(declared, dict) else 0
    expected = [(START + timedelta(minutes=number), 20 + number / 4, []) for number in range(header, 5)]
    assert [
        (moment.replace(tzinfo=UTC), value, list(wrong)) for moment, value, wrong in rows[header:]
    ] == expected


def test_messages_that_need_a_schema_are_not_guessed_at(
    add: Add, project: Path, topic: str, apache_kafka: ApacheKafka
) -> None:
    before = files_of(project)
    produce(apache_kafka.bootstrap_servers, topic, [b"\x08\x96\x01\x12\x07testing"] * 3)
    code, shown, error = add(topic, "--from", f"kafka:{topic}", "--yes")
    assert (code, shown) == (1, "")
    assert "look like protobuf: what can be Protocol Buffers with the fields 1, 2 in 3 of 3" in error
    assert "give the schema, as in --format '{protobuf: {file: schemas/plant.proto" in error
    assert files_of(project) == before


def test_nothing_is_overwritten_and_nothing_declared_twice(
    add: Add, project: Path, topic: str, apache_kafka: ApacheKafka
) -> None:
    produce(apache_kafka.bootstrap_servers, topic, [b"1"])
    staging = project / "dbt_project" / "models" / "staging" / f"stg_{topic}.sql"
    staging.write_text("-- mine\n")
    code, shown, _ = add(topic, "--from", f"kafka:{topic}", "--yes", "--no-mart")
    assert code == 0
    assert f"stg_{topic}.sql (there already: it stays as it is)" in shown
    assert staging.read_text() == "-- mine\n"
    before = files_of(project)
    assert len(before) == 2
    code, _, error = add(topic, "--from", f"kafka:{topic}", "--yes")
    assert code == 1
    assert f"stream '{topic}' is declared already in streams.yml" in error
    code, shown, _ = add("other", "--from", f"kafka:{topic}")
    assert f"stream '{topic}' reads Kafka {topic}, too" in shown
    assert files_of(project) == before


def test_a_proposal_can_be_looked_at_first(
    add: Add, project: Path, topic: str, apache_kafka: ApacheKafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    produce(apache_kafka.bootstrap_servers, topic, [event(number, minutes=number) for number in range(3)])
    before = files_of(project)
    code, shown, _ = add("looked", "--from", f"kafka:{topic}", "--json", "--option", "start=latest")
    proposal = json.loads(shown)
    assert code == 0
    assert proposal["declaration"].startswith(f"looked:\n  source: {{kafka: {topic}, start: latest}}\n")
    assert proposal["event_time"]["field"] == "at"
    assert proposal["fields"][0] == {
        "name": "reading_id", "type": "varchar", "path": "reading_id", "reason": "text in 3 of 3",
    }  # fmt: skip
    assert list(proposal["files"]) == [
        "dbt_project/models/staging/stg_looked.sql", "dbt_project/models/marts/looked_by_hour.sql",
        "dbt_project/contracts/looked_by_hour.yml",
    ]  # fmt: skip
    assert add("looked", "--from", f"kafka:{topic}")[1].endswith("nothing was written: --yes writes it\n")
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    for answer in (False, True):
        monkeypatch.setattr(adding.typer, "confirm", lambda *_, answer=answer, **__: answer)
        assert add("looked", "--from", f"kafka:{topic}")[0] == 0
        assert (files_of(project) != before) == answer


def test_the_user_s_word_counts(add: Add, topic: str, apache_kafka: ApacheKafka) -> None:
    produce(apache_kafka.bootstrap_servers, topic, [event(number, minutes=number) for number in range(3)])
    _, shown, error = add(
        "wished", "--from", f"kafka:{topic}", "--json", "--field", "price=decimal(10,2)",
        "--field", "celsius=bigint",
        "--field", "who=varchar:machine.name", "--without", "tags", "--event-time", "none",
        "--business-id", "who", "--business-id", "at", "--sample", "2",
    )  # fmt: skip
    proposal = json.loads(shown or error)
    fields = {field["name"]: field for field in proposal["fields"]}
    assert fields["price"]["type"] == "decimal(10,2)"
    assert fields["price"]["reason"] == "as asked for: staging reads 2 of 2"
    assert fields["celsius"]["reason"] == "as asked for: staging reads 0 of 2"
    assert fields["who"]["path"] == "machine.name"
    assert "tags" not in fields
    assert proposal["messages"] == 2
    assert proposal["event_time"] == {"field": None, "reason": "as asked for"}
    assert proposal["business_id"] == {"fields": ["who", "at"], "reason": "as asked for"}


def test_what_is_wrong_is_one_sentence_and_writes_nothing(
    add: Add, project: Path, topic: str, apache_kafka: ApacheKafka
) -> None:
    source = ["--from", f"kafka:{topic}"]
    before = files_of(project)
    empty = add("s", *source, "--yes")
    produce(apache_kafka.bootstrap_servers, topic, [b"{", b""])
    refused = add("s", *source, "--yes")
    produce(apache_kafka.bootstrap_servers, topic, [b'{"celsius": 1}'])
    for (code, shown, error), sentence in (
        (empty, f"Kafka {topic} gave no message, so there is nothing to propose and nothing was written"),
        (refused, "none of 2 messages of Kafka"),
        (add("Bad", *source), "'Bad' must be lower_snake_case"),
        (add("batches", *source), "the name of a table that Millrace keeps"),
        (add("s", "--from", "kafak:t"), "did you mean 'kafka'?"),
        (add("s", "--from", f"kafka:{topic}x"), f"did you mean {topic}"),
        (add("s", *source, "--field", "celsius"), "write NAME=TYPE, or NAME=TYPE:PATH"),
        (add("s", *source, "--field", "celsius=flot"), "--field celsius=flot: 'flot' is not a type"),
        (add("s", *source, "--without", "celsus"), "did you mean 'celsius'?"),
        (add("s", *source, "--event-time", "celsus"), "did you mean 'celsius'?"),
        (add("s", *source, "--business-id", "x"), "--business-id names 'x'"),
        (add("s", *source, "--json", "--yes"), "leave --yes out"),
    ):
        assert (code, shown) == (1, ""), sentence
        assert sentence in error
        assert len(error.splitlines()) == 1
    assert files_of(project) == before


def test_an_array_of_readings_is_proposed_as_events_of_their_own(
    add: Add, project: Path, topic: str, apache_kafka: ApacheKafka
) -> None:
    payloads = [
        {
            "device": f"d{at}",
            "readings": [{"ts": f"2026-03-01T08:{at:02}:{s:02}Z", "v": s / 4} for s in (1, 2)],
        }
        for at in range(5)
    ]
    sent = [gzip.compress(json.dumps(each).encode()) for each in payloads]
    produce(apache_kafka.bootstrap_servers, topic, [*sent, b"offline"])
    code, shown, _ = add("gateway", "--from", f"kafka:{topic}", "--yes")
    assert code == 0
    for words in ("array of objects in 5 of 5", "text that is not JSON in 1 of 6", "gzip in 5 of 6 messages"):
        assert words in shown
    (stream,) = load_streams(project / "streams.yml")
    assert (stream.unnest, stream.format.declared()) == ("readings", {"json": {"or_text": True}})
    assert {name: (field.type, field.path) for name, field in stream.fields.items()} == {
        "ts": ("timestamp", "ts"), "v": ("double", "v"), "device": ("varchar", "^.device"),
    }  # fmt: skip
    assert (stream.event_time, stream.business_id) == ("ts", ("device", "ts"))


def test_a_counter_of_each_device_is_proposed_as_a_comment_that_holds(
    add: Add, project: Path, topic: str, apache_kafka: ApacheKafka
) -> None:
    sent = [json.dumps({"device": f"d{at % 2}", "n": 7 + at // 2}).encode() for at in range(10)]
    produce(apache_kafka.bootstrap_servers, topic, sent)
    shown = json.loads(add("counted", "--from", f"kafka:{topic}", "--json")[1])
    reason = "n rises by one in 8 of 8 steps of 2 senders: a proposal"
    assert shown["sequence"] == {"per": "device", "field": "n", "reason": reason}
    assert add("counted", "--from", f"kafka:{topic}", "--yes")[0] == 0
    file = project / "streams.yml"
    (stream,) = load_streams(file)
    assert stream.sequence is None
    file.write_text(file.read_text().replace("# sequence:", "sequence:"))
    (stream,) = load_streams(file)
    assert stream.sequence
    assert (stream.sequence.per, stream.sequence.field) == (("device",), "n")


def test_values_that_name_schemas_are_asked_about_at_the_registry(
    add: Add, topic: str, apache_kafka: ApacheKafka, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = SchemaRegistry(tmp_path / "registry", first_id=900).start()
    try:
        value = avro(registry, record(("id", "long"), ("celsius", "double")))({"id": 7, "celsius": 21.5})
        produce(apache_kafka.bootstrap_servers, topic, [value])
        code, _, error = add(topic, "--from", f"kafka:{topic}")
        assert code != 0
        assert "set MILLRACE_SCHEMA_REGISTRY_URL" in " ".join(error.split())
        monkeypatch.setenv("MILLRACE_SCHEMA_REGISTRY_URL", registry.url)
        code, shown, error = add(topic, "--from", f"kafka:{topic}", "--json")
    finally:
        registry.stop()
    assert code == 0, error
    assert "format: {avro: {schema: prefix}}" in json.loads(shown)["declaration"]
