"""Whether two spellings of an SQL type mean the same one: DuckDB's own parser knows every alias.

Soda's own comparison takes any number for any other, and does not know `timestamptz` or `decimal(38,2)`.
"""

from functools import lru_cache
from typing import Any

import duckdb


def same_in_schema(expected: Any, actual: Any) -> bool:
    """Compare as Soda's schema check asks for it.

    Args:
        expected: Soda's SqlDataType of the contract; precision and scale may be apart from the name.
        actual: The same of the table; its name is complete.
    """
    return same_type(expected.get_sql_data_type_str_with_parameters(), actual.name)


@lru_cache(maxsize=1024)
def same_type(declared: str, found: str) -> bool:
    """Whether a column's type is what was declared; `decimal` alone means any precision and scale.

    Args:
        declared: As a user writes it.
        found: As DuckDB writes it.
    """
    try:
        wanted, there = duckdb.sqltype(declared), duckdb.sqltype(found)
    except duckdb.Error:  # not a type
        return False
    if "(" not in declared and wanted.id == "decimal":
        return bool(there.id == wanted.id)
    return wanted == there
