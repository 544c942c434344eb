"""What is proposed for real payloads: names, types, reasons; and staging reads every value that was seen."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingestion.declare.stream import Stream
from orchestration.dbt.casts import typed_value
from orchestration.scaffold.counters import find_counter
from orchestration.scaffold.propose import Proposed, propose_fields
from orchestration.scaffold.roles import find_business_id, find_event_time

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def proposed(*values: Any, name: str = "x") -> tuple[str, str]:
    """Type and reason for a field with these values."""
    (field,) = propose_fields([json.dumps({name: value}) for value in values])[0]
    return field.type, field.reason


@pytest.mark.parametrize(
    ("values", "kind", "reason"),
    [
        ([1.5, 2, None], "double", "number in 2 of 3"),
        ([1, -2], "bigint", "whole number in 2 of 2"),
        ([2**63, 1], "decimal(38,0)", "whole number, some beyond bigint, in 2 of 2"),
        ([10**40], "varchar", "whole number of more than 38 digits in 1 of 1"),
        ([True, False], "boolean", "true or false in 2 of 2"),
        (["true", "False"], "boolean", "true or false as text in 2 of 2"),
        (["a", ""], "varchar", "text in 2 of 2"),
        (["1.5", "2"], "double", "number as text in 2 of 2"),
        (["1.50", "-20.25"], "decimal(38,2)", "number as text, 2 digits after the point, in 2 of 2"),
        (["1.2"], "double", "number as text in 1 of 1"),
        (["1.5e1", "2.0e1"], "double", "number as text in 2 of 2"),
        (["15", "2"], "bigint", "whole number as text in 2 of 2"),
        (["007", "1"], "varchar", "text in 2 of 2"),
        (["1", "n/a"], "varchar", "text in 2 of 2"),
        (["2026-03-01", "2026-03-02"], "date", "date in 2 of 2"),
        (["2026-03-01", "2026-13-02"], "varchar", "text in 2 of 2"),
        (["2026-03-01T06:30:00Z"], "timestamp", "ISO 8601 time in 1 of 1"),
        (["2026-03-01T06:30:00.123+02:00"], "timestamp", "ISO 8601 time in 1 of 1"),
        (["2026-03-01 06:30"], "timestamp", "ISO 8601 time without a zone, read as UTC, in 1 of 1"),
        ([[1], []], "json", "array in 2 of 2"),
        ([{}, {}], "json", "object in 2 of 2"),
        ([1, "a", 2], "varchar", "mixed, whole in 2, text in 1 of 3"),
        ([1, True], "varchar", "mixed, whole in 1, boolean in 1 of 2"),
        (["a", {"b": 1}], "json", "object and text in 2 of 2"),
    ],
)
def test_types(values: list[Any], kind: str, reason: str) -> None:
    assert proposed(*values) == (kind, reason)


@pytest.mark.parametrize(
    ("name", "value", "kind"),
    [
        ("ts", 1_772_350_200, "timestamp"),
        ("ts", 1_772_350_200.25, "timestamp"),
        ("created_at", 1_772_350_200_123, "timestamp"),
        ("eventTime", 1_772_350_200_123_456, "timestamp"),
        ("time", 1_772_350_200_123_456_789, "timestamp"),
        ("time", "1772350200", "timestamp"),
        ("time", 12, "bigint"),
        ("time", 90_000, "bigint"),
        ("attempts", 1_772_350_200, "bigint"),
        ("order_number", "4711", "varchar"),
        ("device_id", "4711", "varchar"),
    ],
)
def test_names_decide_where_values_do_not(name: str, value: object, kind: str) -> None:
    assert proposed(value, name=name)[0] == kind


def test_names_and_paths() -> None:
    payload = {
        "orderId": 1, "position": 2, "select": 3, "Ünïcode-Name": 4, "2nd": 5, "a.b": 6, 'q"': 7, "": 8,
        "to": {"town": "x", "geo": {"lat": 1.5}}, "to_town": "y", "nothing": None, "long" * 30: 9,
    }  # fmt: skip
    fields, notes = propose_fields([json.dumps(payload)])
    assert {field.name: field.path for field in fields} == {
        "order_id": "orderId", "payload_position": "position", "payload_select": "select",
        "n_code_name": "Ünïcode-Name", "payload_2nd": "2nd", "to_town": "to.town", "to_geo_lat": "to.geo.lat",
        "a_b": '["a.b"]', "q": '["q\\""]', "value": '[""]', "to_town_2": "to_town",
        ("long" * 30)[:56]: "long" * 30,
    }  # fmt: skip
    assert "'position' is named payload_position: staging has a column position of its own" in notes
    assert "'select' is named payload_select: select is a word of SQL" in notes
    assert "'nothing' is null in every message: left out" in notes


def test_objects_whose_keys_are_data_are_one_field() -> None:
    payloads = [json.dumps({"by_user": {f"user-{n}-{m}": m for m in range(5)}}) for n in range(20)]
    ((field,), _) = propose_fields(payloads)
    assert (field.name, field.type) == ("by_user", "json")
    assert field.reason == "object with keys of its own in 20 of 20"


def test_a_bare_value_is_a_field() -> None:
    ((field,), _) = propose_fields(["21.5", "22"])
    assert (field.name, field.type, field.path) == ("value", "double", ".")
    ((field,), _) = propose_fields(['"on"', '"off"'])
    assert field.type == "varchar"
    ((field,), notes) = propose_fields(['{"a": 1}', "3", "4"])
    assert (field.name, notes) == ("a", ["2 of 3 payloads are not objects"])


def test_deep_and_empty_payloads_do_no_harm() -> None:
    deep = '{"a":' * 400 + "1" + "}" * 400
    ((field,), _) = propose_fields([deep])
    assert field.type == "json"
    assert propose_fields(["{}", "null"]) == ([], ["1 of 2 payloads are not objects"])


_scalars = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
)
_times = st.datetimes(min_value=datetime(1990, 1, 1)).map(lambda moment: moment.isoformat())
_objects = st.dictionaries(
    st.text(max_size=12),
    st.recursive(
        _scalars | _times | st.integers().map(str),
        lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
        max_leaves=4,
    ),
    max_size=5,
)


@settings(max_examples=60, deadline=None)
@given(st.lists(_objects, min_size=1, max_size=4))
def test_whatever_came_can_be_declared_and_staging_reads_all_of_it(objects: list[dict[str, Any]]) -> None:
    """The declaration is valid, and no value of the sample is one that staging cannot read."""
    payloads = [text for text in map(json.dumps, objects) if "\\ud" not in text and "\\u0000" not in text]
    fields, _ = propose_fields(payloads)
    Stream.model_validate(
        {
            "name": "s",
            "source": {"kafka": "t"},
            "fields": {field.name: {"type": field.type, "path": field.path} for field in fields},
        }
    )
    with duckdb.connect(":memory:") as connection:
        for field in fields:
            texts = [text for text in field.texts if text is not None]
            assert texts
            sql = f"select count({typed_value('t', field.type)}) from (select unnest(?::varchar []) as t)"
            assert connection.execute(sql, [texts]).fetchall() == [(len(texts),)], field


def fields_of(payloads: Sequence[dict[str, Any]]) -> tuple[list[Proposed], list[str]]:
    texts = [json.dumps(payload) for payload in payloads]
    return propose_fields(texts)[0], texts


def test_the_time_of_the_event_is_the_likeliest_one() -> None:
    payloads = [
        {
            "due_at": (NOW + timedelta(hours=1)).isoformat(),
            "created_at": (NOW + timedelta(seconds=n)).isoformat(),
            "ts": (NOW + timedelta(seconds=n)).timestamp(),
            "seldom_at": NOW.isoformat() if n < 5 else None,
        }
        for n in range(30)
    ]
    fields, _ = fields_of(payloads)
    sent = [NOW + timedelta(seconds=n + 3) for n in range(30)]
    role = find_event_time(fields, sent_at=sent)
    assert role.names == ("ts",)
    assert role.reason == "in 30 of 30, 3.0 s before the broker's; due_at, created_at would do, too"
    nothing = find_event_time([field for field in fields if field.name == "seldom_at"], sent_at=sent)
    assert nothing.names == ()
    assert "the broker's time counts" in nothing.reason


@pytest.mark.parametrize(
    ("payloads", "names"),
    [
        ([{"order_id": f"o{n}", "event_id": f"e{n}"} for n in range(30)], ("payload_event_id",)),
        ([{"id": n} for n in range(3)], ("id",)),
        ([{"id": n} for n in [1, 2, 2, 3]], ("id",)),  # the same message twice
        ([{"id": n, "v": v} for n, v in [(1, 1), (2, 2), (2, 3)]], ()),
        ([{"order_id": n} for n in range(30)], ("order_id",)),
        ([{"order_id": n} for n in range(10)], ()),  # so few are different by chance
        ([{"device_id": n} for n in range(100)], ()),  # each sends again tomorrow
        (
            [{"device_id": n % 3, "at": f"2026-03-01T06:{n:02}:00Z", "v": n} for n in range(30)],
            ("device_id", "at"),
        ),
        ([{"at": f"2026-03-01T06:{n:02}:00Z", "v": 1.5} for n in range(30)], ()),
        (  # two invoices of one customer may be of one second
            [{"invoice": f"i{n}", "user_id": n % 7, "at": f"2026-03-01T06:{n:02}:00Z"} for n in range(30)],
            ("invoice",),
        ),
        ([{"invoice_no": n, "customer_id": n % 7} for n in range(30)], ("invoice_no",)),
        ([{"invoice": f"i{n}", "v": n} for n in range(10)], ()),
        ([{"text": f"note {n}", "count": n} for n in range(30)], ()),
        ([{"id": n if n else None} for n in range(30)], ()),
    ],
)
def test_what_identifies_an_event(payloads: list[dict[str, Any]], names: tuple[str, ...]) -> None:
    fields, texts = fields_of(payloads)
    time = "at" if any(field.name == "at" for field in fields) else None
    assert find_business_id(fields, texts, event_time=time).names == names


def test_a_time_that_is_a_number_says_its_unit() -> None:
    payload = {"ts": 1_772_350_200, "time": "1772350200123", "sent_at": "2026-03-01T08:00:00Z", "v": 1}
    fields, _ = propose_fields([json.dumps(payload)])
    assert {field.name: field.unit for field in fields} == {
        "ts": "s", "time": "ms", "sent_at": None, "v": None,
    }  # fmt: skip
    assert fields[0].reason == "seconds since 1970 in 1 of 1"


def counted(*events: tuple[str, int], **more: list[Any]) -> dict[str, Any] | None:
    """The numbering that is proposed for some events."""
    payloads = [
        {"device": device, "n": number} | {name: values[at] for name, values in more.items()}
        for at, (device, number) in enumerate(events)
    ]
    found = find_counter(fields_of(payloads)[0])
    return found.said() if found else None


def test_a_number_that_rises_by_one_for_each_of_several_senders_is_a_counter() -> None:
    plain = [(device, number) for number in range(40, 45) for device in ("a", "b", "c")]
    assert counted(*plain) == {"per": "device", "field": "n"}
    several = find_counter(fields_of([{"device": device, "n": number} for device, number in plain])[0])
    assert several
    assert several.reason == "n rises by one in 12 of 12 steps of 3 senders"
    lossy = [pair for pair in plain if pair not in (("a", 42), ("b", 43))]
    assert counted(*lossy) == {"per": "device", "field": "n"}, "mostly"
    assert counted(*plain, *plain[-3:]) == {"per": "device", "field": "n"}, "sent again"
    blocks = [(device, number) for device in ("a", "b") for number in range(1, 6)]
    assert counted(*blocks) == {"per": "device", "field": "n"}
    round_ = [(device, (254 + n) % 256) for n in range(6) for device in ("a", "b")]
    assert counted(*round_) == {"per": "device", "field": "n", "wraps_at": 255}
    pairs = [("a", n) for n in (1, 1, 2, 2, 3, 3, 4, 4)] + [("b", n) for n in (7, 7, 8, 8, 9, 9)]
    sensors = [f"s{at % 2}" for at in range(len(pairs))]
    ahead = [(device, number * 10 + at % 2 * number) for at, (device, number) in enumerate(pairs)]
    assert counted(*ahead, sensor=sensors) is None, "by tens and elevens"
    apart = [(device, number + 50 * (at % 2)) for at, (device, number) in enumerate(pairs)]
    assert counted(*apart, sensor=sensors) == {"per": ["device", "sensor"], "field": "n"}


@pytest.mark.parametrize(
    "events",
    [
        [("a", number) for number in range(30)],
        [("ab"[number % 2], number) for number in range(30)],
        [("abc"[number // 10], number) for number in range(30)],
        [("ab"[number % 2], number * number) for number in range(30)],
        [("ab"[number % 2], 7) for number in range(30)],
        [(f"d{number % 20}", number // 20) for number in range(30)],
    ],
    ids=["one sender", "one counter for all", "in blocks", "other steps", "constant", "two numbers each"],
)
def test_other_numbers_are_not(events: list[tuple[str, int]]) -> None:
    assert counted(*events) is None


def test_seconds_since_a_start_are_not_a_counter() -> None:
    payloads = [{"device": d, "uptime_s": n, "uptime_seconds": n} for n in range(9) for d in ("a", "b")]
    assert find_counter(fields_of(payloads)[0]) is None
