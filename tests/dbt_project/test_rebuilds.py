"""A long staging table of another declaration is built again beside the old one, in steps, killed or not."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from dbt.cli.main import dbtRunner

from ingestion.declare.stream import Stream
from ingestion.watch.rebuilds import rebuilds
from tests.dbt_project.conftest import Warehouse, explain
from tests.dbt_project.killed import beside_line
from tests.dbt_project.raw import START, Event

RULES = ("first", "last", "keep_all")
FIELDS: dict[str, Any] = {"id": "varchar", "at": "timestamp", "value": "bigint"}
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
    return Stream.model_validate({"name": rule, "fields": fields} | usual | values)


def sent(name: str | None, value: object, minute: int) -> Event:
    """An event; one of the hundredth minute claims to be of the future."""
    received = START + timedelta(minutes=minute % 100)
    claimed = received if minute < 100 else received + timedelta(days=800)
    return Event({"id": name, "at": claimed.isoformat(), "value": value}, received)


@pytest.fixture(scope="module")
def rules(new_warehouse: Callable[[], Warehouse]) -> Warehouse:
    """A project with a stream for each rule, and a mart."""
    warehouse = new_warehouse()
    for folder in ("models", "tests", "seeds"):
        shutil.rmtree(warehouse.project / folder)
    for folder in ("staging", "marts"):
        (warehouse.project / "models" / folder).mkdir(parents=True)
    for rule in RULES:
        warehouse.write_model(f"staging/stg_{rule}.sql", f"{{{{ staging('{rule}') }}}}\n")
    warehouse.write_model("marts/values_of.sql", MART)
    warehouse.declare(tuple(declared(rule) for rule in RULES))
    return warehouse


def run(warehouse: Warehouse, *more: str) -> list[str]:
    """Build in small steps; what was said of tables beside."""
    lines: list[str] = []
    folders = ["--project-dir", str(warehouse.project), "--profiles-dir", str(warehouse.project)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MILLRACE_DATA_DIR", str(warehouse.lake.settings.data_dir))
        runner = dbtRunner(callbacks=[lambda event: lines.extend(beside_line(event))])
        silence = ["--target", "prod", "--quiet", "--log-level-file", "none", "--no-write-json"]
        args = ["run", "--exclude", "package:millrace", *more, *folders, *silence]
        result = runner.invoke([*args, *IN_STEPS])
    assert result.success, explain(result)
    return lines


def tables(warehouse: Warehouse) -> dict[str, list[tuple[Any, ...]]]:
    """All that is built, and every conflict that is noted."""
    names = [*(f"staging.stg_{rule}" for rule in RULES), "marts.values_of"]
    return {name: warehouse.rows(name) for name in names}


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
    rules.declare(tuple(declared(rule, fields={"value": "varchar"}) for rule in RULES))
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
    in_steps, noted = (
        tables(rules),
        rules.rows("raw._conflicts", "table_name, batch_id, event_id, business_id"),
    )
    run(rules, "--full-refresh")
    assert in_steps == tables(rules)
    assert noted == rules.rows("raw._conflicts", "table_name, batch_id, event_id, business_id")


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
    rules.declare(tuple(declared(rule) for rule in RULES))
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
