"""One id and one payload is a redelivery; one id and several payloads is a conflict: decided, and counted."""

import csv
import random
import shutil
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from ingestion.declare.stream import Stream
from ingestion.watch.recount import _staging
from tests.dbt_project.conftest import Warehouse
from tests.dbt_project.raw import START, Event
from tests.repository import REPOSITORY

NAB = REPOSITORY.parent / "shared" / "data" / "nab"
NAB_RULES = ("first", "keep_all")
RULES = ("first", "last", "keep_all")
FIELDS: dict[str, Any] = {"id": "varchar", "at": "timestamp", "value": "double"}


PARTS: dict[str, Any] = {
    "unnest": "r",
    "business_id": ["id"],
    "fields": FIELDS | {"at": {"path": "^.at", "type": "timestamp"}},
}
"""Of a stream whose messages hold several readings."""


def series(rule: str, **values: Any) -> Stream:
    """A stream of the rule's name."""
    declared = {"source": {"kafka": rule}, "event_time": "at", "business_id": ["id", "at"], "fields": FIELDS}
    return Stream.model_validate({"name": rule, "on_conflict": rule} | declared | values)


def point(name: str | None, value: float, *, minute: int = 0) -> Event:
    """A reading of a series."""
    at = START + timedelta(minutes=minute)
    return Event({"id": name, "at": at.isoformat(), "value": value}, at)


@pytest.fixture(scope="module")
def several(new_warehouse: Callable[[], Warehouse]) -> Warehouse:
    """A project with a stream for each rule."""
    warehouse = new_warehouse()
    for folder in ("models", "tests", "seeds"):
        shutil.rmtree(warehouse.project / folder)
    (warehouse.project / "models" / "staging").mkdir(parents=True)
    streams = [
        *(series(rule) for rule in (*RULES, "fail")),
        *(series(f"law_{rule}", on_conflict=rule) for rule in RULES),
        *(series(f"nab_{rule}", on_conflict=rule) for rule in NAB_RULES),
        *(series(f"parts_{rule}", on_conflict=rule, **PARTS) for rule in RULES),
        series("narrow", on_conflict="first", dedup_window_minutes=0, business_id=["id"]),
    ]
    for stream in streams:
        warehouse.write_model(f"staging/stg_{stream.name}.sql", f"{{{{ staging('{stream.name}') }}}}\n")
    warehouse.declare(tuple(streams))
    return warehouse


def staged(warehouse: Warehouse, rule: str) -> list[tuple[Any, ...]]:
    """What staging shows: id and value."""
    return warehouse.rows(f"staging.stg_{rule}", "id, value")


def conflicts(warehouse: Warehouse, rule: str) -> list[tuple[Any, ...]]:
    """What is noted: the event and the one that it is in conflict with."""
    where = f"_conflicts where table_name = 'staging.stg_{rule}'"
    return warehouse.rows(f"raw.{where}", "event_id, first_event_id")


def test_each_rule_keeps_what_it_says_and_counts(several: Warehouse) -> None:
    batches = [
        [point("a", 1), point("a", 1), point("b", 1), point("b", 2)],
        [
            point("a", 1),
            point("a", 3),
            point("b", 2),
            point("c", 1),
            point("", 1),
            point("", 1),
            point(None, 1),
        ],
    ]
    for events in batches:
        for rule in RULES:
            several.raw.add(rule, events)
        several.dbt("run", "--select", *(f"stg_{rule}" for rule in RULES))
    for rule in RULES:
        several.raw.add(rule, [point("b", 2)])  # brings no row, so that it is read again
    for _ in range(2):
        several.dbt("run", "--select", *(f"stg_{rule}" for rule in RULES))
    unnamed = [("", 1.0), ("", 1.0)]
    nobody = [(None, 1.0)]
    assert staged(several, "first") == [*unnamed, ("a", 1.0), ("b", 1.0), ("c", 1.0), *nobody]
    assert staged(several, "last") == [*unnamed, ("a", 3.0), ("b", 2.0), ("c", 1.0), *nobody]
    assert staged(several, "keep_all") == [
        *unnamed, ("a", 1.0), ("a", 3.0), ("b", 1.0), ("b", 2.0), ("c", 1.0), *nobody,
    ]  # fmt: skip
    assert conflicts(several, "keep_all") == [
        ("keep_all-0@3", "keep_all-0@2"),
        ("keep_all-0@5", "keep_all-0@0"),
    ]
    for rule in RULES:
        assert (f"{rule}-0@5", f"{rule}-0@0") in conflicts(several, rule)
        noted = len(conflicts(several, rule))
        assert noted == (4 if rule == "first" else 2), rule  # ("b", 2) is left out three times
        several.dbt("run", "--full-refresh", "--select", f"stg_{rule}")
        assert len(conflicts(several, rule)) == noted, rule


def test_fail_stops_the_model_with_a_sentence(several: Warehouse) -> None:
    several.raw.add("fail", [point("a", 1), point("a", 1)])
    several.dbt("run", "--select", "stg_fail")
    several.raw.add("fail", [point("a", 1), point("b", 2), point("a", 2)])
    for more in ((), ("--full-refresh",)):
        result = several.dbt("run", "--select", "stg_fail", *more, check=False)
        message = result.result.results[0].message
        assert "Stream fail: fail-0@4 has the business id of fail-0@0" in message, message
        assert staged(several, "fail") == [("a", 1.0)]


def test_the_window_is_the_stream_s(several: Warehouse) -> None:
    several.raw.add("narrow", [point("a", 1)])
    several.dbt("run", "--select", "stg_narrow")
    several.raw.add("narrow", [point("a", 1, minute=2)])
    several.dbt("run", "--select", "stg_narrow")
    several.raw.add("narrow", [point("a", 1)])
    several.dbt("run", "--select", "stg_narrow")
    assert staged(several, "narrow") == [("a", 1.0), ("a", 1.0)]


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.slow("a second seed"))])
def test_small_batches_keep_what_one_refresh_keeps(several: Warehouse, seed: int) -> None:
    rng = random.Random(seed)
    tables = [f"stg_law_{rule}" for rule in RULES]
    for _ in range(3):
        events = [
            point(rng.choice((f"{seed}x", f"{seed}y", "")), rng.randrange(3), minute=rng.randrange(2))
            for _ in range(rng.randrange(1, 9))
        ]
        for rule in RULES:
            several.raw.add(f"law_{rule}", events, partitions=rng.choice((1, 2)))
        several.dbt("run", "--select", *tables)
    tables = [*(f"staging.{table}" for table in tables), "raw._conflicts"]
    kept = "columns(* exclude (found_at, first_event_id))"  # found now, or compared with what is staged
    columns = {table: kept if table.startswith("raw.") else "*" for table in tables}
    incremental = {table: several.rows(table, columns[table]) for table in tables}
    several.dbt("run", "--full-refresh", "--select", *(f"stg_law_{rule}" for rule in RULES))
    for table in tables:
        assert incremental[table] == several.rows(table, columns[table]), table


@pytest.mark.skipif(not NAB.is_dir(), reason="the NAB series are not beside the project (shared/data/nab)")
def test_the_conflicts_of_real_series_are_counted_and_no_other(several: Warehouse) -> None:
    """Keyed by series and time stamp, as people do; where clocks went back, two values have one stamp."""
    rows = [
        (file.stem, row["timestamp"], float(row["value"]))
        for file in sorted(NAB.glob("*.csv"))
        for row in csv.DictReader(file.read_text(encoding="utf-8").splitlines())
    ]
    values: dict[tuple[str, str], list[float]] = {}
    for name, stamp, value in rows:
        values.setdefault((name, stamp), []).append(value)
    again = [each for each in values.values() if len(each) > 1]
    assert again
    assert all(len(set(each)) == len(each) for each in again), "none of them is a redelivery"
    at = datetime(2027, 1, 1, tzinfo=START.tzinfo)
    events = [Event({"id": name, "at": stamp, "value": value}, at) for name, stamp, value in rows]
    tables = [f"stg_nab_{rule}" for rule in NAB_RULES]
    for begin in range(0, len(events), 20_000):
        for rule in NAB_RULES:
            several.raw.add(f"nab_{rule}", events[begin : begin + 20_000])
        several.dbt("run", "--select", *tables)
    for rule in NAB_RULES:
        assert len(conflicts(several, f"nab_{rule}")) == len(events) - len(values), rule
    staged_rows = several.rows("staging.stg_nab_first", "id, strftime(\"at\", '%Y-%m-%d %H:%M:%S'), value")
    assert staged_rows == sorted((*key, found[0]) for key, found in values.items())
    everything = several.rows("staging.stg_nab_keep_all", "id, strftime(\"at\", '%Y-%m-%d %H:%M:%S'), value")
    assert everything == sorted(rows)


def test_the_elements_of_a_message_are_compared_one_by_one_in_their_order(several: Warehouse) -> None:
    def message(*readings: tuple[str, float]) -> Event:
        found = [{"id": name, "value": value} for name, value in readings]
        return Event({"at": START.isoformat(), "r": found}, START)

    many = message(*(("a", number) for number in range(11)), ("b", 1))
    for events in ([many], [many, message(("b", 1), ("a", 12), ("c", 1)), message()]):
        for rule in RULES:
            several.raw.add(f"parts_{rule}", events)
        several.dbt("run", "--select", *(f"stg_parts_{rule}" for rule in RULES))
    first, last = ([("a", value), ("b", 1.0), ("c", 1.0), (None, None)] for value in (0.0, 12.0))
    assert staged(several, "parts_first") == first
    assert staged(several, "parts_last") == last
    all_of_a = [("a", float(number)) for number in (*range(11), 12)]
    assert staged(several, "parts_keep_all") == [*all_of_a, *first[1:]]
    assert conflicts(several, "parts_keep_all") == sorted(
        [
            *((f"parts_keep_all-0@0#{at}", "parts_keep_all-0@0#0") for at in range(1, 11)),
            ("parts_keep_all-0@2#1", "parts_keep_all-0@0#0"),
        ]
    )
    named = several.rows("staging.stg_parts_first where len(cast_errors) > 0", "event_id, cast_errors")
    assert named == [("parts_first-0@3", ["payload"])]
    assert _recount(several, "parts_first") == {"staged": 4, "redelivered": 3, "conflicting": 21}
    tables = [f"stg_parts_{rule}" for rule in RULES]
    before = {table: several.rows(f"staging.{table}") for table in tables}
    several.dbt("run", "--full-refresh", "--select", *tables)
    assert before == {table: several.rows(f"staging.{table}") for table in tables}
    assert len(conflicts(several, "parts_first")) == 21


def _recount(warehouse: Warehouse, name: str) -> dict[str, int]:
    """What `verify` counts of staging."""
    stream = series("first", **PARTS, name=name)
    found = _staging(warehouse.lake, stream, {"first": 0, "last": 10**6}) or {}
    counts = {kind: count for (_, kind), count in found.items() if count}
    counts.pop("same_business_id", None)
    counts.pop("same_id_other_payload", None)
    return counts
