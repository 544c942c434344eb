"""Values of every type as text in SQL, so that nothing is lost on the way: docs/sources/http.md lists them.

JSON has no number that every reader keeps beyond 2^53, and none for NaN: those are texts, as in Protocol
Buffers' notation of JSON.
"""

from collections.abc import Sequence

from duckdb.sqltypes import DuckDBPyType

Columns = Sequence[tuple[str, DuckDBPyType]]
"""Name and type of each."""

_NUMBERS = frozenset({"tinyint", "smallint", "integer", "utinyint", "usmallint", "uinteger"})
_FLOATS = frozenset({"float", "double"})
_MOMENTS = {
    "timestamp with time zone": "%Y-%m-%dT%H:%M:%S.%fZ",
    "timestamp": "%Y-%m-%dT%H:%M:%S.%f",
    "timestamp_s": "%Y-%m-%dT%H:%M:%S.%f",
    "timestamp_ms": "%Y-%m-%dT%H:%M:%S.%f",
    "timestamp_ns": "%Y-%m-%dT%H:%M:%S.%n",
}


def quoted(name: str) -> str:
    """An identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A text."""
    return "'" + text.replace("'", "''") + "'"


def json_object(columns: Columns) -> str:
    """SQL of a row as the text of a JSON object.

    Args:
        columns: Name and type of each.
    """
    return _object([(name, quoted(name), kind) for name, kind in columns])


def csv_row(columns: Columns) -> str:
    """SQL of a row as a line of CSV: null is nothing, an empty text is "" in quotes.

    Args:
        columns: Name and type of each.
    """
    return " || ',' || ".join(_csv_field(text_of(quoted(name), kind)) for name, kind in columns)


def json_of(expression: str, kind: DuckDBPyType, depth: int = 0) -> str:
    """SQL of a value's JSON as text; null stays null.

    Args:
        expression: SQL of the value.
        kind: Its type.
        depth: How deep inside another value it is.
    """
    name, each = kind.id, f"v{depth}"
    if str(kind) == "JSON":
        return f"({expression})::varchar"
    if name == "boolean" or name in _NUMBERS:
        return f"({expression})::varchar"
    if name in _FLOATS:
        finite = f"to_json({expression})::varchar"
        return f"case when isfinite({expression}) then {finite} else {_in_quotes(_float(expression))} end"
    if name in ("list", "array"):
        inner = _inner(kind)[0][1]
        text = f"lambda {each}: coalesce({json_of(each, inner, depth + 1)}, 'null')"
        many = f"({expression})::{inner}[]" if name == "array" else expression
        return _list(expression, f"list_transform({many}, {text})")
    if name == "struct":
        fields = [
            (field, f"struct_extract({expression}, {literal(field)})", inner) for field, inner in _inner(kind)
        ]
        return f"case when ({expression}) is not null then {_object(fields, depth)} end"
    if name == "map":
        key, value = (inner for _, inner in _inner(kind))
        entry = _object([("key", f"{each}.key", key), ("value", f"{each}.value", value)], depth + 1)
        return _list(expression, f"list_transform(map_entries({expression}), lambda {each}: {entry})")
    return _in_quotes(text_of(expression, kind))


def text_of(expression: str, kind: DuckDBPyType) -> str:
    """SQL of a value as it stands in CSV; what holds other values is JSON.

    Args:
        expression: SQL of the value.
        kind: Its type.
    """
    name = kind.id
    if name in _FLOATS:
        return f"case when isfinite({expression}) then ({expression})::varchar else {_float(expression)} end"
    if name in _MOMENTS:
        return f"strftime({expression}, {literal(_MOMENTS[name])})"
    if name == "blob":
        return f"base64({expression})"
    if name in ("list", "array", "struct", "map"):
        return json_of(expression, kind)
    return f"({expression})::varchar"


def _inner(kind: DuckDBPyType) -> list[tuple[str, DuckDBPyType]]:
    """The types inside a type, the first one's before an array's size."""
    return [(name, inner) for name, inner in kind.children if isinstance(inner, DuckDBPyType)]


def _object(fields: list[tuple[str, str, DuckDBPyType]], depth: int = 0) -> str:
    """SQL of a JSON object: name, SQL and type of each field."""
    parts = [
        f"to_json({literal(name)})::varchar || ':' || coalesce({json_of(value, kind, depth)}, 'null')"
        for name, value, kind in fields
    ]
    return "('{' || " + " || ',' || ".join(parts or ["''"]) + " || '}')"


def _list(expression: str, texts: str) -> str:
    """SQL of a JSON array, from its elements' texts."""
    joined = f"coalesce(array_to_string({texts}, ','), '')"
    return f"case when ({expression}) is not null then '[' || {joined} || ']' end"


def _in_quotes(text: str) -> str:
    return f"to_json({text})::varchar"


def _csv_field(text: str) -> str:
    in_quotes = f"""'"' || replace({text}, '"', '""') || '"'"""
    is_special = f"{text} = '' or regexp_matches({text}, '[\",\\r\\n]')"
    return f"case when {is_special} then {in_quotes} else coalesce({text}, '') end"


def _float(expression: str) -> str:
    """SQL of what is not finite."""
    return (
        f"case when isnan({expression}) then 'NaN' when ({expression}) > 0 then 'Infinity' "
        f"when ({expression}) < 0 then '-Infinity' end"
    )
