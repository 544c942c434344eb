"""What a type of the lake becomes in a file that does not have it, as SQL and as a sentence.

Nothing is lost in silence: a value is the same, or a text that shows all of it, and the sentence says so.
"""

from collections.abc import Callable
from dataclasses import dataclass

from duckdb.sqltypes import DuckDBPyType

from ingestion.serve.texts import Columns, json_of, literal, quoted, text_of

_WIDE = {"hugeint": "decimal(38,0)", "uhugeint": "decimal(38,0)"}
_NESTED = ("list", "array", "struct", "map", "union")
_HYPER = _WIDE | {
    "utinyint": "smallint", "usmallint": "integer", "uinteger": "bigint", "ubigint": "decimal(20,0)",
    "float": "double", "enum": "varchar",
}  # fmt: skip
"""Of these, Hyper has one that holds every value."""


@dataclass(frozen=True)
class Fitted:
    """A column of a file.

    Attributes:
        sql: Its value.
        said: What a reader has to know; empty when it is what it was.
    """

    sql: str
    said: str = ""


def fit_parquet(name: str, kind: DuckDBPyType) -> Fitted:
    """DuckDB's own Parquet, where that keeps every value; it makes doubles of 128-bit numbers.

    Args:
        name: Of the column.
        kind: Its type.
    """
    wanted = _parquet_type(kind)
    if wanted == str(kind):
        return Fitted(quoted(name))
    said = "" if kind.id in _WIDE else f"{name} is {wanted}: Parquet has no {kind}"
    return Fitted(f"({quoted(name)})::{wanted}", said)


def fit_hyper(name: str, kind: DuckDBPyType) -> Fitted:
    """Types of a Tableau extract.

    Args:
        name: Of the column.
        kind: Its type.
    """
    column = quoted(name)
    if str(kind) == "JSON":
        return Fitted(f"{column}::varchar")
    if kind.id in _NESTED:
        return Fitted(json_of(column, kind), f"{name} is JSON as text: extracts have no {kind}")
    if kind.id in ("bit", "time with time zone"):
        return Fitted(text_of(column, kind), f"{name} is text: extracts have no {kind}")
    if kind.id == "timestamp_ns":
        return Fitted(f"{column}::timestamp", f"{name} is cut to microseconds")
    return Fitted(f"({column})::{_HYPER[kind.id]}") if kind.id in _HYPER else Fitted(column)


def fit_excel(name: str, kind: DuckDBPyType) -> Fitted:
    """Types of a sheet; which numbers do not fit into a cell is seen value by value.

    Args:
        name: Of the column.
        kind: Its type.
    """
    column = quoted(name)
    if str(kind) == "JSON" or kind.id in ("enum", "uuid"):
        return Fitted(f"{column}::varchar")
    if kind.id in _NESTED:
        return Fitted(json_of(column, kind), f"{name} is JSON as text")
    if kind.id in ("bit", "blob", "interval", "time with time zone", "timestamp_ns"):
        return Fitted(text_of(column, kind), f"{name} is text: Excel has no {kind}")
    if kind.id == "timestamp with time zone":
        return Fitted(f"{column}::timestamp", f"{name} is in UTC: Excel has no time zones")
    return Fitted(column)


def select_list(columns: Columns, fit: Callable[[str, DuckDBPyType], Fitted]) -> tuple[str, list[str]]:
    """SQL of all columns, and what is to be said of them.

    Args:
        columns: Name and type of each.
        fit: How one fits.
    """
    fitted = [(name, fit(name, kind)) for name, kind in columns]
    sql = ", ".join(f"{each.sql} as {quoted(name)}" for name, each in fitted)
    return sql, [each.said for _, each in fitted if each.said]


def _parquet_type(kind: DuckDBPyType) -> str:
    """The type that Parquet holds every value in; its own, where that does."""
    if str(kind) == "JSON":
        return "JSON"
    if kind.id in _WIDE:
        return _WIDE[kind.id].upper()
    if kind.id in ("bit", "interval", "time with time zone", "union"):
        return "VARCHAR"
    if kind.id not in _NESTED:
        return str(kind)
    inner = [(name, each) for name, each in kind.children if isinstance(each, DuckDBPyType)]
    if all(_parquet_type(each) == str(each) for _, each in inner):
        return str(kind)
    types = [_parquet_type(each) for _, each in inner]
    if kind.id == "map":
        return f"MAP({', '.join(types)})"
    if kind.id == "struct":
        fields = (f"{quoted(name)} {each}" for (name, _), each in zip(inner, types, strict=True))
        return f"STRUCT({', '.join(fields)})"
    return f"{types[0]}[]"


def metadata(known: dict[str, str]) -> str:
    """SQL of the key-value metadata of a Parquet file.

    Args:
        known: What is noted.
    """
    return "{" + ", ".join(f"{key}: {literal(value)}" for key, value in known.items()) + "}"
