"""Fields of the key, the topic, headers and the broker's time: in staging as they were sent, or named."""

import json
from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from pydantic import ValidationError

from ingestion.connectors.kafka.rows import headers_as_text
from ingestion.connectors.mqtt.message import event_of
from ingestion.declare.stream import Stream
from ingestion.log.notation import bytes_as_text, text_as_bytes
from tests.values.staged import AT, Fate, stage_events


def _kafka(fields: Mapping[str, Any], *events: Mapping[str, Any]) -> list[Fate]:
    stream = Stream.model_validate({"name": "s", "source": {"kafka": "^plant"}, "fields": fields})
    return stage_events(stream, [{"source_partition": "plant.ulm.m-7-3", "value": b"{}"} | e for e in events])


def _mqtt(fields: Mapping[str, Any], topic: str, *pairs: tuple[str, str]) -> Fate:
    stream = Stream.model_validate({"name": "s", "source": {"mqtt": "#"}, "fields": fields})
    properties = Properties(PacketTypes.PUBLISH)
    if pairs:
        properties.UserProperty = list(pairs)
    message: Any = SimpleNamespace(
        topic=topic, payload=b"{}", qos=1, retain=True, dup=False, properties=properties
    )
    event = event_of(message, 1_772_323_200_000_000)
    sent = {"event_key": event.key, "value": event.value, "headers": event.headers, "event_time": AT}
    return stage_events(stream, [sent])[0]


def test_levels_of_a_topic_are_counted_from_either_end() -> None:
    fields = {"line": {"topic": 2}, "what": {"topic": -1}, "whole": {"topic": True}, "no": {"topic": 7}}
    fate = _mqtt(fields | {"first": {"topic": 1, "type": "bigint"}}, "12/line-1//temperature")
    assert fate == Fate(
        {
            "line": "line-1",
            "what": "temperature",
            "whole": "12/line-1//temperature",
            "no": None,
            "first": 12,
        },
        (),
    )
    assert _mqtt({"number": {"topic": 1, "type": "bigint"}}, "a/b") == Fate({"number": None}, ("number",))
    (fate,) = _kafka({"town": {"topic": 2}, "last": {"topic": -1}, "whole": {"topic": True}}, {})
    assert fate.values == {"town": "ulm", "last": "m-7", "whole": "plant.ulm.m-7"}


def test_a_key_is_a_field_whole_or_by_a_path() -> None:
    fields = {
        "whole": {"key": True},
        "id": {"key": "order.id", "type": "bigint"},
        "price": {"key": "price", "type": "decimal(10,2)"},
    }
    json_key, no_key, plain, partly, twice = _kafka(
        fields,
        {"event_key": b'{"order": {"id": 7}, "price": 1.10}'},
        {},
        {"event_key": b"k-1"},
        {"event_key": b'{"order": {"id": "x"}, "price": 1.005}'},
        {"event_key": b'{"order": {"id": 7}, "price": 1, "price": 2}'},
    )
    assert json_key == Fate(
        {"whole": '{"order": {"id": 7}, "price": 1.10}', "id": 7, "price": Decimal("1.10")}, ()
    )
    assert no_key == Fate({"whole": None, "id": None, "price": None}, ())
    assert plain == Fate({"whole": "k-1", "id": None, "price": None}, ("id", "price"))
    assert partly.cast_errors == ("id", "price")
    assert twice.cast_errors == ("id", "price")


def test_a_header_that_came_more_than_once_has_no_value() -> None:
    fields = {"trace": {"header": "trace"}, "n": {"header": "n", "type": "bigint"}}
    once, none, twice, empty = _kafka(
        fields,
        {"headers": headers_as_text([("trace", b'["a"]'), ("n", b"7"), ("other", b"\xff")])},
        {},
        {"headers": headers_as_text([("trace", b"a"), ("trace", b"a"), ("n", b"x")])},
        {"headers": headers_as_text([("trace", b""), ("n", None)])},
    )
    assert once == Fate({"trace": '["a"]', "n": 7}, ())
    assert none == Fate({"trace": None, "n": None}, ())
    assert twice == Fate({"trace": None, "n": None}, ("trace", "n"))
    assert empty == Fate({"trace": "", "n": None}, ())


@pytest.mark.parametrize("name", ["*", "a*", "*.b", "a.b", "a/b~", "$"])
def test_any_name_of_a_header_is_that_header(name: str) -> None:
    stream = Stream.model_validate(
        {"name": "s", "source": {"kafka": "s"}, "fields": {"found": {"header": name}}}
    )
    others = [("other", b"1"), ("ab", b"2"), ("a", b"3")]
    alone, twice, nested = (
        headers_as_text([*others, (name, b"7")]),
        headers_as_text([*others, (name, b"7"), (name, b"8")]),
        json.dumps({"headers": {name: "9", "other": "1"}}),
    )
    seen = stage_events(stream, [{"value": b"{}", "headers": each} for each in (alone, twice, nested, None)])
    assert [fate.values["found"] for fate in seen] == ["7", None, "9", None]
    assert [fate.cast_errors for fate in seen] == [(), ("found",), (), ()]


def test_a_user_property_is_a_header() -> None:
    fields = {"trace": {"header": "trace"}, "kept": {"header": "retain", "type": "boolean"}}
    assert _mqtt(fields, "a", ("trace", "t-1"), ("x", "y")) == Fate({"trace": "t-1", "kept": True}, ())
    assert _mqtt(fields, "a") == Fate({"trace": None, "kept": True}, ())
    assert _mqtt(fields, "a", ("trace", "1"), ("trace", "2")).cast_errors == ("trace",)


def test_a_header_and_a_routing_key_of_rabbitmq_are_fields() -> None:
    fields = {"trace": {"header": "trace"}, "kind": {"topic": 2}, "id": {"header": "message_id"}}
    stream = Stream.model_validate({"name": "s", "source": {"rabbitmq": "q"}, "fields": fields})
    kept = b'{"exchange": "", "message_id": "m-1", "headers": {"trace": "t-1"}}'.decode()
    sent = {"event_key": b"plant.state.7", "value": b"{}", "headers": kept}
    assert stage_events(stream, [sent]) == [Fate({"trace": "t-1", "kind": "state", "id": "m-1"}, ())]


def test_the_brokers_time_is_a_field() -> None:
    fields = {
        "sent": {"broker_time": True},
        "day": {"broker_time": True, "type": "date", "zone": "Asia/Tokyo"},
    }
    moment = datetime(2026, 3, 1, 20, 0, 0, 123456, tzinfo=UTC)
    there, none = _kafka(fields, {"event_time": moment}, {"event_time": None})
    assert there == Fate({"sent": moment, "day": date(2026, 3, 2)}, ())
    assert none == Fate({"sent": None, "day": None}, ())


@settings(max_examples=100, deadline=None)
@given(st.one_of(st.binary(max_size=17), st.text(max_size=8).map(str.encode), st.integers(0, 2**62)))
def test_no_two_keys_look_alike(key: bytes | int) -> None:
    if isinstance(key, int):  # as Kafka's LongSerializer writes it
        key = key.to_bytes(8, "big")
        assert bytes_as_text(key) == f"\\x{key.hex()}" or key[0] >= 0x20
    assert text_as_bytes(bytes_as_text(key)) == key


def test_keys_of_any_bytes_are_fields() -> None:
    keys = [b"\x00\x00\x00\x00\x00\x00\x00\x05", b"\xff", b"\\xff", b"a\tb", "é".encode(), b"", b"\\x"]
    fates = _kafka({"k": {"key": True}}, *({"event_key": key} for key in keys))
    shown = [fate.values["k"] for fate in fates]
    assert shown == ["\\x0000000000000005", "\\xff", "\\x5c786666", "a\tb", "é", "", "\\x5c78"]


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ({"topic": 0}, "1 is the first, -1 the last"),
        ({"topic": False}, "write 'topic: true'"),
        ({"key": False}, "write 'key: true'"),
        ({"key": "a..b"}, "write 'key: true'"),
        ({"header": 'a"'}, "is not a header's name"),
        ({"header": "a", "topic": 1}, "names topic and header: remove one"),
        ({"header": "a", "path": "b"}, "has a 'path' in the payload, or"),
        ({"broker_time": True, "type": "varchar"}, "is a timestamp or a date, not varchar"),
    ],
)
def test_a_mistake_is_refused(said: Mapping[str, Any], sentence: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Stream.model_validate({"name": "s", "source": {"kafka": "s"}, "fields": {"v": said}})
    assert sentence in str(caught.value)
