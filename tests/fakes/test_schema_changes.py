"""A schema evolves: the ledger names it, `status` shows it, and a condition names what it breaks."""

import base64
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from confluent_kafka.schema_registry import Schema
from google.protobuf import descriptor_pb2
from rich.console import Console

from ingestion.declare.decoding import decoder_of
from ingestion.declare.stream import Stream
from ingestion.formats.schema_registry.registry import open_registry
from ingestion.lake.lake import Lake
from ingestion.land.redecode import redecode
from ingestion.settings import Settings
from ingestion.watch.evolution import IN_USE, Evolution, evolutions, holds
from ingestion.watch.schemas_used import SchemasUsed, SchemaUse
from orchestration.cli.tables import schemas_table
from orchestration.records.overview import OverviewReader
from orchestration.sensors.schema_changes import FORGOTTEN, schema_changes
from tests.fakes.tape import Deck, one_event_at_a_time
from tests.formats.registering import avro, client, record
from tests.ingestion.helpers import ingest
from tests.servers.schema_registry import SchemaRegistry

ID, NAME, CENTS = ("id", "long"), ("name", "string"), ("cents", "int")
FIRST = record(ID, NAME, CENTS)
SECOND = record(ID, NAME, CENTS, ("tags", {"type": "array", "items": "string"}))
THIRD = record(ID, ("cents", "string"), ("tags", {"type": "array", "items": "string"}))
PREFIX = {"avro": {"schema": "prefix"}}
FIELDS = {"id": "bigint", "customer": {"type": "varchar", "path": "name"}, "cents": "bigint"}
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def stream_of(**said: Any) -> Stream:
    return Stream.model_validate(
        {"name": "orders", "source": {"tape": "reel"}, "format": PREFIX, "fields": FIELDS} | said
    )


def evolution(lake: Lake, stream: Stream, at: Settings, used: SchemasUsed | None = None) -> Evolution:
    uses = (used or SchemasUsed()).look(lake, [stream])["orders"]
    (found,) = evolutions(stream, uses, at)
    return found


def sentences(found: Evolution, *, now: datetime) -> list[str]:
    return [each.sentence for each in schema_changes({"orders": [found]}, now=now)]


def test_a_breaking_change_is_a_condition_and_a_compatible_one_is_shown(
    lake: Lake, at: Settings, deck: Deck, tmp_path: Path
) -> None:
    server = SchemaRegistry(tmp_path / "registry", first_id=700).start()
    at = at.replaced(schema_registry_url=server.url)
    lake.settings, stream, used = at, stream_of(key=PREFIX), SchemasUsed()
    key = avro(server, {"type": "long"}, topic="reel_keys")(1)
    first, second, third = (avro(server, each, topic="reel") for each in (FIRST, SECOND, THIRD))

    def send(*values: bytes) -> Evolution:
        for value in values:
            deck.reels["reel"].record(value, key=key)
        ingest(lake, stream, at)
        return evolution(lake, stream, at, used)

    old, new = {"id": 1, "name": "a", "cents": 5}, {"id": 2, "name": "b", "cents": 6, "tags": []}
    found = send(first(old))
    assert [each.added for each in found.versions] == [()]
    found = send(first(old), second(new))
    newest = found.newest
    assert (newest.added, newest.gone, newest.retyped) == (("tags (json)",), (), ())
    assert found.label(newest) == "reel-value version 2 (schema 702)"
    assert found.touched == (), "an added field breaks nothing"
    found = send(second(new), third({"id": 3, "cents": "7 EUR", "tags": []}))
    assert (found.newest.gone, found.newest.retyped) == (("name",), ("cents (integer → varchar)",))
    ((since,),) = lake.query("select ingested_at from raw.batches where batch_id = 3")
    (said,) = sentences(found, now=since)
    moment = f"since reel-value version 3 (schema 703), {since.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
    assert f"'customer' ('name' is gone {moment})" in said
    assert f"'cents' ('cents' is varchar and no longer integer {moment})" in said
    assert sentences(found, now=since + FORGOTTEN) == []
    listed = lake.query("select schemas from raw.batches order by batch_id")
    assert [json.loads(text) for (text,) in listed] == [["701"], ["701", "702"], ["702", "703"]], (
        "those of keys are left out"
    )
    server.stop()
    redecode(lake, "orders", decode=decoder_of(stream, at, with_keys=False))
    assert lake.query("select schemas from raw.batches order by batch_id") == listed
    assert evolution(lake, stream, at) == found, "read at once as bit by bit, without the registry"
    fits = stream_of(fields={"id": "bigint", "cents": "varchar"})
    assert evolution(lake, fits, at).touched == ()
    reader = OverviewReader(at, [stream])
    shown = Console(width=160)
    with shown.capture() as text:
        shown.print(schemas_table(reader.streams(), now=since + timedelta(minutes=5)))
    reader.close()
    assert "reel-value version 3 (schema 703)" in text.get()
    assert "gone: name" in text.get()
    assert "type: cents (integer → varchar)" in text.get()


def test_a_batch_of_several_chunks_names_the_schemas_of_all(
    lake: Lake, at: Settings, deck: Deck, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = SchemaRegistry(tmp_path / "registry", first_id=700).start()
    at = at.replaced(schema_registry_url=server.url)
    lake.settings = at
    one_event_at_a_time(monkeypatch)
    for schema in (FIRST, SECOND):
        value = {"id": 1, "name": "a", "cents": 5, "tags": []}
        deck.reels["reel"].record(avro(server, schema, topic="reel")(value))
    ingest(lake, stream_of(), at)
    assert lake.query("select schemas from raw.batches") == [('["700", "701"]',)]
    server.stop()


Seen = tuple[dict[str, Any] | str, float, float]
"""A schema, and how many hours after noon its first and its newest batch came."""


@pytest.fixture
def judge(at: Settings, tmp_path: Path) -> Iterator[Callable[..., list[Evolution]]]:
    """How the versions of a stream are judged; all have been read before."""
    server = SchemaRegistry(tmp_path / "registry", first_id=700).start()
    at = at.replaced(schema_registry_url=server.url)

    def judged(
        stream: Stream, *seen: Seen, subjects: tuple[str, ...] = (), kind: str = "AVRO"
    ) -> list[Evolution]:
        uses = []
        for number, (schema, first, last) in enumerate(seen):
            subject = subjects[number] if subjects else "reel-value"
            name = str(
                client(server).register_schema(
                    subject, Schema(schema if isinstance(schema, str) else json.dumps(schema), kind)
                )
            )
            open_registry(at).find([name])
            uses.append(SchemaUse(name, NOON + timedelta(hours=first), NOON + timedelta(hours=last)))
        return list(evolutions(stream, uses, at))

    yield judged
    server.stop()


def test_senders_that_go_back_close_it(judge: Callable[..., list[Evolution]]) -> None:
    hours = IN_USE / timedelta(hours=1)
    (broken,) = judge(stream_of(), (FIRST, 0, 1 + hours), (THIRD, 1, 1))
    assert [each.field for each in broken.touched] == ["customer", "cents"]
    (back,) = judge(stream_of(), (FIRST, 0, 2 + hours), (THIRD, 1, 1))
    assert (back.newest.number, back.touched) == (1, ())


def test_versions_count_as_they_were_registered(judge: Callable[..., list[Evolution]]) -> None:
    """A sender that has the new version may come first."""
    (first,) = judge(stream_of(), (FIRST, 1, 1))
    (found,) = judge(stream_of(), (FIRST, 1, 1), (THIRD, 0, 0.5))
    assert [each.number for each in found.versions] == [1, 2]
    assert found.newest.gone == ("name",)
    assert first.touched == ()


def test_records_of_one_topic_are_compared_apart(judge: Callable[..., list[Evolution]]) -> None:
    order, parcel = record(ID, NAME), record(ID, ("weight", "double"), name="Parcel")
    found = judge(stream_of(), (order, 0, 1), (parcel, 0.5, 1), subjects=("shop.Order", "shop.Parcel"))
    assert [(each.subject, each.touched) for each in found] == [("shop.Order", ()), ("shop.Parcel", ())]


@pytest.mark.parametrize(
    "said",
    [
        {"format": {"avro": {"schema": {"subject": "reel-value", "version": 1}}}},
        {"fields": {"name": {"type": "varchar", "path": "elsewhere"}}},
        {"fields": {"name": {"type": "varchar", "header": "name"}}},
        {"fields": {"name": "varchar"}, "unnest": "lines"},
        {"fields": {"name": "varchar"}, "unnest": "name[0]"},
    ],
    ids=["one version shows all", "never sent", "a header", "in elements that never were", "behind an index"],
)
def test_what_no_schema_changed_is_not_judged(
    judge: Callable[..., list[Evolution]], said: dict[str, Any]
) -> None:
    (found,) = judge(stream_of(**said), (FIRST, 0, 1), (THIRD, 1, 1))
    assert found.newest.gone == ("name",)
    assert found.touched == ()


@pytest.mark.parametrize(
    ("declared", "sent", "fits"),
    [
        ("varchar", "json", True), ("json", "bigint", True), ("bigint", "integer", True),
        ("integer", "bigint", False), ("bigint", "varchar", False), ("double", "decimal(9,2)", True),
        ("decimal(12,2)", "integer", True), ("decimal(11,2)", "integer", False),
        ("decimal(9,2)", "decimal(9,3)", False), ("decimal(9,2)", "double", False),
        ("timestamp", "date", True), ("timestamp", "varchar", False), ("boolean", "integer", False),
    ],
)  # fmt: skip
def test_which_types_hold_which(declared: str, sent: str, fits: bool) -> None:
    assert holds(declared, sent) == fits


def test_numbers_that_became_wider_are_read_by_their_unit_as_before(
    judge: Callable[..., list[Evolution]],
) -> None:
    at_field = {"at": {"type": "timestamp", "unit": "s"}}
    wide, narrow, text = (record(ID, ("at", kind)) for kind in ("long", "int", "string"))
    (wider,) = judge(stream_of(fields=at_field), (narrow, 0, 1), (wide, 1, 1))
    assert wider.touched == ()
    (other,) = judge(stream_of(fields=at_field), (narrow, 0, 1), (wide, 1, 1), (text, 1, 1))
    assert [each.what for each in other.touched] == ["'at' is varchar and no longer bigint"]


LINE = ("sku", "string"), ("price", "int")


def object_of(**properties: Any) -> dict[str, Any]:
    """A JSON Schema."""
    return {"type": "object", "properties": properties}


def message_of(fields: str, *, more: str = "") -> str:
    """The descriptors of a .proto file with one message, as the registry gives them."""
    with TemporaryDirectory() as folder:
        place = Path(folder)
        (place / "o.proto").write_text(f'syntax = "proto3"; message Order {{ {fields} }} {more}')
        out = place / "out"
        protoc = [sys.executable, "-m", "grpc_tools.protoc", f"-I{folder}", f"--descriptor_set_out={out}"]
        subprocess.run([*protoc, str(place / "o.proto")], check=True)
        (file,) = descriptor_pb2.FileDescriptorSet.FromString(out.read_bytes()).file
    return base64.b64encode(file.SerializeToString()).decode()


def test_versions_of_json_schema_are_compared(judge: Callable[..., list[Evolution]]) -> None:
    first = object_of(id={"type": "integer"}, name={"type": "string"}, cents={"type": "integer"})
    second = object_of(id={"type": "integer"}, cents={"type": "string"}, at={"type": "boolean"})
    reads = stream_of(format={"json": {"schema": "prefix"}})
    (found,) = judge(reads, (first, 0, 1), (second, 1, 1), kind="JSON")
    assert found.label(found.newest) == "reel-value version 2 (schema 701)"
    assert (found.newest.added, found.newest.gone) == (("at (boolean)",), ("name",))
    assert found.newest.retyped == ("cents (bigint → varchar)",)
    assert [(each.field, each.what) for each in found.touched] == [
        ("customer", "'name' is gone"), ("cents", "'cents' is varchar and no longer bigint"),
    ]  # fmt: skip


def test_versions_of_protobuf_are_compared(judge: Callable[..., list[Evolution]]) -> None:
    first = message_of("int64 id = 1; string name = 2; int32 cents = 3;")
    second = message_of("int64 id = 1; string cents = 4; bool at = 5;")
    reads = stream_of(format={"protobuf": {"schema": "prefix"}})
    (found,) = judge(reads, (first, 0, 1), (second, 1, 1), kind="PROTOBUF")
    assert found.subject == "reel-value"
    assert (found.newest.added, found.newest.gone) == (("at (boolean)",), ("name",))
    assert [each.field for each in found.touched] == ["customer", "cents"]


def in_lines(kind: str, *fields: str) -> Any:
    """A schema with an order's number and its lines, each of which has some texts."""
    if kind == "JSON":
        line = object_of(**{each: {"type": "string"} for each in fields})
        return object_of(id={"type": "integer"}, lines={"type": ["array", "null"], "items": line})
    if kind == "PROTOBUF":
        texts = " ".join(f"string {each} = {n};" for n, each in enumerate(fields, 1))
        return message_of("int64 id = 1; repeated Line lines = 2;", more=f"message Line {{ {texts} }}")
    line = record(*((each, "string") for each in fields), name="Line")
    return record(ID, ("lines", ["null", {"type": "array", "items": line}]))


@pytest.mark.parametrize("kind", ["AVRO", "JSON", "PROTOBUF"])
def test_elements_of_an_array_are_compared(judge: Callable[..., list[Evolution]], kind: str) -> None:
    order = {"type": "bigint", "path": "^.id"}
    reads = stream_of(
        format={kind.lower(): {"schema": "prefix"}}, unnest="lines",
        fields={"sku": "varchar", "note": "varchar", "order_id": order},
    )  # fmt: skip
    first, second = in_lines(kind, "sku", "note"), in_lines(kind, "sku", "more")
    (found,) = judge(reads, (first, 0, 1), (second, 1, 1), kind=kind)
    assert (found.newest.added, found.newest.gone) == (("lines.more (varchar)",), ("lines.note",))
    assert [(each.field, each.what) for each in found.touched] == [("note", "'lines.note' is gone")]


def test_what_encloses_the_elements_and_the_array_itself_are_compared(
    judge: Callable[..., list[Evolution]],
) -> None:
    order = {"type": "bigint", "path": "^.id"}
    reads = stream_of(unnest="lines", fields={"sku": "varchar", "order_id": order})
    whole = in_lines("AVRO", "sku")
    (found,) = judge(reads, (whole, 0, 1), (record(("more", "long")), 1, 1))
    assert [(each.field, each.what) for each in found.touched] == [
        ("sku", "'lines.sku' is gone"), ("order_id", "'id' is gone"),
    ]  # fmt: skip


def test_the_row_in_a_change_is_compared(judge: Callable[..., list[Evolution]]) -> None:
    def change(*fields: tuple[str, Any]) -> dict[str, Any]:
        row = record(*fields, name="Row")
        return record(
            ("op", "string"), ("before", ["null", row]), ("after", ["null", "Row"]), name="Envelope"
        )

    reads = stream_of(envelope="debezium", business_id="id", fields={"id": "bigint", "name": "varchar"})
    (found,) = judge(reads, (change(ID, NAME), 0, 1), (change(ID, CENTS), 1, 1))
    assert (found.newest.added, found.newest.gone) == (("after.cents (integer)",), ("after.name",))
    assert [(each.field, each.what) for each in found.touched] == [("name", "'after.name' is gone")]


@pytest.mark.parametrize("mode", ["attributes in headers", "attributes in the payload"])
def test_the_data_of_a_cloudevent_is_compared(judge: Callable[..., list[Evolution]], mode: str) -> None:
    def event(**properties: Any) -> dict[str, Any]:
        data = object_of(**properties)
        return data if "headers" in mode else object_of(specversion={"type": "string"}, data=data)

    text, number = {"type": "string"}, {"type": "integer"}
    reads = stream_of(
        envelope="cloudevents",
        format={"json": {"schema": "prefix"}},
        fields={"id": "bigint", "name": "varchar"},
    )
    (found,) = judge(reads, (event(id=number, name=text), 0, 1), (event(id=number), 1, 1), kind="JSON")
    assert [each.field for each in found.touched] == ["name"]


def test_an_object_that_a_schema_no_longer_describes_says_nothing_of_its_fields(
    judge: Callable[..., list[Evolution]],
) -> None:
    reads = stream_of(format={"json": {"schema": "prefix"}}, unnest="lines", fields={"sku": "varchar"})
    free = object_of(id={"type": "integer"}, lines={"type": "array"})
    (found,) = judge(reads, (in_lines("JSON", "sku"), 0, 1), (free, 1, 1), kind="JSON")
    assert found.touched == ()
