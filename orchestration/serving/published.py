"""The marts as PostgreSQL has them: what files for BI tools are made from."""

from contextlib import closing
from dataclasses import dataclass

import psycopg2

from ingestion.errors import ServingUnavailable
from ingestion.settings import Settings
from orchestration.serving.address import SCHEMA, connect

_COLUMNS = f"""
select c.relname, obj_description(c.oid), a.attname, format_type(a.atttypid, a.atttypmod),
    col_description(c.oid, a.attnum),
    coalesce((select a.attnum = any(indkey) from pg_index where indrelid = c.oid and indisprimary), false)
from pg_class as c
join pg_attribute as a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
where c.relnamespace = to_regnamespace('{SCHEMA}') and c.relkind in ('r', 'v')
order by c.relname, a.attnum
"""


@dataclass(frozen=True)
class Column:
    """A column of a mart, as PostgreSQL has it.

    Attributes:
        name: Its name.
        kind: Its type, as PostgreSQL writes it.
        description: What the project says of it; may be empty.
        is_key: Whether it is in the primary key.
    """

    name: str
    kind: str
    description: str
    is_key: bool


@dataclass(frozen=True)
class Table:
    """A mart in PostgreSQL.

    Attributes:
        name: Its name.
        description: What the project says of it; may be empty.
        columns: In their order.
    """

    name: str
    description: str
    columns: tuple[Column, ...]


def read_tables(settings: Settings) -> list[Table]:
    """The marts that are in PostgreSQL now, with `_served`, by name.

    Raises:
        ServingUnavailable: The database does not answer.
    """
    try:
        with closing(connect(settings)) as connection, connection.cursor() as cursor:
            cursor.execute(_COLUMNS)
            rows = cursor.fetchall()
    except psycopg2.Error as error:
        reason = (str(error).strip().splitlines() or ["no answer"])[0]
        raise ServingUnavailable(f"the database for BI tools does not answer ({reason})") from None
    found: dict[str, tuple[str, list[Column]]] = {}
    for table, said, name, kind, description, is_key in rows:
        columns = found.setdefault(table, (said or "", []))[1]
        columns.append(Column(name, kind, description or "", is_key))
    return [Table(name, said, tuple(columns)) for name, (said, columns) in found.items()]
