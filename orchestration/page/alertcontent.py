"""What the page Alerts reads of the lake: rows of every model of alerts, the open and the newest ended."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import duckdb

from ingestion.errors import MillraceError
from ingestion.lake.lake import CATALOG_NAME, Lake
from orchestration.dbt.alert_tables import AlertTable

MOST_OPEN = 200
NEWEST_ENDED = 20
_TIMES = ("opened_at", "closed_at")
_OWN = ("rule_id", "severity", "description", *_TIMES)


@dataclass(frozen=True)
class Alert:
    """A row of a model of alerts.

    Attributes:
        model: The model.
        rule: Which rule is broken.
        key: What breaks it.
        severity: As the rule declares it.
        is_condition: Whether alerts of this severity are conditions.
        opened_at: Since when, UTC.
        closed_at: Until when, UTC; None while it is open.
        description: What it means; may be empty.
        values: Its other columns.
    """

    model: str
    rule: str
    key: str
    severity: str
    is_condition: bool
    opened_at: datetime | None
    closed_at: datetime | None
    description: str
    values: tuple[tuple[str, Any], ...]


@dataclass(frozen=True)
class AlertContent:
    """All that is known of alerts in one version of the lake.

    Attributes:
        models: The models that hold them.
        open: The open ones: those that are conditions first, then the newest.
        open_count: How many are open in all.
        ended: Those that ended last, the newest first.
        why_not: Model → why its alerts are not known.
    """

    models: tuple[str, ...] = ()
    open: tuple[Alert, ...] = ()
    open_count: int = 0
    ended: tuple[Alert, ...] = ()
    why_not: tuple[tuple[str, str], ...] = ()


def read_alerts(lake: Lake, tables: Iterable[AlertTable]) -> AlertContent:
    """Read them; a model that is not built yet, or lacks a column, says so.

    Args:
        lake: In a transaction, so that all of it is one version.
        tables: The models of alerts.
    """
    names, count = list[str](), 0
    is_open, ended, why_not = list[Alert](), list[Alert](), list[tuple[str, str]]()
    for table in tables:
        names.append(table.name)
        try:
            is_open += _rows(lake, table, "closed_at is null", f"{_first(table)}opened_at desc", MOST_OPEN)
            ended += _rows(lake, table, "closed_at is not null", "closed_at desc", NEWEST_ENDED)
            count += lake.query(f"select count(*) from {_relation(table)} where closed_at is null")[0][0]
        except (MillraceError, duckdb.Error) as error:
            why_not.append((table.name, str(error).splitlines()[0]))
    never = datetime.min.replace(tzinfo=UTC)
    is_open.sort(key=lambda each: each.opened_at or never, reverse=True)
    is_open.sort(key=lambda each: not each.is_condition)
    ended.sort(key=lambda each: each.closed_at or never, reverse=True)
    return AlertContent(
        tuple(names), tuple(is_open[:MOST_OPEN]), count, tuple(ended[:NEWEST_ENDED]), tuple(why_not)
    )


def _rows(lake: Lake, table: AlertTable, which: str, order: str, limit: int) -> list[Alert]:
    own = ", ".join(_quoted(name) for name in dict.fromkeys([*_OWN, table.key]))
    # A column that a model lacks is none of its table's: the outer name gives null in its place.
    sql = f"""
        select
            rule_id::varchar, {_quoted(table.key)}::varchar, severity::varchar,
            epoch_us(opened_at::timestamptz), epoch_us(closed_at::timestamptz), description::varchar,
            * exclude ({own})
        from (select * from {_relation(table)} union all by name select null as description where false)
        where {which}
        order by {order}
        limit {limit}
    """
    answer = lake.connection.execute(sql)
    names = [column[0] for column in answer.description or ()][6:]
    return [
        Alert(
            table.name, rule or "", key or "", severity or "", severity in table.severities, _time(opened),
            _time(closed), text or "", tuple(zip(names, values, strict=True)),
        )
        for rule, key, severity, opened, closed, text, *values in answer.fetchall()
    ]  # fmt: skip


def _first(table: AlertTable) -> str:
    """For an order: those first that are conditions."""
    words = ", ".join("'" + each.replace("'", "''") + "'" for each in table.severities)
    return f"severity in ({words}) desc, " if words else ""


def _time(microseconds: int | None) -> datetime | None:
    try:
        return None if microseconds is None else datetime.fromtimestamp(microseconds / 1e6, UTC)
    except (OverflowError, ValueError, OSError):  # an infinite time
        return None


def _relation(table: AlertTable) -> str:
    return ".".join(_quoted(each) for each in (CATALOG_NAME, table.schema, table.table))


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
