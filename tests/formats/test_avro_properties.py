"""Random schemas and values: JSON read back is what fastavro reads. Random bytes never escape."""

import base64
import io
import json
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import fastavro
import pytest
from fastavro.schema import parse_schema
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st

from ingestion.formats.avro.schema import parse, type_of
from ingestion.formats.avro.unions import branch_name, is_tagged
from tests.formats.avro_bytes import decode, encode, texts

_int = st.integers(-(2**31), 2**31 - 1)
_long = st.integers(-(2**63), 2**63 - 1)
_float = st.floats(width=32)
_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
_instant = st.datetimes(timezones=st.just(UTC))
_millis = _instant.map(lambda at: at.replace(microsecond=at.microsecond // 1000 * 1000))
_LEAVES: list[tuple[Any, st.SearchStrategy[Any]]] = [
    ("null", st.none()),
    ("boolean", st.booleans()),
    ("int", _int),
    ("long", _long),
    ("float", _float),
    ("double", st.floats()),
    ("string", _text),
    ("bytes", st.binary(max_size=9)),
    ({"type": "int", "logicalType": "date"}, st.dates()),
    ({"type": "long", "logicalType": "timestamp-millis"}, _millis),
    ({"type": "long", "logicalType": "timestamp-micros"}, _instant),
    ({"type": "long", "logicalType": "local-timestamp-micros"}, st.datetimes()),
    ({"type": "long", "logicalType": "timestamp-nanos"}, st.integers(-(2**60), 2**60)),
    ({"type": "int", "logicalType": "time-millis"}, st.times().map(lambda at: at.replace(microsecond=7000))),
    ({"type": "long", "logicalType": "time-micros"}, st.times()),
    ({"type": "string", "logicalType": "uuid"}, st.uuids()),
    (
        {"type": "bytes", "logicalType": "decimal", "precision": 20, "scale": 4},
        st.decimals(-(10**15), 10**15, places=4),
    ),
]
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@st.composite
def _typed(draw: st.DrawFn, names: list[str], depth: int = 0) -> tuple[Any, st.SearchStrategy[Any]]:
    """A type, and the values that it may have."""
    kinds = ["leaf"] * 3 + ["enum", "fixed"] + (["record", "array", "map", "union"] if depth < 3 else [])
    kind = draw(st.sampled_from(kinds))
    if kind == "leaf":
        return draw(st.sampled_from(_LEAVES))
    if kind in ("enum", "fixed", "record"):
        names.append(f"N{len(names)}")
        name = names[-1]
    if kind == "enum":
        return {"type": "enum", "name": name, "symbols": ["A", "B", "C"]}, st.sampled_from("ABC")
    if kind == "fixed":
        return {"type": "fixed", "name": name, "size": 5}, st.binary(min_size=5, max_size=5)
    if kind == "record":
        fields = [draw(_typed(names, depth + 1)) for _ in range(draw(st.integers(0, 3)))]
        schema = [{"name": f"f{at}", "type": each} for at, (each, _) in enumerate(fields)]
        values = {f"f{at}": each for at, (_, each) in enumerate(fields)}
        return {"type": "record", "name": name, "fields": schema}, st.fixed_dictionaries(values)
    if kind == "array":
        items, values = draw(_typed(names, depth + 1).filter(lambda each: not _is_empty(each[0])))
        return {"type": "array", "items": items}, st.lists(values, max_size=3)
    if kind == "map":
        inner, values = draw(_typed(names, depth + 1))
        return {"type": "map", "values": inner}, st.dictionaries(_text, values, max_size=3)
    branches: dict[str, tuple[Any, Any]] = {}
    for _ in range(draw(st.integers(1, 4))):
        branch, values = draw(_typed(names, depth + 1).filter(lambda each: not isinstance(each[0], list)))
        branches.setdefault(branch_name(branch), (branch, values))
    # fastavro chooses the branch of a value by what fits best, which need not be the one it was drawn for.
    return [branch for branch, _ in branches.values()], st.one_of(*(each for _, each in branches.values()))


def _is_empty(schema: Any) -> bool:
    return not isinstance(schema, list) and parse(json.dumps(schema)).is_empty


def back(node: Any, found: Any, schema: Any) -> Any:
    """A value of our JSON as fastavro reads it."""
    node = schema.resolve(node)
    kind = type_of(node)
    if kind == "union":
        return _back_of_union(node, found, schema)
    if kind == "record":
        return {field["name"]: back(field["type"], found[field["name"]], schema) for field in node["fields"]}
    if kind == "array":
        return [back(node["items"], each, schema) for each in found]
    if kind == "map":
        return {key: back(node["values"], each, schema) for key, each in found.items()}
    word = node.get("logicalType") if isinstance(node, dict) else None
    if word is not None:
        return _LOGICAL[word](found)
    if kind in ("float", "double"):
        return float(found)
    return base64.b64decode(found, validate=True) if kind in ("bytes", "fixed") else found


_settings = settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)


def _nanos(text: str) -> int:
    whole, part = text.removesuffix("Z").split(".")
    seconds = (datetime.fromisoformat(whole).replace(tzinfo=UTC) - _EPOCH) // timedelta(seconds=1)
    assert len(part) == 9
    return seconds * 10**9 + int(part)


_LOGICAL = {
    "date": date.fromisoformat,
    "timestamp-millis": datetime.fromisoformat,
    "timestamp-micros": datetime.fromisoformat,
    "local-timestamp-micros": datetime.fromisoformat,
    "timestamp-nanos": _nanos,
    "time-millis": time.fromisoformat,
    "time-micros": time.fromisoformat,
    "uuid": UUID,
    "decimal": Decimal,
}


def _back_of_union(branches: list[Any], found: Any, schema: Any) -> Any:
    if found is None:
        return None
    resolved = [schema.resolve(branch) for branch in branches]
    if is_tagged(branches, schema):
        ((name, inner),) = found.items()
        return back(next(each for each in resolved if branch_name(each) == name), inner, schema)
    kinds = {bool: ("boolean",), list: ("array",), dict: ("map", "record"), str: ("float", "double")}
    wanted = kinds.get(type(found), ("int", "long", "float", "double"))
    for each in resolved:
        plain_text = isinstance(found, str) and type_of(each) not in (
            "boolean", "int", "long", "array", "map", "record", "null", "float", "double",
        )  # fmt: skip
        timely = isinstance(found, str) and isinstance(each, dict) and "logicalType" in each
        if plain_text or timely:
            return back(each, found, schema)
    if isinstance(found, (int, float)) and not isinstance(found, bool):
        return found
    return back(next(each for each in resolved if type_of(each) in wanted), found, schema)


def same(one: Any, other: Any) -> bool:
    """Equal, with NaN equal to itself and zeros of one sign."""
    if isinstance(one, float) and isinstance(other, float):
        return repr(one) == repr(other)
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("avro")


@_settings
@given(data=st.data())
def test_json_says_all_that_fastavro_reads(folder: Path, data: st.DataObject) -> None:
    schema, values = data.draw(_typed([]))
    value = data.draw(values)
    (folder / "s.avsc").write_text(json.dumps(schema))
    try:
        sent = encode(schema, value)
        read = fastavro.schemaless_reader(io.BytesIO(sent), parse_schema(schema))
    except (
        ValueError
    ):  # of a union it may write a text as the branch of a date or a UUID, which it cannot read
        assert "[{" in json.dumps(schema) or ', {"type"' in json.dumps(schema), schema
        reject()
    known = parse(json.dumps(schema))
    (text,) = texts({"avro": {"schema": {"file": "s.avsc"}, "encoding": "bare"}}, [sent], folder)
    assert same(back(known.root, json.loads(text), known), read), text


@_settings
@given(data=st.data(), sent=st.lists(st.binary(max_size=40), max_size=4))
def test_random_bytes_never_escape(folder: Path, data: st.DataObject, sent: list[bytes]) -> None:
    schema, values = data.draw(_typed([]))
    (folder / "r.avsc").write_text(json.dumps(schema))
    good = encode(schema, data.draw(values))
    damaged = [good[:-1], good + b"\0", b"Obj\x01" + good, b"\xc3\x01" + good, *sent]
    for options in ({}, {"encoding": "bare"}, {"encoding": "container"}, {"encoding": "single_object"}):
        decoded = decode({"avro": {"schema": {"file": "r.avsc"}} | options}, damaged, folder, max_bytes=100)
        assert decoded.events.num_rows + decoded.rejects.num_rows == len(damaged)
        for text in decoded.events["payload"].to_pylist():
            json.loads(text)
