"""Values that name their schema in a registry, written by Confluent's own client through a real server."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka.schema_registry import Schema, SchemaReference, record_subject_name_strategy

from ingestion.declare.file import load_streams
from ingestion.errors import FormatUnavailable
from ingestion.formats.schema_registry import refilled as refill
from ingestion.formats.schema_registry import registry as product
from ingestion.settings import Settings, load_settings
from orchestration.scaffold.entry import Entry, append_entry
from tests.formats.registering import (
    TOPIC,
    avro,
    avro_in_header,
    client,
    declared,
    decode,
    record,
    rows,
    texts,
)
from tests.servers.schema_registry import SchemaRegistry

FIRST = record(("id", "long"))
SECOND = record(("id", "long"), ("cents", "long"))
SECOND["fields"][1]["default"] = 0
PREFIX = {"avro": {"schema": "prefix"}}


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SchemaRegistry]:
    server = SchemaRegistry(tmp_path_factory.mktemp("registry"), first_id=700).start()
    yield server
    server.stop()


@pytest.fixture
def at(tmp_path: Path, registry: SchemaRegistry, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A system that knows the registry, and whose registry forgets at once that it does not know an id."""
    monkeypatch.setattr(product, "_AGAIN_SECONDS", 0.0)
    return settings_of(tmp_path, registry.url)


def settings_of(folder: Path, url: str, **more: object) -> Settings:
    return load_settings(
        project=folder, data_dir=folder / "data", schema_registry_url=url, source_timeout_seconds=20, **more
    )


def test_each_value_is_read_by_the_schema_that_it_names(at: Settings, registry: SchemaRegistry) -> None:
    first, second = avro(registry, FIRST), avro(registry, SECOND)
    decoded = decode(
        declared(at, format=PREFIX, fields={}), at,
        rows(first({"id": 1}), second({"id": 2, "cents": 5}), None, first({"id": 3})),
    )  # fmt: skip
    assert texts(decoded) == [{"id": 1}, {"id": 2, "cents": 5}, None, {"id": 3}]
    assert len(decoded.schemas) == 2
    assert decoded.events["payload_raw"][0].as_py() == first({"id": 1}), "the id stays with the event"


def test_a_header_names_the_schema_by_its_guid(at: Settings, registry: SchemaRegistry) -> None:
    write = avro_in_header(registry, SECOND)
    value, headers = write({"id": 2, "cents": 5})
    assert not value or value[0] != 0
    decoded = decode(declared(at, format=PREFIX, fields={}), at, rows((value, headers)))
    assert texts(decoded) == [{"id": 2, "cents": 5}]
    assert decoded.events["headers"][0].as_py() == headers, "the id stays with the event"


def test_latest_resolves_to_the_newest_version_of_the_topic(at: Settings, registry: SchemaRegistry) -> None:
    topic = "of_its_own"  # other tests register further versions for theirs
    first = avro(registry, FIRST, topic=topic)({"id": 1})
    avro(registry, SECOND, topic=topic)({"id": 1, "cents": 1})
    stream = declared(at, source={"kafka": topic}, format={"avro": {"schema": "latest"}})
    assert texts(decode(stream, at, rows(first, topic=topic))) == [{"id": 1, "cents": 0}]
    assert {name: field.type for name, field in stream.fields.items()} == {"id": "bigint", "cents": "bigint"}


def test_a_subject_is_named_with_its_version(at: Settings, registry: SchemaRegistry) -> None:
    wide = client(registry).register_schema("elsewhere", Schema(json.dumps(SECOND), "AVRO"))
    assert wide
    client(registry).register_schema("elsewhere", Schema(json.dumps(FIRST), "AVRO"))
    value = avro(registry, SECOND)({"id": 1, "cents": 2})
    for version, found in ((1, {"id": 1, "cents": 2}), (2, {"id": 1}), (None, {"id": 1})):
        said = {"subject": "elsewhere"} | ({"version": version} if version else {})
        stream = declared(at, format={"avro": {"schema": said}})
        assert texts(decode(stream, at, rows(value))) == [found]
        assert list(stream.fields) == list(found)


def test_records_of_several_types_each_have_their_subject(at: Settings, registry: SchemaRegistry) -> None:
    options = {"subject.name.strategy": record_subject_name_strategy}
    narrow, wide = record(("id", "long"), name="Shipped"), record(("id", "long"), name="Cancelled")
    values = [avro(registry, each, **options)({"id": 1}) for each in (narrow, wide)]
    wider = record(("id", "long"), ("why", ["null", "string"]), name="Cancelled")
    wider["fields"][1]["default"] = None
    avro(registry, wider, **options)({"id": 1, "why": None})
    stream = declared(at, format={"avro": {"schema": "latest", "subjects": "record"}}, fields={})
    assert texts(decode(stream, at, rows(*values))) == [{"id": 1}, {"id": 1, "why": None}]


def test_schemas_refer_to_others(at: Settings, registry: SchemaRegistry) -> None:
    known = client(registry)
    known.register_schema("money", Schema(json.dumps(record(("cents", "long"), name="Money")), "AVRO"))
    money = SchemaReference("shop.Money", "money", 1)
    item = record(("price", "Money"), name="Item")
    known.register_schema("item", Schema(json.dumps(item), "AVRO", [money]))
    whole = record(
        ("item", "shop.Item"), ("tip", "shop.Money"), ("more", {"type": "array", "items": "Money"})
    )
    refers = [money, SchemaReference("shop.Item", "item", 1)]
    sent = {"item": {"price": {"cents": 3}}, "tip": {"cents": 1}, "more": [{"cents": 2}]}
    value = avro(registry, whole, references=refers)(sent)
    assert texts(decode(declared(at, format=PREFIX, fields={}), at, rows(value))) == [sent]


def test_keys_have_a_subject_of_their_own(at: Settings, registry: SchemaRegistry) -> None:
    from confluent_kafka.schema_registry.avro import AvroSerializer
    from confluent_kafka.serialization import MessageField, SerializationContext

    known, place = client(registry), SerializationContext(TOPIC, MessageField.KEY)
    old = AvroSerializer(known, json.dumps(record(("id", "long"), name="K")))({"id": 7}, place)
    new = record(("id", "long"), ("shop", "string"), name="K")
    new["fields"][1]["default"] = "main"
    AvroSerializer(known, json.dumps(new))({"id": 7, "shop": "x"}, place)
    value = avro(registry, FIRST)({"id": 1})
    for how, text in (("prefix", '{"id":7}'), ("latest", '{"id":7,"shop":"main"}')):
        stream = declared(at, format=PREFIX, key={"avro": {"schema": how}}, fields={})
        decoded = decode(stream, at, rows(value, keys=(old,)))
        assert decoded.events["event_key"].to_pylist() == [text]


def test_an_unknown_id_is_asked_for_twice_and_then_a_reject(at: Settings, registry: SchemaRegistry) -> None:
    stream = declared(at, format=PREFIX, fields={})
    value = avro(registry, FIRST)({"id": 1})
    strange = b"\0" + (99_999).to_bytes(4, "big") + b"\x02"
    decoded = decode(stream, at, rows(value, strange, b"{}", b""))
    reasons = decoded.rejects.select(["reason", "payload_raw"]).to_pylist()
    assert [(each["reason"], each["payload_raw"]) for each in reasons] == [
        ("unknown_schema", strange), ("not_avro", b"{}"), ("not_avro", b""),
    ]  # fmt: skip
    assert "does not know schema 99999" in decoded.rejects["detail"][0].as_py()
    assert list(registry.asked()).count("GET /schemas/ids/99999") == 2
    assert decoded.events.num_rows == 1


def test_bytes_of_something_else_are_not_asked_about_one_by_one(
    at: Settings, registry: SchemaRegistry
) -> None:
    noise = [b"\0" + (50_000 + n).to_bytes(4, "big") for n in range(200)]
    stream, first, second = (
        declared(at, format=PREFIX, fields={}),
        avro(registry, FIRST),
        avro(registry, SECOND),
    )
    decode(stream, at, rows(first({"id": 1})))
    often = [second({"id": 2, "cents": n}) for n in range(2)]
    decoded = decode(stream, at, rows(*noise, first({"id": 1}), *often))
    assert decoded.rejects.num_rows == 200
    assert sum("/ids/5" in line for line in registry.asked()) <= 2 * product.MOST_UNKNOWN
    assert decoded.events.num_rows == 3, "what is known, and what stands there often, is read"


def test_a_known_stream_goes_on_without_the_registry_and_a_new_one_waits(tmp_path: Path) -> None:
    server = SchemaRegistry(tmp_path / "registry").start()
    at = settings_of(tmp_path, server.url)
    first, second = avro(server, FIRST)({"id": 1}), avro(server, SECOND)({"id": 2, "cents": 5})
    left_out = {"format": {"avro": {"schema": "latest"}}}
    assert texts(decode(declared(at, **left_out), at, rows(first))) == [{"id": 1, "cents": 0}]
    server.kill()
    product._opened.cache_clear()  # as a new process
    stream = declared(at, **left_out)
    assert list(stream.fields) == ["id", "cents"]
    assert texts(decode(stream, at, rows(first))) == [{"id": 1, "cents": 0}]
    with pytest.raises(FormatUnavailable, match=f"gives no answer.*{server.port}.*does not answer"):
        decode(stream, at, rows(first, second))
    server.start()
    assert texts(decode(stream, at, rows(second))) == [{"id": 2, "cents": 5}], "its data is kept"
    server.stop()
    fresh = settings_of(tmp_path / "fresh", server.url)
    with pytest.raises(
        FormatUnavailable, match=r"its fields are those of a schema, and the schema registry gives no"
    ):
        declared(fresh, **left_out)


def test_another_registry_with_the_same_ids_is_not_read_by_the_first_one_s_schemas(tmp_path: Path) -> None:
    first, other, empty = (SchemaRegistry(tmp_path / name).start() for name in ("first", "other", "empty"))
    try:
        value = avro(first, FIRST)({"id": 1})
        strange = avro(other, record(("celsius", "double"), name="Strange"))({"celsius": 21.5})
        assert value[:5] == strange[:5], "both count from 1"

        def read_at(*urls: str, kept: str = "data") -> list[object]:
            said = {"schema_registry_url": ",".join(urls), "data_dir": tmp_path / kept}
            settings = load_settings(project=tmp_path, source_timeout_seconds=20, **said)
            shown = strange if kept == "of its own" else value
            return texts(decode(declared(settings, format=PREFIX, fields={}), settings, rows(shown)))

        assert read_at(first.url) == [{"id": 1}]
        with pytest.raises(
            FormatUnavailable, match=f"{other.url} is another schema registry than {first.url}"
        ):
            read_at(other.url)
        with pytest.raises(FormatUnavailable, match="it knows none of them"):
            read_at(empty.url)
        assert read_at(other.url, kept="of its own") == [{"celsius": 21.5}]
        # Back at the first one, a replay finds the schemas of then; an address may join it.
        assert read_at(first.url, other.url) == [{"id": 1}]
    finally:
        for server in (first, other, empty):
            server.stop()


def refilled(server: SchemaRegistry, folder: Path, schema: dict[str, object]) -> bytes:
    """The registry loses everything and counts from 1 again; a value of its new first schema."""
    server.stop()
    (folder / "schemas.json").unlink()
    server.start()
    return avro(server, schema)({"celsius": 21.5})


@pytest.mark.parametrize("asked", ["for a new id", "once in a while", "for the latest version"])
def test_a_registry_that_was_emptied_and_filled_again_stops_the_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: str
) -> None:
    server = SchemaRegistry(tmp_path / "registry").start()
    try:
        at = settings_of(tmp_path, server.url)
        before = avro(server, FIRST)({"id": 1})
        shown = {"avro": {"schema": "latest" if "latest" in asked else "prefix"}}
        stream = declared(at, format=shown, fields={})
        assert texts(decode(stream, at, rows(before))) == [{"id": 1}]
        strange = refilled(server, tmp_path / "registry", record(("celsius", "double"), name="Strange"))
        assert strange[:5] == before[:5]
        sent = rows(strange)
        if asked == "for a new id":
            sent = rows(avro(server, SECOND)({"id": 1, "cents": 2}), strange)
        else:
            monkeypatch.setattr(product, "LATEST_AGE_SECONDS", 0.0)
            monkeypatch.setattr(refill, "CHECK_AGE_SECONDS", 0.0 if "while" in asked else 60.0)
        for _ in range(2):  # it stays so
            with pytest.raises(FormatUnavailable, match=f"{server.url} has another schema with id 1 than"):
                decode(stream, at, sent)
            product._opened.cache_clear()  # as a new process
        server.stop()
        (tmp_path / "registry" / "schemas.json").unlink()
        server.start()
        avro(server, FIRST)({"id": 1})
        assert texts(decode(stream, at, rows(before))) == [{"id": 1}], "restored"
    finally:
        server.stop()


def test_a_schema_in_another_spelling_and_a_deleted_one_show_nothing() -> None:
    def answer(text: str) -> dict[str, object]:
        return {"kind": "AVRO", "text": text, "references": []}

    assert not refill.differs(answer('{"type":"long"}'), answer('{ "type": "long" }'))
    assert refill.differs(answer('{"type":"long"}'), answer('{"type":"int"}'))
    assert not refill.differs({"kind": "AVRO"} | answer('"int"'), answer('"int"'))


def test_a_registry_that_moves_to_another_address_is_the_same(tmp_path: Path) -> None:
    server = SchemaRegistry(tmp_path / "registry").start()
    value = avro(server, FIRST)({"id": 1})
    before = settings_of(tmp_path, server.url)
    assert texts(decode(declared(before, format=PREFIX, fields={}), before, rows(value))) == [{"id": 1}]
    server.stop()
    moved = SchemaRegistry(tmp_path / "registry")
    after = settings_of(tmp_path, moved.url)
    assert moved.url != server.url
    with pytest.raises(FormatUnavailable, match="does not answer"):  # so nobody knows which one it is
        decode(declared(after, format=PREFIX, fields={}), after, rows(value))
    moved.start()
    assert texts(decode(declared(after, format=PREFIX, fields={}), after, rows(value))) == [{"id": 1}]
    moved.stop()
    assert texts(decode(declared(after, format=PREFIX, fields={}), after, rows(value))) == [{"id": 1}]


def test_a_stream_is_added_beside_one_whose_fields_are_in_the_registry(
    at: Settings, registry: SchemaRegistry
) -> None:
    client(registry).register_schema("beside-value", Schema(json.dumps(FIRST), "AVRO"))
    file = at.project / "streams.yml"
    file.write_text("beside: {source: {kafka: beside}, format: {avro: {schema: latest}}}\n")
    append_entry(file, Entry("added", {"kafka": "added"}, "", "", (), {}), settings=at)
    beside, added = load_streams(file, settings=at)
    assert (list(beside.fields), added.name) == (["id"], "added")
