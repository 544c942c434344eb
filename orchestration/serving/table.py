"""One mart's table in PostgreSQL: made, filled, changed by what went and came; in the caller's transaction.

A table is emptied by `delete`: after `truncate`, or once another table has its name, a reader whose
transaction began before sees it empty.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from ingestion.faultpoints import faultpoint
from ingestion.lake.lake import Lake
from ingestion.serve.shelf import Mart
from ingestion.serve.texts import Columns, quoted
from orchestration.serving.address import BESIDE_SCHEMA, SCHEMA
from orchestration.serving.delta import Delta
from orchestration.serving.types import copied_row, postgres_type

_ROWS = 2_048
_LOCK_MILLISECONDS = 800
"""Less than deadlock_timeout: a publisher that waits gives way, and no reader is ended for it."""


class TableChanged(Exception):
    """The table does not hold what was published: somebody else wrote it, or a view depends on the clock."""


def shape(columns: Columns) -> tuple[tuple[str, str], ...]:
    """Name and PostgreSQL's type of each column."""
    return tuple((name, postgres_type(kind)) for name, kind in columns)


def apply_delta(cursor: Any, lake: Lake, mart: Mart, delta: Delta, *, key: Sequence[str]) -> int:
    """Change a table of the same columns.

    Args:
        cursor: Of PostgreSQL, in the publication's transaction.
        lake: Gives the rows.
        mart: The mart.
        delta: What went and came.
        key: The table's primary key; empty without one.

    Returns:
        How many rows were deleted and inserted.

    Raises:
        TableChanged: A row that went is not there.
    """
    table = place(mart)
    if delta.gone is None:
        cursor.execute(f"delete from {table}")
        return int(cursor.rowcount) + copy(cursor, lake, delta.came, delta.columns, into=table)
    gone = _remove(cursor, lake, delta, table, key)
    faultpoint("serving.changed")
    return gone + copy(cursor, lake, delta.came, delta.columns, into=table)


def make_table(cursor: Any, lake: Lake, mart: Mart, delta: Delta, *, key: Sequence[str]) -> int:
    """Make and fill a table beside those that are read; `show_table` puts it in its place.

    Returns:
        How many rows it has.
    """
    table = _beside(mart)
    columns = ", ".join(f"{quoted(name)} {kind}" for name, kind in shape(delta.columns))
    cursor.execute(f"drop table if exists {table}")
    cursor.execute(f"create table {table} ({columns})")
    count = copy(cursor, lake, delta.came, delta.columns, into=table)
    if key:
        cursor.execute(f"alter table {table} add primary key ({', '.join(map(quoted, key))})")
    return count


def show_table(cursor: Any, mart: Mart) -> None:
    """Put a table that was made in its place."""
    cursor.execute(f"drop table if exists {place(mart)}")
    cursor.execute(f"alter table {_beside(mart)} set schema {SCHEMA}")


def lock_tables(cursor: Any, names: Sequence[str]) -> None:
    """Wait until nobody reads: a reader that goes on would find a swapped table empty.

    Raises:
        psycopg2.errors.LockNotAvailable: Somebody reads for longer than a moment.
    """
    if names:
        cursor.execute(f"set local lock_timeout = '{_LOCK_MILLISECONDS}ms'")
        tables = ", ".join(f"{SCHEMA}.{quoted(name)}" for name in sorted(names))
        cursor.execute(f"lock table {tables} in access exclusive mode")
        cursor.execute("set local lock_timeout = 0")


def drop_table(cursor: Any, name: str) -> None:
    """Drop the table of a mart that is gone."""
    cursor.execute(f"drop table if exists {SCHEMA}.{quoted(name)}")


def comment_table(cursor: Any, mart: Mart, columns: Iterable[str]) -> None:
    """Write what the project says as comments.

    Args:
        cursor: Of PostgreSQL.
        mart: The mart.
        columns: Those that its table has.
    """
    said = {name.lower(): text for name, text in mart.columns}
    cursor.execute(f"comment on table {_escaped(place(mart))} is %s", (mart.description or None,))
    for name in columns:
        where = _escaped(f"{place(mart)}.{quoted(name)}")
        cursor.execute(f"comment on column {where} is %s", (said.get(name.lower()) or None,))


def place(mart: Mart) -> str:
    """SQL of its table."""
    return f"{SCHEMA}.{quoted(mart.name)}"


def copy(cursor: Any, lake: Lake, rows: str, columns: Columns, *, into: str) -> int:
    """Copy rows of the lake; returns how many."""
    lines = lake.connection.execute(f"select {copied_row(columns)} from ({rows})").to_arrow_reader(_ROWS)
    cursor.copy_expert(f"copy {into} from stdin", _Pieces(_texts(lines)))
    return int(cursor.rowcount)


def _remove(cursor: Any, lake: Lake, delta: Delta, table: str, key: Sequence[str]) -> int:
    columns = [column for column in delta.columns if not key or column[0] in key]
    names = ", ".join(quoted(name) for name, _ in columns)
    cursor.execute("drop table if exists pg_temp._gone")
    cursor.execute(f"create temp table _gone on commit drop as select {names} from {table} limit 0")
    count = copy(cursor, lake, f"select {names} from ({delta.gone})", columns, into="pg_temp._gone")
    if not count:
        return 0
    if key:
        same = " and ".join(f"_there.{quoted(name)} = _gone.{quoted(name)}" for name in key)
        cursor.execute(f"delete from {table} as _there using pg_temp._gone as _gone where {same}")
    else:
        cursor.execute(_WITHOUT_KEY.format(table=table))
    if cursor.rowcount != count:
        raise TableChanged
    return count


_WITHOUT_KEY = """
with doomed as (
    select _gone::text as line, count(*) as copies from pg_temp._gone as _gone group by 1
),

found as (
    select _there.ctid as place, _there::text as line, row_number() over (partition by _there::text) as nth
    from {table} as _there where _there::text in (select line from doomed)
)

delete from {table} where ctid in (select place from found inner join doomed using (line) where nth <= copies)
"""


def _beside(mart: Mart) -> str:
    return f"{BESIDE_SCHEMA}.{quoted(mart.name)}"


def _escaped(place: str) -> str:
    """For a statement with parameters."""
    return place.replace("%", "%%")


def _texts(lines: Any) -> Iterator[bytes]:
    for batch in lines:
        yield "".join(f"{line}\n" for line in batch.column(0).to_pylist()).encode()


class _Pieces:
    """What psycopg2 reads from."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces, self._rest = pieces, b""

    def read(self, size: int) -> bytes:
        while len(self._rest) < size and (piece := next(self._pieces, b"")):
            self._rest += piece
        given, self._rest = self._rest[:size], self._rest[size:]
        return given
