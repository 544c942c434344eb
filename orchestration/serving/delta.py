"""What a mart's table in PostgreSQL lacks between two versions of the lake: rows that went, rows that came.

Rows are a multiset: what went and came again unchanged is neither. How it is written: table.py.
"""

from dataclasses import dataclass
from datetime import datetime

import duckdb

from ingestion.lake.contents import asked_of_catalog
from ingestion.lake.lake import Lake
from ingestion.lake.versions import METADATA_SCHEMA
from ingestion.serve.changes import change_feed, columns_of, look_back, relation, taken_names
from ingestion.serve.shelf import Mart
from ingestion.serve.texts import Columns, quoted

_CHANGES = "temp.main._published_changes"


class NotBuilt(Exception):
    """The mart was not there in that version of the lake."""


@dataclass(frozen=True)
class Published:
    """What PostgreSQL has of a mart.

    Attributes:
        snapshot: The version of the lake.
        snapshot_at: When that version was made: a lake that was put back makes another of the same number.
        columns: Name and type, as PostgreSQL has them.
        key: The columns that identify a row, as the model declares.
        keyed: Whether the rows kept to it when the table was made: then it is the primary key.
        described: What is said of the table and of its columns.
    """

    snapshot: int
    snapshot_at: datetime
    columns: tuple[tuple[str, str], ...]
    key: tuple[str, ...]
    keyed: bool = True
    described: tuple[tuple[str, str], ...] = ()

    @property
    def primary_key(self) -> tuple[str, ...]:
        """Of its table; empty without one."""
        return self.key if self.keyed else ()


@dataclass(frozen=True)
class Delta:
    """What is to be written.

    Attributes:
        columns: The mart's.
        gone: SQL of the rows that went; None: all that were there.
        came: SQL of the rows that came.
    """

    columns: Columns
    gone: str | None
    came: str


def version_times(lake: Lake, versions: set[int]) -> dict[int, datetime]:
    """When versions of the lake were made; those that have expired are left out."""
    numbers = ", ".join(map(str, sorted(versions))) or "null"
    sql = (
        f"select snapshot_id, snapshot_time from {METADATA_SCHEMA}.ducklake_snapshot "
        f"where snapshot_id in ({numbers})"
    )
    return {int(number): at for number, at in lake.query(asked_of_catalog(sql))}


def delta_of(lake: Lake, mart: Mart, version: int, *, since: int | None) -> Delta:
    """Find out what changed.

    Args:
        lake: In a transaction; one mart after the other.
        mart: The mart.
        version: The version of the lake that is to be shown.
        since: The version that is shown; None: nothing is that counts.

    Raises:
        NotBuilt: The mart was not there in this version.
    """
    rows = f"select * from {relation(mart, version)}"
    try:
        columns = columns_of(lake, rows)
    except duckdb.CatalogException as error:
        raise NotBuilt(mart.name) from error
    if since is None or since > version:
        return Delta(columns, None, rows)
    past = look_back(lake, mart, since=since, version=version)
    if past.made is not None and past.made <= since and past.complete and not taken_names(columns):
        return _from_feed(lake, mart, columns, since=since, version=version)
    before = f"select * from {relation(mart, since)}"
    if (past.made is None or past.complete) and _same(columns_of(lake, before), columns):
        return Delta(columns, f"({before}) except all ({rows})", f"({rows}) except all ({before})")
    return Delta(columns, None, rows)


def _from_feed(lake: Lake, mart: Mart, columns: Columns, *, since: int, version: int) -> Delta:
    feed = change_feed(mart, columns, since=since, version=version)
    lake.query(f"create or replace temp table _published_changes as {feed}")
    names = ", ".join(quoted(name) for name, _ in columns)
    came, gone = (f"select {names} from {_CHANGES} where _change = '{kind}'" for kind in ("insert", "delete"))
    return Delta(columns, f"({gone}) except all ({came})", f"({came}) except all ({gone})")


def _same(before: Columns, now: Columns) -> bool:
    return [(name, str(kind)) for name, kind in before] == [(name, str(kind)) for name, kind in now]
