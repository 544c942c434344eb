"""What is staged in batches and rebuilt by another declaration is what a full refresh makes of raw.

A long table is built again beside the old one, in steps, killed or not.
"""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ingestion.declare.stream import Stream
from ingestion.watch.rebuilds import rebuilds
from tests.dbt_project.conftest import Warehouse
from tests.dbt_project.killed import beside_line
from tests.dbt_project.raw import START, Event

RULES = ("first", "last", "keep_all")
FIELDS: dict[str, Any] = {"id": "varchar", "at": "timestamp", "value": "bigint"}
BUILT = (*(f"staging.stg_{rule}" for rule in RULES), "marts.values_of")
IN_STEPS = ("--vars", "{rebuild_rows: 4}")
MART = """
{{ config(unique_key='id', contract={'enforced': false}) }}
with touched as (
    select distinct id from {{ ref('stg_first') }} where batch_id > {{ watermark(this, 'last_batch_id') }}
)
select id, count(*) as events, max(value)::varchar as highest, max(batch_id) as last_batch_id
from {{ ref('stg_first') }}
where id in (select id from touched)
group by id
"""


def declared(rule: str, **values: Any) -> Stream:
    """A stream of the rule's name."""
    fields = FIELDS | values.pop("fields", {})
    usual = {"source": {"kafka": rule}, "event_time": "at", "business_id": ["id"], "on_conflict": rule}
    usual |= {"dedup_window_minutes": 1440}
    return Stream.model_validate({"name": rule, "fields": fields} | usual | values)


def sent(name: str | None, value: object, minute: int) -> Event:
    """An event; one after the hundredth minute claims to be of the future."""
    received = START + timedelta(minutes=minute % 100)
    claimed = received if minute < 100 else received + timedelta(hours=5)
    return Event({"id": name, "at": claimed.isoformat(), "value": value}, received)


@pytest.fixture(scope="module")
def project(new_warehouse: Callable[[], Warehouse]) -> Warehouse:
    """A project with a stream for each rule, and a mart."""
    warehouse = new_warehouse()
    for folder in ("models", "tests", "seeds"):
        shutil.rmtree(warehouse.project / folder)
    for folder in ("staging", "marts"):
        (warehouse.project / "models" / folder).mkdir(parents=True)
    for rule in RULES:
        warehouse.write_model(f"staging/stg_{rule}.sql", f"{{{{ staging('{rule}') }}}}\n")
    warehouse.write_model("marts/values_of.sql", MART)
    return warehouse


@pytest.fixture
def rules(project: Warehouse) -> Warehouse:
    """The project before its first event."""
    return begun_again(project)


def begun_again(warehouse: Warehouse) -> Warehouse:
    """The warehouse without events and tables."""
    declare(warehouse)
    beside = "select 'staging.' || table_name from duckdb_tables() where contains(table_name, '__rebuild_')"
    for table in (*BUILT, *(name for (name,) in warehouse.lake.query(beside))):
        warehouse.lake.query(f"drop table if exists lake.{table}")
    for table in (*RULES, "batches", "_editions", "_conflicts"):
        warehouse.lake.query(f"delete from lake.raw.{table}")
    warehouse.raw.batches.clear()
    warehouse.raw.positions.clear()
    return warehouse


def declare(warehouse: Warehouse, **values: Any) -> None:
    """Declare a stream for each rule."""
    warehouse.declare(tuple(declared(rule, **values) for rule in RULES))


def run(warehouse: Warehouse, *more: str, rebuild_rows: int = 4) -> list[str]:
    """Build in steps of so many events; what was said of tables beside."""
    lines: list[str] = []
    warehouse.dbt(
        *("run", "--exclude", "package:millrace", *more, "--vars", f"{{rebuild_rows: {rebuild_rows}}}"),
        on_event=lambda event: lines.extend(beside_line(event)),
    )
    return lines


def tables(warehouse: Warehouse) -> dict[str, list[tuple[Any, ...]]]:
    """All that is built, with its types, and every conflict that is noted."""
    found = {table: warehouse.rows(table) for table in BUILT}
    found["types"] = warehouse.lake.query(
        "select table_name, column_name, data_type from duckdb_columns() where schema_name in "
        "('staging', 'marts') and not contains(table_name, '__rebuild_') order by all"  # see leftovers()
    )
    found["conflicts"] = warehouse.rows("raw._conflicts", "table_name, batch_id, event_id, business_id")
    return found


def leftovers(warehouse: Warehouse) -> list[tuple[Any, ...]]:
    """Tables beside, and conflicts that are noted for them."""
    found = "select table_name from duckdb_tables() where table_name like '%rebuild%'"
    return warehouse.lake.query(
        f"{found} union all select table_name from raw._conflicts where table_name like '%rebuild%'"
    )


def test_a_long_table_is_built_beside_in_steps_and_takes_the_place(rules: Warehouse) -> None:
    for batch in range(5):
        for rule in RULES:
            rules.raw.add(
                rule,
                [sent(f"{batch}-{n}", n, 10 * batch + n) for n in range(2)] + [sent("0-0", batch, batch)],
            )
    assert run(rules) == []
    declare(rules, fields={"value": "varchar"})
    rules.lake.query(
        "create table lake.staging.stg_first__rebuild_0123456789 as select 1 as of_another_edition"
    )
    assert rebuilds(rules.lake) == {"first": 1}
    before = rules.lake.snapshot_id()
    lines = run(rules)
    assert rebuilds(rules.lake) == {}
    assert lines[:4] == [
        f"staging.stg_first is built beside the old: {done} of 15 events" for done in (0, 6, 9, 12)
    ]
    assert lines[4] == "staging.stg_first has been built again: 15 events"
    # What readers saw at each commit on the way: all of the old rows, or all of the new.
    seen = set()
    for snapshot in range(before, rules.lake.snapshot_id() + 1):
        at = f"staging.stg_first at (version => {snapshot})"
        seen.add(rules.lake.query(f"select typeof(any_value(value)), count(*), max(batch_id) from {at}")[0])
    assert seen == {("BIGINT", 10, 5), ("VARCHAR", 10, 5)}
    assert leftovers(rules) == []
    in_steps = tables(rules)
    run(rules, "--full-refresh")
    assert in_steps == tables(rules)


@dataclass(frozen=True)
class Step:
    """A batch, what is declared from then on, and how it is built."""

    events: list[Event]
    change: dict[str, Any] | None = None
    rebuild_rows: int = 1_000_000
    only_staging: bool = False


def build_and_compare(warehouse: Warehouse, steps: list[Step]) -> None:
    """Batch by batch, and then all at once: it must come to the same."""
    for step in steps:
        for rule in RULES:
            warehouse.raw.add(rule, step.events)
        if step.change is not None:
            declare(warehouse, **step.change)
        select = ["--select", "staging"] if step.only_staging else []
        run(warehouse, *select, rebuild_rows=step.rebuild_rows)
    if steps[-1].only_staging:
        run(warehouse)
    incremental = tables(warehouse)
    run(warehouse, "--full-refresh")
    whole = tables(warehouse)
    for name, rows in incremental.items():
        assert [*rows] == whole[name], name
    assert leftovers(warehouse) == []


@pytest.mark.slow("two declarations, each built twice")
def test_incremental_equals_full_refresh_across_a_changed_declaration(rules: Warehouse) -> None:
    """One history that has each kind of delivery on both sides of a change; the property draws many."""
    build_and_compare(
        rules,
        [
            Step([sent("a", 1, 0), sent("a", 1, 1), sent("a", 1.5, 1), sent("", 2, 30), sent(None, 2, 30)]),
            Step(
                [sent("a", 2, 30), sent("b", "many", 101), sent("b", "many", 101), sent("a", 1, 0)],
                {"fields": {"value": "varchar", "more": {"path": "value", "type": "double"}}},
                rebuild_rows=4,
                only_staging=True,
            ),
        ],
    )


EVENTS = st.builds(
    sent,
    st.sampled_from(["a", "b", "c", "", None]),
    st.sampled_from([1, 2, 1.5, "many", None, {"of": 1}]),
    st.sampled_from([0, 1, 30, 101]),
)
CHANGES = st.fixed_dictionaries(
    {},
    optional={
        "fields": st.sampled_from([{"value": "double"}, {"value": "varchar"}, {"more": "date"}]),
        "business_id": st.sampled_from([["id", "at"], ["id", "value"], []]),
        "event_time": st.none(),
        "on_conflict": st.sampled_from(RULES),
        "clock_tolerance_minutes": st.just(1000),
    },
)
STEPS = st.lists(
    st.builds(
        Step,
        st.lists(EVENTS, min_size=1, max_size=7),
        st.one_of(st.none(), CHANGES),
        st.sampled_from([2, 4, 1_000_000]),
        st.booleans(),
    ),
    min_size=2,
    max_size=4,
)


@pytest.mark.slow("each history is built several times")
@pytest.mark.parametrize(
    "histories", [5, pytest.param(100, marks=[pytest.mark.long, pytest.mark.timeout(0)])]
)
def test_incremental_equals_full_refresh_whatever_comes_and_is_declared(
    project: Warehouse, histories: int
) -> None:
    @settings(max_examples=histories, deadline=None, suppress_health_check=list(HealthCheck))
    @given(STEPS)
    def law(steps: list[Step]) -> None:
        build_and_compare(begun_again(project), steps)

    law()


def _killed(warehouse: Warehouse, *, at_line: int) -> None:
    """Build in a process of its own that is killed as it reports a step."""
    command = [
        sys.executable,
        "-m",
        "tests.dbt_project.killed",
        str(warehouse.project),
        str(at_line),
        *IN_STEPS,
    ]
    environment = os.environ | {"MILLRACE_DATA_DIR": str(warehouse.lake.settings.data_dir)}
    assert subprocess.run(command, env=environment, check=False).returncode == -signal.SIGKILL


@pytest.mark.slow("dbt is started and killed twice")
def test_a_killed_rebuild_goes_on_and_one_of_another_declaration_begins_again(rules: Warehouse) -> None:
    for batch in range(4):
        for rule in RULES:
            rules.raw.add(rule, [sent(f"{batch}-{n}", n, 10 * batch + n) for n in range(4)])
    run(rules)
    old = tables(rules)
    events = rules.lake.query("select count(*) from raw.first")[0][0]
    rules.declare((declared("first", fields={"value": "double"}), *(declared(rule) for rule in RULES[1:])))
    _killed(rules, at_line=3)
    assert tables(rules) == old
    assert rebuilds(rules.lake).keys() == {"first"}
    lines = run(rules)
    assert lines[0].startswith("staging.stg_first is built beside the old: ")
    done = int(lines[0].split(": ")[1].split(" of ")[0])
    assert 0 < done < events, lines
    resumed = tables(rules)
    rules.declare((declared("first", fields={"value": "varchar"}), *(declared(rule) for rule in RULES[1:])))
    _killed(rules, at_line=2)
    rules.declare((declared("first", fields={"value": "double"}), *(declared(rule) for rule in RULES[1:])))
    assert run(rules) == []  # what is there is of this declaration already
    rules.declare((declared("first", fields={"value": "json"}), *(declared(rule) for rule in RULES[1:])))
    assert f"is built beside the old: 0 of {events} events" in run(rules)[0]
    assert leftovers(rules) == []
    rules.declare((declared("first", fields={"value": "double"}), *(declared(rule) for rule in RULES[1:])))
    run(rules, "--full-refresh")
    assert resumed == tables(rules)
