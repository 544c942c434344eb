"""MessagePack and CBOR: what their libraries write is read as they read it, and JSON says it whole."""

import base64
import math
from datetime import UTC, date, datetime
from decimal import Decimal
from fractions import Fraction
from ipaddress import ip_address
from typing import Any
from uuid import UUID

import cbor2
import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.formats.reading import read, text_of

_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
_number = st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False)
_values = st.recursive(
    st.none() | st.booleans() | _number | _text | st.binary(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_text, inner, max_size=3),
    max_leaves=8,
)


def said(value: Any) -> Any:
    """What JSON says of a value, by docs/formats.md."""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, float) and math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, list):
        return [said(each) for each in value]
    return {key: said(each) for key, each in value.items()} if isinstance(value, dict) else value


@settings(deadline=None)
@given(_values)
def test_any_value_of_json_s_kinds_is_itself(value: Any) -> None:
    assert read("msgpack", msgpack.packb(value, use_bin_type=True)) == said(value)
    assert read("cbor", cbor2.dumps(value)) == said(value)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (msgpack.Timestamp(1, 5), '"1970-01-01T00:00:01.000000005Z"'),
        (msgpack.Timestamp(-1, 0), '"1969-12-31T23:59:59Z"'),
        (msgpack.Timestamp(2**60, 5), '{"seconds":1152921504606846976,"nanoseconds":5}'),
        (msgpack.ExtType(5, b"ab"), '{"ext":5,"data":"YWI="}'),
        ({None: 1, True: 2, 3: 3, b"x": 4}, '{"null":1,"true":2,"3":3,"eA==":4}'),
        (float("nan"), '"NaN"'),
    ],
)
def test_what_json_lacks_is_said_by_messagepack_s_rule(value: Any, text: str) -> None:
    assert text_of("msgpack", msgpack.packb(value, use_bin_type=True)) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (2**70, "1180591620717411303424"),
        (-(2**70), "-1180591620717411303424"),
        (Decimal("1.10"), '"1.10"'),
        (Fraction(1, 3), '"1/3"'),
        (datetime(2020, 1, 2, tzinfo=UTC), '"2020-01-02T00:00:00Z"'),
        (date(2020, 1, 2), '"2020-01-02"'),
        (UUID(int=5), '"00000000-0000-0000-0000-000000000005"'),
        (ip_address("192.0.2.1"), '"192.0.2.1"'),
        (cbor2.CBORTag(999, {"a": b"x"}), '{"tag":999,"value":{"a":"eA=="}}'),
        (cbor2.CBORTag(55799, [1]), "[1]"),
        (cbor2.CBORTag(1, 1363896240.5), "1363896240.5"),
        (cbor2.CBORSimpleValue(19), '{"simple":19}'),
        (cbor2.undefined, "null"),
        ({1: "a", "b": 2}, '{"1":"a","b":2}'),
    ],
)
def test_what_json_lacks_is_said_by_cbor_s_rule(value: Any, text: str) -> None:
    sent = cbor2.dumps(value, timezone=UTC, date_as_datetime=False)
    assert text_of("cbor", sent) == text


@pytest.mark.parametrize(
    ("name", "sent", "sentence"),
    [
        ("msgpack", "", "incomplete"),
        ("msgpack", "c1", "FormatError"),
        ("msgpack", "dd7fffffff", "max_array_len"),
        ("msgpack", "91" * 5000 + "01", "StackError"),
        ("msgpack", "91" * 300 + "01", "it nests deeper than 250 levels"),
        ("msgpack", "82a16101a16102", "a map has a name twice"),
        ("msgpack", "8201a161a13102", "two names of a map are the same as text"),
        ("msgpack", "01ff", "1 bytes follow the value"),
        ("msgpack", "a1ff", "codec can't decode"),
        ("msgpack", "81920102 01", "unhashable"),
        ("cbor", "", "premature end"),
        ("cbor", "ff", "break code"),
        ("cbor", "9b7fffffffffffffff", ""),
        ("cbor", "81" * 300 + "01", "depth (250) exceeded"),
        ("cbor", "a2616101616102", "Duplicate map key"),
        ("cbor", "a201616161310 2".replace(" ", ""), "two names of a map are the same as text"),
        ("cbor", "8001", "1 bytes follow the value"),
        ("cbor", "d81c81d81d00", "shared values"),
        ("cbor", "d90100826361616 1d81900".replace(" ", ""), "shared values"),
        ("cbor", "c48219ffff01", "the exponent 65535"),
        ("cbor", "a1a1010203", "a name of a map is a"),
    ],
)
def test_what_is_none_is_refused_with_the_reason(name: str, sent: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=f"not_{name}") as refused:
        read(name, bytes.fromhex(sent))
    assert sentence in str(refused.value)


def test_an_integer_of_more_digits_than_anybody_reads_is_refused() -> None:
    with pytest.raises(ValueError, match="more than 4,000 digits"):
        read("cbor", cbor2.dumps(10**4001))
