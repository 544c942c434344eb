"""The rows of a table or view that an event touched, as far as that can be known.

DuckLake knows which rows each version changed; a model's key says which of them are the event's. Where the
event has only a part of the key, or none, that is said and not guessed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import duckdb

from ingestion.lake.lake import CATALOG_NAME, Lake

EVENT_ID = "event_id"
_MOST = 1_000
Match = Literal["event", "key", "part of the key", "nothing"]


@dataclass(frozen=True)
class Table:
    """What is known of a model's table or view.

    Attributes:
        schema: Its schema.
        name: Its name.
        is_view: It has no versions of its own.
        key: The columns that identify a row, as the model declares them; empty where it declares none.
    """

    schema: str
    name: str
    is_view: bool
    key: tuple[str, ...]

    @property
    def sql(self) -> str:
        """Its name in SQL."""
        return f'"{self.schema}"."{self.name}"'


@dataclass(frozen=True)
class Touched:
    """Rows of a table.

    Attributes:
        match: By what they were found: the event's own id, the table's whole key, or a part of it.
        by: The columns that were compared with the event.
        rows: The rows, as the build of `version` wrote them, else as they are now.
        changed: How many of them that build changed, or made; None where its version is not kept.
        removed: Rows that it took away without putting others with their key.
        version: The version whose changes were looked at.
        unknown: What cannot be known, as a clause; empty where nothing is.
    """

    match: Match
    by: tuple[str, ...] = ()
    rows: tuple[Mapping[str, Any], ...] = ()
    changed: int | None = None
    removed: int = 0
    version: int | None = None
    unknown: str = ""


@dataclass
class _Change:
    before: list[dict[str, Any]] = field(default_factory=list)
    after: list[dict[str, Any]] = field(default_factory=list)


def touched(
    lake: Lake,
    table: Table,
    event: Mapping[str, Any],
    *,
    business_id: Sequence[str],
    version: int | None,
) -> Touched:
    """Find an event's rows.

    Args:
        lake: The lake, which may be read-only.
        table: Where to look.
        event: What is known of the event: its row of staging, its `event_id` among the columns.
        business_id: The stream's.
        version: The version in which the table took the event in; None where it is not known.
    """
    try:
        columns = [row[0] for row in lake.query(f"describe {CATALOG_NAME}.{table.sql}")]
        match, by = _match(columns, table, event, business_id)
        if match == "nothing":
            return Touched(match, unknown=_why_nothing(table, event))
        values = [event[column] for column in by]
        if table.is_view or version is None:
            return _now(lake, table, match, by, values)
        return _changed(lake, table, match, by, values, version)
    except duckdb.Error as error:
        reason = str(error).splitlines()[0]
        return Touched("nothing", unknown=f"its rows could not be read ({reason})")


def _match(
    columns: Sequence[str], table: Table, event: Mapping[str, Any], business_id: Sequence[str]
) -> tuple[Match, tuple[str, ...]]:
    if EVENT_ID in columns:
        return "event", (EVENT_ID,)
    if business_id and all(name in columns and event.get(name) is not None for name in business_id):
        return "event", tuple(business_id)
    known = tuple(name for name in table.key if name in columns and event.get(name) is not None)
    if not known:
        return "nothing", ()
    return ("key" if len(known) == len(table.key) else "part of the key"), known


def _why_nothing(table: Table, event: Mapping[str, Any]) -> str:
    if not table.key:
        return "no column of it names the event, and it has no key (unique_key, or a test for uniqueness)"
    missing = [name for name in table.key if event.get(name) is None]
    return f"the event has nothing of its key ({', '.join(missing)})"


def _now(lake: Lake, table: Table, match: Match, by: tuple[str, ...], values: Sequence[Any]) -> Touched:
    rows = _rows(lake, f"select * from {CATALOG_NAME}.{table.sql} where {_where(by)}", values)
    unknown = ""
    if rows and match == "part of the key":
        unknown = _other_part(table, by) + ": which of these rows the event touched cannot be known"
    return Touched(match, by, tuple(rows), unknown=unknown)


def _changed(
    lake: Lake, table: Table, match: Match, by: tuple[str, ...], values: Sequence[Any], version: int
) -> Touched:
    """What a build did to the rows of the event; of a part of the key only the rows that it changed."""
    call = (
        f"ducklake_table_changes('{CATALOG_NAME}', '{table.schema}', '{table.name}', {version}::bigint, "
        f"{version}::bigint)"
    )
    change = _Change()
    for row in _rows(lake, f"select * from {call} where {_where(by)}", values):
        kind = row.pop("change_type")
        row.pop("snapshot_id"), row.pop("rowid")
        (change.after if kind in ("insert", "update_postimage") else change.before).append(row)
    new = [row for row in change.after if row not in change.before]
    keys = {tuple(row.get(name) for name in table.key) for row in change.after} if table.key else set()
    removed = [row for row in change.before if tuple(row.get(name) for name in table.key) not in keys]
    shown, unknown = change.after, ""
    if match == "part of the key":
        shown = new
        if new:
            unknown = _other_part(table, by) + ": other events of this build may have changed these rows"
    return Touched(match, by, tuple(shown), len(new), len(removed), version, unknown)


def _other_part(table: Table, by: Sequence[str]) -> str:
    other = [name for name in table.key if name not in by]
    return f"its key has {', '.join(other)} too, which the event does not say"


def _where(by: Sequence[str]) -> str:
    return " and ".join(f'"{name}" = ?' for name in by)


def _rows(lake: Lake, sql: str, values: Sequence[Any]) -> list[dict[str, Any]]:
    return list(lake.query_arrow(f"{sql} limit {_MOST}", values).to_pylist())
