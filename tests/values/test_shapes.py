"""Arrays, lines and odd keys: each element is an event of its own, and what fits nothing is named."""

import json
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from ingestion.declare.paths import Place, json_path, parse_path, write_path
from ingestion.declare.stream import Stream
from orchestration.dbt.casts import _macros
from tests.values.staged import AT, Fate, stage, stage_events, stage_messages

READINGS: dict[str, Any] = {
    "unnest": "readings",
    "fields": {
        "v": "varchar",
        "whole": {"path": ".", "type": "json"},
        "device": {"path": "^.device", "type": "varchar"},
        "last": {"path": "^.readings[-1].v", "type": "varchar"},
        "all_of_it": {"path": "^", "type": "json"},
    },
}


def shown(fates: list[Fate]) -> list[tuple[Any, ...]]:
    return [(fate.event_id.partition("@")[2], *fate.values.values(), fate.cast_errors) for fate in fates]


def test_each_element_is_an_event_with_its_index_and_what_encloses_it() -> None:
    sent = '{"device": "d1", "readings": [{"v": 1.10}, {"v": "x\\u00e9"}]}'
    whole = '{"device":"d1","readings":[{"v":1.10},{"v":"xé"}]}'
    (fates,) = stage_messages(READINGS, [sent])
    assert shown(fates) == [
        ("0#0", "1.10", '{"v":1.10}', "d1", "xé", whole, ()),
        ("0#1", "xé", '{"v":"xé"}', "d1", "xé", whole, ()),
    ]


@pytest.mark.parametrize(
    "sent",
    [
        '{"device": "d", "readings": []}',
        '{"device": "d"}',
        '{"device": "d", "readings": {"v": 1}}',
        '{"device": "d", "readings": null}',
        '{"device": "d", "Readings": [{"v": 1}]}',
        '{"device": "d", "readings": [{"v": 1}], "readings": [{"v": 2}]}',
        "[]",
        "3",
        "null",
    ],
)
def test_a_payload_without_an_element_is_one_row_that_is_named(sent: str) -> None:
    (fates,) = stage_messages(
        {**READINGS, "fields": {"v": "varchar", "d": READINGS["fields"]["device"]}}, [sent]
    )
    device = "d" if sent.startswith("{") else None
    assert shown(fates) == [("0", None, device, ("payload",))]


def test_the_root_may_be_the_array_and_elements_may_be_bare() -> None:
    declared = {"unnest": ".", "fields": {"v": {"path": ".", "type": "decimal(10,2)"}}}
    (fates,) = stage_messages(declared, ['[1.10, "2", null, [3], "x"]'])
    values = [None if fate.values["v"] is None else str(fate.values["v"]) for fate in fates]
    assert values == ["1.10", "2.00", None, None, None]
    assert [fate.cast_errors for fate in fates] == [(), (), (), ("v",), ("v",)]


def test_what_encloses_no_element_is_named_by_its_fields_too() -> None:
    fields = {"v": "varchar", "d": {"path": "^.d", "type": "bigint"}}
    (fates,) = stage_messages({"unnest": "r", "fields": fields}, ['{"d": "x", "r": []}'])
    assert shown(fates) == [("0", None, None, ("payload", "d"))]


def test_an_element_that_fits_no_field_is_named_and_so_are_keys_that_are_unclear() -> None:
    (fates,) = stage_messages(
        {"unnest": "r", "fields": {"v": "varchar", "d": {"path": "^.d", "type": "varchar"}}},
        ['{"d": 1, "r": [{"v": 1}, {"w": 1}, {}, 7, null, {"v": null}, {"v": 1, "v": 2}, {"V": 1}]}'],
    )
    assert [fate.cast_errors for fate in fates] == [
        (), ("payload",), ("payload",), ("payload",), ("payload",), (), ("v",), ("v",),
    ]  # fmt: skip
    assert {fate.values["d"] for fate in fates} == {"1"}
    (twice,) = stage_messages(
        {"unnest": "r", "fields": {"v": "varchar", "d": {"path": "^.d", "type": "varchar"}}},
        ['{"d": 1, "d": 2, "r": [{"v": 1}]}'],
    )
    assert shown(twice) == [("0#0", "1", None, ("d",))]


BESIDE = {
    "gateway": {"key": '["a.b"][0]'},
    "line": {"topic": 2},
    "trace": {"header": "trace"},
    "received": {"broker_time": True},
}


def test_what_is_beside_the_payload_is_of_each_element_and_fits_nothing_by_itself() -> None:
    fields = {"v": "varchar", "d": {"path": "^.d", "type": "varchar"}} | BESIDE
    stream = Stream.model_validate(
        {"name": "s", "source": {"kafka": "^plant"}, "unnest": "r", "fields": fields}
    )
    sent = {
        "source_partition": "plant.l1-0",
        "event_key": b'{"a.b": ["g", "h"]}',
        "headers": '{"trace": "t"}',
    }
    fates = stage_events(
        stream,
        [sent | {"value": b'{"d": 1, "r": [{"v": 1.10}, {"w": 2}]}'}, sent | {"value": b'{"d": 1, "r": []}'}],
    )
    assert [fate.event_id for fate in fates] == ["plant.l1-0@0#0", "plant.l1-0@0#1", "plant.l1-0@1"]
    assert [tuple(fate.values.values()) for fate in fates] == [
        (value, "1", "g", "l1", "t", AT) for value in ("1.10", None, None)
    ]
    assert [fate.cast_errors for fate in fates] == [(), ("payload",), ("payload",)]
    only_beside = stream.model_copy(update={"unnest": None, "fields": {n: stream.fields[n] for n in BESIDE}})
    assert [fate.cast_errors for fate in stage_events(only_beside, [sent | {"value": b"{}"}])] == [()]


def test_a_row_that_fits_no_field_is_named_in_an_envelope_too() -> None:
    fields = {"v": "varchar", "first": {"path": "r[0]", "type": "varchar"}}
    stream = Stream.model_validate(
        {"name": "s", "source": {"kafka": "s"}, "envelope": "debezium", "fields": fields}
    )
    rows = ['{"v": 1, "r": [1.10]}', '{"w": 1}', '{"V": 1}', "null"]
    fates = stage_events(
        stream, [{"value": f'{{"op": "c", "source": {{}}, "after": {row}}}'.encode()} for row in rows]
    )
    assert [fate.cast_errors for fate in fates] == [(), ("payload",), ("v",), ()]
    assert fates[0].values["first"] == "1.10"


def test_a_header_that_came_twice_is_named_beside_the_payload_that_fits_nothing() -> None:
    fields = {"v": "varchar", "trace": {"header": "trace"}}
    stream = Stream.model_validate({"name": "s", "source": {"kafka": "s"}, "fields": fields})
    (fate,) = stage_events(stream, [{"value": b'{"w": 1}', "headers": '{"trace": ["a", "b"]}'}])
    assert fate.cast_errors == ("payload", "trace")


def test_staged_events_are_in_the_order_in_which_they_arrived() -> None:
    ids = ["p-0@9", "p-0@9#10", "p-0@10", "p-0@10#9", "p-1@1", "p@x-0@2#3"]
    shuffled = ", ".join(f"(1, '{each}')" for each in reversed(ids))
    rows = f"(values {shuffled}) as t (batch_id, event_id)"
    sql = f"select event_id from {rows} order by {_macros().arrival_of_id()}"
    with duckdb.connect(":memory:") as connection:
        assert [row[0] for row in connection.execute(sql).fetchall()] == ids


def test_lines_are_events() -> None:
    declared = {"format": {"json": {"lines": True}}, "fields": {"v": "varchar"}}
    first, second, bad = stage_messages(declared, ['{"v": 1.10}\n{"v": 2}\n', '{"v": 3}', '{"v": 1}\n{'])
    assert shown(first) == [("0#0", "1.10", ()), ("0#1", "2", ())]
    assert shown(second) == [("1#0", "3", ())]
    assert bad[0].reject == "not_json"


@pytest.mark.parametrize(
    ("path", "sent", "value"),
    [
        ('["a.b"].c', '{"a.b": {"c": 1}}', "1"),
        ("r[0].v", '{"r": [{"v": 1}, {"v": 2}]}', "1"),
        ("r[-1].v", '{"r": [{"v": 1}, {"v": 2}]}', "2"),
        ("r[2].v", '{"r": [{"v": 1}], "s": 1}', None),
        ("[1]", "[5, 6]", "6"),
        ("[0][1]", "[[5, 6]]", "6"),
        ('["*"]', '{"*": 1, "a": 2}', "1"),
        ('a["*"][1]', '{"a": {"*": [5, 6]}}', "6"),
        ('["a/b~c*"]', '{"a/b~c*": 1}', "1"),
        ('["a\\"b"]', '{"a\\"b": 1}', "1"),
        ('["a\\\\b"]', '{"a\\\\b": 1}', "1"),
        ('["it\'s"]', '{"it\'s": 1}', "1"),
        ('[""]', '{"": 1}', "1"),
        ('["^"]', '{"^": 1}', "1"),
        ("a.a.b", '{"a": {"a": {"b": 1}}}', "1"),
        ("0", '{"0": 1}', "1"),
    ],
)
def test_a_path_finds_its_value(path: str, sent: str, value: str | None) -> None:
    (fate,) = stage({"v": {"path": path, "type": "varchar"}, "s": "varchar"}, [sent])
    assert (fate.values["v"], "v" in fate.cast_errors) == (value, False)
    if value is not None:
        assert fate.cast_errors == ()
        (fate,) = stage({"v": {"path": path, "type": "json"}}, [sent])
        assert fate.values["v"] == value


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("a..b", "is not a path; write the keys"),
        ("", "is not a path"),
        ("a[x]", "is not a path"),
        ("a[1", "is not a path"),
        ("a.*.b", "holds a wildcard; write"),
        ("$.tags.machine", "begins with $; a path begins in the payload: write tags.machine, or"),
        ("$", "write ., or"),
        ("$[0].v", "write [0].v, or"),
        ("*", "and 'unnest' for every element"),
        ('["*"][-1]', "counts from an array's end and has a key"),
        ('["\\x"]', "has a key that is not JSON text"),
        ("^.a", "declare 'unnest'"),
    ],
)
def test_a_mistake_in_a_path_is_a_sentence(path: str, sentence: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Stream.model_validate(
            {"name": "s", "source": {"kafka": "s"}, "fields": {"v": {"path": path, "type": "json"}}}
        )
    assert sentence in str(caught.value)


@pytest.mark.parametrize(
    ("declared", "sentence"),
    [
        ({"unnest": "^.a"}, "starts in the payload already"),
        ({"unnest": "a", "format": {"json": {"lines": True}}}, "each line of a message is an event already"),
        ({"unnest": "a", "envelope": "debezium"}, "'unnest' cannot stand beside 'envelope: debezium'"),
        (
            {"format": {"json": {"lines": True}}, "envelope": "cloudevents"},
            "'lines' cannot stand beside 'envelope: cloudevents'",
        ),
    ],
)
def test_a_mistake_about_unnest_is_a_sentence(declared: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Stream.model_validate({"name": "s", "source": {"kafka": "s"}, **declared})
    assert sentence in str(caught.value)


_steps = st.lists(
    st.one_of(st.text(min_size=0, max_size=4), st.sampled_from(["a.b", "*", "^", "]", "~/"]),
        st.integers(0, 5)),
    max_size=4,
).map(tuple)  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(_steps)
def test_a_path_is_read_as_it_is_written_and_sql_has_the_same(steps: tuple[str | int, ...]) -> None:
    assert parse_path(write_path(steps)) == Place(steps)
    assert _macros().json_path(list(steps)).strip() == json_path(steps).strip()


_elements = st.one_of(
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(),
    st.none(),
    st.dictionaries(st.sampled_from("vwV"), st.integers()),
)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.lists(_elements, max_size=5), max_size=5))
def test_every_element_of_any_array_is_one_event_as_it_was_sent(arrays: list[list[Any]]) -> None:
    sent = [json.dumps({"r": array}) for array in arrays]
    events = stage_messages({"unnest": "r", "fields": {"v": {"path": ".", "type": "json"}}}, sent)
    for at, (array, fates) in enumerate(zip(arrays, events, strict=True)):
        if not array:
            assert shown(fates) == [(f"{at}", None, ("payload",))]
            continue
        assert [fate.event_id for fate in fates] == [f"s-0@{at}#{index}" for index in range(len(array))]
        texts = [
            None if value is None else json.loads(fate.values["v"])
            for value, fate in zip(array, fates, strict=True)
        ]
        assert texts == array
        assert all(fate.cast_errors == () for fate in fates)
