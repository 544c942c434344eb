"""A schema evolves: the ledger names it, `status` shows it, and a condition names what it breaks."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.schema_registry import Schema
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


Seen = tuple[dict[str, Any], float, float]
"""A schema, and how many hours after noon its first and its newest batch came."""


@pytest.fixture
def judge(at: Settings, tmp_path: Path) -> Iterator[Callable[..., list[Evolution]]]:
    """How the versions of a stream are judged; all have been read before."""
    server = SchemaRegistry(tmp_path / "registry", first_id=700).start()
    at = at.replaced(schema_registry_url=server.url)

    def judged(stream: Stream, *seen: Seen, subjects: tuple[str, ...] = ()) -> list[Evolution]:
        uses = []
        for number, (schema, first, last) in enumerate(seen):
            subject = subjects[number] if subjects else "reel-value"
            name = str(client(server).register_schema(subject, Schema(json.dumps(schema), "AVRO")))
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
    ],
    ids=["one version shows all", "never sent", "a header", "inside elements"],
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
