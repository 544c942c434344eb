"""A type of the lake → a type of PostgreSQL, and SQL of its values as PostgreSQL's COPY reads them.

docs/serving.md lists them, and what PostgreSQL cannot hold: NUL in a text, nanoseconds, times before 4713 BC.
"""

from duckdb.sqltypes import DuckDBPyType

from ingestion.serve.texts import Columns, json_of, literal, quoted

_SAME = {
    "boolean": "boolean",
    "tinyint": "smallint",
    "utinyint": "smallint",
    "smallint": "smallint",
    "usmallint": "integer",
    "integer": "integer",
    "uinteger": "bigint",
    "bigint": "bigint",
    "ubigint": "numeric(20,0)",
    "hugeint": "numeric(39,0)",
    "uhugeint": "numeric(39,0)",
    "float": "real",
    "double": "double precision",
    "varchar": "text",
    "enum": "text",
    "blob": "bytea",
    "bit": "bit varying",
    "uuid": "uuid",
    "date": "date",
    "time": "time",
    "time with time zone": "time with time zone",
    "timestamp": "timestamp",
    "timestamp_s": "timestamp",
    "timestamp_ms": "timestamp",
    "timestamp_ns": "timestamp",
    "timestamp with time zone": "timestamp with time zone",
    "interval": "interval",
}
_MANY = ("list", "array")
_SPECIAL = {r"'\'": r"'\\'", "chr(9)": r"'\t'", "chr(10)": r"'\n'", "chr(13)": r"'\r'"}
"""What COPY's text format reads otherwise → how it is written; the backslash first."""
_DATED = ("date", "timestamp", "timestamp_s", "timestamp_ms", "timestamp with time zone")


def postgres_type(kind: DuckDBPyType) -> str:
    """The type that holds every value of this one.

    Args:
        kind: A type of the lake.
    """
    if _is_json(kind):
        return "json"
    if kind.id == "decimal":
        (_, precision), (_, scale) = kind.children
        return f"numeric({precision},{scale})"
    if kind.id in _MANY and not _is_json(inner := _inner(kind)) and (each := _scalar(inner)):
        return f"{each}[]"
    return _SAME.get(kind.id, "text")


def copied_row(columns: Columns) -> str:
    """SQL of a row as a line of COPY's text format.

    Args:
        columns: Name and type of each.
    """
    return " || chr(9) || ".join(_field(copied(quoted(name), kind), kind) for name, kind in columns)


def copied(expression: str, kind: DuckDBPyType) -> str:
    """SQL of a value as the text that PostgreSQL reads for its type; null stays null.

    Args:
        expression: SQL of the value.
        kind: Its type.
    """
    target = postgres_type(kind)
    if target.endswith("[]"):
        inner = _inner(kind)
        many = f"({expression})::{inner}[]" if kind.id == "array" else expression
        each = copied("v", inner)
        escaped = f"replace(replace({each}, '\\', '\\\\'), '\"', '\\\"')"
        texts = f"list_transform({many}, lambda v: coalesce('\"' || {escaped} || '\"', 'NULL'))"
        joined = f"coalesce(array_to_string({texts}, ','), '')"
        return f"case when ({expression}) is not null then '{{' || {joined} || '}}' end"
    if target == "json":
        return f"({expression})::varchar" if str(kind) == "JSON" else json_of(expression, kind)
    if kind.id == "blob":
        return f"'\\x' || lower(hex({expression}))"
    if kind.id == "timestamp_ns":
        return copied(f"({expression})::timestamp", DuckDBPyType("TIMESTAMP"))
    if kind.id in _DATED:
        text = f"replace(({expression})::varchar, ' (BC)', '') || if({_is_bc(expression)}, ' BC', '')"
        return f"if(({expression}) < '4713-01-01 (BC)'::{kind}, '-infinity', {text})"
    if kind.id == "interval":
        return _interval(expression)
    if target == "text":
        return f"replace(({expression})::varchar, chr(0), {literal(chr(0xFFFD))})"
    return f"({expression})::varchar"


def _is_json(kind: DuckDBPyType) -> bool:
    """Whether PostgreSQL gets it as JSON: what holds several values, but for a list of plain ones."""
    if str(kind) == "JSON" or kind.id in ("struct", "map", "union"):
        return True
    return kind.id in _MANY and (_inner(kind).id in _MANY or _is_json(_inner(kind)))


def _scalar(kind: DuckDBPyType) -> str:
    return postgres_type(kind) if kind.id not in _MANY else ""


def _inner(kind: DuckDBPyType) -> DuckDBPyType:
    """The type of a list's elements."""
    (inner, *_) = (each for _, each in kind.children if isinstance(each, DuckDBPyType))
    return inner


def _is_bc(expression: str) -> str:
    return f"coalesce(isfinite({expression}) and year({expression}) < 1, false)"


def _interval(expression: str) -> str:
    """ISO 8601's notation, in which months, days and microseconds stay apart."""
    micros = (
        f"(date_part('microsecond', {expression}) + 1000000 * (60 * date_part('minute', {expression}) "
        f"+ 3600 * date_part('hour', {expression})))"
    )
    months = f"(12 * date_part('year', {expression}) + date_part('month', {expression}))"
    return (
        f"{months} || ' months ' || date_part('day', {expression}) || ' days ' || {micros} || ' microseconds'"
    )


def _field(text: str, kind: DuckDBPyType) -> str:
    target = postgres_type(kind)
    if target in ("text", "json", "bytea") or target.endswith("[]"):  # no other has a special character
        for special, written in _SPECIAL.items():
            text = f"replace({text}, {special}, {written})"
    return f"coalesce({text}, '\\N')"
