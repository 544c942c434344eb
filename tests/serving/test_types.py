"""Values of every type come to PostgreSQL as they are in the lake: random ones, and the ends of each type."""

import json
import math
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import duckdb
import psycopg2
import pytest
from duckdb.sqltypes import DuckDBPyType
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from orchestration.serving.types import copied_row, postgres_type

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)
_INT = st.integers(-(2**31), 2**31 - 1)
_TEXT = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]))
_TIMES = st.datetimes(min_value=datetime(1, 1, 1), max_value=datetime(9999, 12, 31))
_DOUBLES = st.floats(allow_nan=False) | st.just(math.nan)
_INTERVALS = st.timedeltas(min_value=timedelta(days=-40_000), max_value=timedelta(days=40_000))
VALUES: dict[str, tuple[str, st.SearchStrategy[Any]]] = {
    "BOOLEAN": ("boolean", st.booleans()),
    "TINYINT": ("smallint", st.integers(-(2**7), 2**7 - 1)),
    "UTINYINT": ("smallint", st.integers(0, 2**8 - 1)),
    "SMALLINT": ("smallint", st.integers(-(2**15), 2**15 - 1)),
    "USMALLINT": ("integer", st.integers(0, 2**16 - 1)),
    "INTEGER": ("integer", st.integers(-(2**31), 2**31 - 1)),
    "UINTEGER": ("bigint", st.integers(0, 2**32 - 1)),
    "BIGINT": ("bigint", st.integers(-(2**63), 2**63 - 1)),
    "UBIGINT": ("numeric(20,0)", st.integers(0, 2**64 - 1)),
    "HUGEINT": ("numeric(39,0)", st.integers(-(2**127), 2**127 - 1)),
    "DECIMAL(18,3)": ("numeric(18,3)", st.decimals(-(10**14), 10**14, places=3)),
    "DECIMAL(38,10)": ("numeric(38,10)", st.decimals(-(10**27), 10**27, places=10)),
    "FLOAT": ("real", st.floats(width=32, allow_nan=False)),
    "DOUBLE": ("double precision", _DOUBLES),
    "VARCHAR": ("text", _TEXT),
    "BLOB": ("bytea", st.binary()),
    "DATE": ("date", st.dates()),
    "TIME": ("time without time zone", st.times()),
    "TIMESTAMP": ("timestamp without time zone", _TIMES),
    "TIMESTAMP WITH TIME ZONE": ("timestamp with time zone", _TIMES.map(lambda at: at.replace(tzinfo=UTC))),
    "INTERVAL": ("interval", _INTERVALS),
    "UUID": ("uuid", st.uuids()),
    "JSON": ("json", _JSON.map(json.dumps)),
    "VARCHAR[]": ("text[]", st.lists(_TEXT | st.none())),
    "BIGINT[]": ("bigint[]", st.lists(st.integers(-(2**63), 2**63 - 1) | st.none())),
    "DECIMAL(9,2)[]": ("numeric(9,2)[]", st.lists(st.decimals(-(10**6), 10**6, places=2))),
    "TIMESTAMP[]": ("timestamp without time zone[]", st.lists(_TIMES)),
    "STRUCT(a INTEGER, b VARCHAR)": ("json", st.fixed_dictionaries({"a": _INT, "b": _TEXT})),
    "INTEGER[][]": ("json", st.lists(st.lists(_INT))),
}


@pytest.fixture(scope="module")
def both(new_database: Callable[[], str]) -> Iterator[tuple[duckdb.DuckDBPyConnection, Any]]:
    """A DuckDB and a PostgreSQL, with a table for each type."""
    lake = duckdb.connect()
    lake.execute("set TimeZone = 'UTC'")
    connection = psycopg2.connect(new_database(), options="-c TimeZone=UTC -c IntervalStyle=postgres")
    yield lake, connection
    connection.close()
    lake.close()


def there_and_back(
    both: tuple[duckdb.DuckDBPyConnection, Any], kind: str, values: list[Any]
) -> tuple[str, list[Any]]:
    """The type in PostgreSQL, and what it has of the values."""
    lake, connection = both
    columns = [("v", DuckDBPyType(kind)), ("n", DuckDBPyType("INTEGER"))]
    lake.execute(f"create or replace table t (v {kind}, n integer)")
    lake.executemany(f"insert into t values (?::{kind}, ?)", [[value, n] for n, value in enumerate(values)])
    lines = "".join(
        f"{line}\n" for (line,) in lake.execute(f"select {copied_row(columns)} from t").fetchall()
    )
    with connection.cursor() as cursor:
        cursor.execute(f"create temp table t (v {postgres_type(columns[0][1])}, n integer)")
        cursor.copy_expert("copy t from stdin", _File(lines))
        cursor.execute(
            "select pg_typeof(v)::text, v, format_type(atttypid, atttypmod) from t, pg_attribute "
            "where attrelid = 't'::regclass and attname = 'v' order by n"
        )
        found = cursor.fetchall()
    connection.rollback()
    return (found[0][2] if found else ""), [value for _, value, _ in found]


class _File:
    def __init__(self, text: str) -> None:
        self._bytes = text.encode()

    def read(self, size: int) -> bytes:
        given, self._bytes = self._bytes[:size], self._bytes[size:]
        return given


def as_python(value: Any) -> Any:
    """What psycopg2 gives, as the strategies have it."""
    if isinstance(value, memoryview):
        return bytes(value)
    return value


@pytest.mark.parametrize("kind", VALUES)
@hypothesis_settings(max_examples=8, deadline=None)
@given(data=st.data())
def test_values_come_as_they_are(both: Any, kind: str, data: st.DataObject) -> None:
    target, strategy = VALUES[kind]
    values = data.draw(st.lists(strategy | st.none(), min_size=1, max_size=20))
    name, found = there_and_back(both, kind, values)
    assert name == target
    assert len(found) == len(values)
    for value, there in zip(values, map(as_python, found), strict=True):
        if kind == "JSON":
            assert there == (None if value is None else json.loads(value))
        elif isinstance(value, float) and math.isnan(value):
            assert math.isnan(there)
        elif isinstance(value, UUID):
            assert UUID(there) == value
        elif kind == "FLOAT" and value is not None:
            assert there == pytest.approx(value, rel=1e-7, abs=1e-45)
        else:
            assert there == value


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("timestamp 'infinity'", "infinity"),
        ("timestamptz '-infinity'", "-infinity"),
        ("date '-infinity'", "-infinity"),
        ("timestamp '0044-03-15 (BC) 01:02:03'", "0044-03-15 01:02:03 BC"),
        ("date '0001-01-01 (BC)'", "0001-01-01 BC"),
        ("timestamp '12026-01-01 00:00:00.000001'", "12026-01-01 00:00:00.000001"),
        ("timestamp '20000-01-01 (BC)'", "-infinity"),
        ("timestamp_ns '2026-01-01 00:00:00.123456789'", "2026-01-01 00:00:00.123456"),
        ("'inf'::double", "Infinity"),
        ("'-inf'::float", "-Infinity"),
        ("5e-324::double", "5e-324"),
        ("time '24:00:00'", "24:00:00"),
        ("timetz '23:59:59+02'", "23:59:59+02"),
        ("interval '1 year 2 months -3 days 4 hours 0.5 seconds'", "1 year 2 mons -3 days +04:00:00.5"),
        ("'a' || chr(0) || 'b'", "a\ufffdb"),
        ("'0101'::bit", "0101"),
        ("'b'::enum('a', 'b')", "b"),
        ("[1, null, 3]::integer[3]", "{1,NULL,3}"),
        ("[]::varchar[]", "{}"),
        ("['', 'null', 'a\"b\\c', '{x,y}', e'tab\\there']", '{"","null","a\\"b\\\\c","{x,y}","tab\there"}'),
        ("['\\x00'::blob]", '{"\\\\x00"}'),
        ("map {'k': 1.50::decimal(5, 2)}", '[{"key":"k","value":"1.50"}]'),
        ("'{\"a\": 1.10, \"a\": 2}'::json", '{"a": 1.10, "a": 2}'),
        ("'\\\\.'", "\\\\."),
        ("''", ""),
        ("null::varchar", None),
        ("e'\\\\N'", "\\N"),
        ("e'\\r\\n\\t\\\\'", "\r\n\t\\"),
    ],
)  # fmt: skip
def test_the_ends_of_types(both: Any, sql: str, expected: str | None) -> None:
    lake, connection = both
    kind = lake.sql(f"select {sql} as v").types[0]
    columns = [("v", kind)]
    (line,) = lake.execute(f"select {copied_row(columns)} from (select {sql} as v)").fetchone()
    with connection.cursor() as cursor:
        cursor.execute(f"create temp table t (v {postgres_type(kind)})")
        cursor.copy_expert("copy t from stdin", _File(f"{line}\n"))
        cursor.execute("select v::text from t")
        assert cursor.fetchall() == [(expected,)]
    connection.rollback()


def test_no_plain_type_becomes_text() -> None:
    plain = (
        "boolean tinyint utinyint smallint usmallint integer uinteger bigint ubigint hugeint uhugeint float "
        "double blob bit uuid date time timetz timestamp timestamp_s timestamp_ms timestamp_ns timestamptz "
        "interval json"
    )
    as_text = [kind for kind in plain.split() if postgres_type(DuckDBPyType(kind)) == "text"]
    assert as_text == []
