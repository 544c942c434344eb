"""For any JSON value and any declared type: staging shows what was sent, or null and the field's name."""

import json
import re
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.values.staged import Fate, stage

TYPES = ("varchar", "json", "bigint", "integer", "double", "boolean", "timestamp", "date", "decimal(10,2)")
FIELDS: dict[str, Any] = {f"f{at}": {"type": kind, "path": "v"} for at, kind in enumerate(TYPES)}
_DIGITS = st.text("0123456789", min_size=1, max_size=20)


class Number(str):
    """The text of a JSON number."""


def _number(sign: str, whole: str, fraction: str, exponent: str) -> Number:
    return Number(
        sign
        + (whole.lstrip("0") or "0")
        + (f".{fraction}" if fraction else "")
        + (f"e{exponent}" if exponent else "")
    )


NUMBERS = st.one_of(
    st.builds(
        _number,
        st.sampled_from(["", "-"]),
        _DIGITS,
        st.one_of(st.just(""), _DIGITS, st.sampled_from(["0", "10", "005", "000001"])),
        st.one_of(st.just(""), st.integers(-30, 30).map(str), st.sampled_from(["400", "-400", "+05"])),
    ),
    st.floats(allow_nan=False, allow_infinity=False).map(lambda value: Number(repr(value))),
    st.integers(-(2**65), 2**65).map(lambda value: Number(value)),
)
TEXTS = st.one_of(
    NUMBERS.map(str),
    st.text(max_size=12),
    st.datetimes(timezones=st.just(UTC)).map(lambda moment: moment.isoformat()),
    st.sampled_from(["true", "null", "inf", "NaN", '"', "\\", "1.10, 2.0", '{"a": 1.10}', "infinity", "1_0"]),
)
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, TEXTS),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


def _json(value: Any, *, ascii_only: bool = True) -> str:
    if isinstance(value, Number):
        return str.__str__(value)
    if isinstance(value, list):
        return "[" + ", ".join(_json(each) for each in value) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)}: {_json(each)}" for key, each in value.items()) + "}"
    return json.dumps(value, ensure_ascii=ascii_only)


def _parsed(text: str) -> Any:
    """JSON with each number as its text, and each object as its pairs."""
    return json.loads(
        text, parse_int=Number, parse_float=Number, object_pairs_hook=lambda pairs: ("{}", pairs)
    )


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(VALUES, min_size=20, max_size=60))
def test_staging_is_exact_or_null_and_named(values: list[Any]) -> None:
    sent = [_json(value) for value in values]
    payloads = [f'{{"v": {text}, "other": [1.10, "v", 1e5]}}' for text in sent]
    for text, fate in zip(sent, stage(FIELDS, payloads), strict=True):
        _judge(text, fate)


def _judge(sent: str, fate: Fate) -> None:
    assert not fate.reject, sent
    value = _parsed(sent)
    if value is None:
        assert set(fate.values.values()) == {None}
        assert fate.cast_errors == ()
        return
    shown = {kind: fate.values[f"f{at}"] for at, kind in enumerate(TYPES)}
    missing = {kind for kind, each in shown.items() if each is None}
    assert missing == {TYPES[int(name[1:])] for name in fate.cast_errors}, sent
    assert missing.isdisjoint({"varchar", "json"}), sent
    assert _parsed(shown["json"]) == value, sent
    if isinstance(value, str):
        assert shown["varchar"] == str(value)
    else:
        assert _parsed(shown["varchar"]) == value, sent
    number = Decimal(value) if isinstance(value, str) and _NUMBER.fullmatch(value) else None
    for kind in ("bigint", "integer", "decimal(10,2)"):
        assert shown[kind] is None or Decimal(shown[kind]) == number, (kind, sent)
    if isinstance(value, Number) and re.fullmatch(r"-?\d+(\.0+)?", value) and abs(number) < 2**63:
        assert shown["bigint"] == int(number), sent
    if shown["double"] is not None:
        assert number is not None
        assert shown["double"] == float(number), sent
        digits = len(number.as_tuple().digits)
        assert Decimal(f"{shown['double']:.{digits - 1}e}") == number, sent
    elif isinstance(value, Number) and repr(float(value)) == str(value):
        pytest.fail(f"a double's own text is not shown: {sent}")
    if shown["boolean"] is not None:
        assert str(value).lower() in {"true", "false", "1", "0"}
    moment = shown["timestamp"]
    if moment is not None:
        assert shown["date"] == moment.astimezone(UTC).date(), sent
        if number is not None:
            assert datetime(1990, 1, 1, tzinfo=UTC) <= moment < datetime(2100, 1, 1, tzinfo=UTC), sent
            assert _is_since_1970(number, moment), sent
        else:
            assert datetime.fromisoformat(value).astimezone(UTC) == moment, sent


_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?")


def _is_since_1970(number: Decimal, moment: datetime) -> bool:
    micros = (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    scales = (Decimal(10**6), Decimal(1000), Decimal(1), Decimal("0.001"))
    return any(0 <= number * scale - micros < 1 for scale in scales)


@settings(max_examples=3, deadline=None)
@given(
    st.lists(st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30)), min_size=20, max_size=50),
    st.sampled_from(["Asia/Kolkata", "America/New_York", "UTC"]),
)  # fmt: skip
def test_an_instant_is_the_same_however_it_is_written(moments: list[datetime], session: str) -> None:
    plus = timedelta(hours=5, minutes=30)
    for fields, texts in (
        ("timestamp", [f"{moment.isoformat()}Z" for moment in moments]),
        (
            "timestamp",
            [f"{(moment + plus).isoformat(' ')} +0530" for moment in moments if moment.year < 9999],
        ),
        ("timestamp", [moment.isoformat() for moment in moments]),
        ("timestamp", [_written(moment, "%04Y%m%dT%H%M%S,%f") for moment in moments]),
        (
            {"type": "timestamp", "format": "%d/%m/%Y %H-%M-%S.%f"},
            [_written(moment, "%d/%m/%04Y %H-%M-%S.%f") for moment in moments],
        ),
    ):
        fates = stage({"v": fields}, [json.dumps({"v": text}) for text in texts], zone=session)
        for moment, text, fate in zip(moments, texts, fates, strict=False):
            if texts[0].endswith("+0530"):
                moment = next(each for each in moments if text.startswith((each + plus).isoformat(" ")))
            assert fate.values["v"] == moment.replace(tzinfo=UTC), text


def _written(moment: datetime, pattern: str) -> str:
    return moment.strftime(pattern.replace("%04Y", f"{moment.year:04d}"))


def test_a_local_time_is_shown_where_its_zone_has_it_once() -> None:
    """Every quarter of an hour round the changes of 2026, against Python's own rules (PEP 495)."""
    from zoneinfo import ZoneInfo

    for name in ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata"):
        zone = ZoneInfo(name)
        for first in (
            date(2026, 3, 7),
            date(2026, 3, 28),
            date(2026, 4, 4),
            date(2026, 10, 3),
            date(2026, 10, 24),
        ):
            start = datetime(first.year, first.month, first.day)
            locals_ = [start + timedelta(minutes=15 * step) for step in range(4 * 48)]
            payloads = [json.dumps({"v": local.isoformat()}) for local in locals_]
            fates = stage({"v": {"type": "timestamp", "zone": name}}, payloads)
            for local, fate in zip(locals_, fates, strict=True):
                both = {local.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1)}
                there = {each for each in both if each.astimezone(zone).replace(tzinfo=None) == local}
                expected = there.pop() if len(there) == 1 else None
                assert fate.values["v"] == expected, (name, local)
                assert fate.cast_errors == (() if expected else ("v",)), (name, local)
