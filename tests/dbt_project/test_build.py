"""dbt on a lake: unit tests run, a modeller stays in a schema of their own, a new stream takes one line."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import psycopg2
import pytest

from ingestion.declare.stream import Stream
from orchestration.services.process import wait_until
from tests.dbt_project.conftest import STREAMS, Warehouse
from tests.dbt_project.raw import START, Event, order_event, reading

pytestmark = pytest.mark.early


@pytest.fixture(scope="module")
def built(new_warehouse: Callable[[], Warehouse]) -> Warehouse:
    """A warehouse with a few rows of everything, built for production."""
    warehouse = new_warehouse()
    seconds = [START + timedelta(seconds=second) for second in range(20)]
    warehouse.raw.add("plant_telemetry", [reading(n, "oven-01", at) for n, at in enumerate(seconds)])
    stages = ("created", "started", "completed")
    events = [order_event(n, "ord-1", stage, seconds[n]) for n, stage in enumerate(stages)]
    warehouse.raw.add("production_orders", events, partitions=2)
    add_what_clocks_ahead_say(warehouse, START + timedelta(minutes=1))
    warehouse.raw.reject("plant_telemetry", ["not_json", "not_json", "empty"], START)
    warehouse.dbt("build", "--exclude", "resource_type:unit_test")
    return warehouse


def add_what_clocks_ahead_say(warehouse: Warehouse, now: datetime) -> None:
    """Two devices' clocks are ten years ahead; the second sends what it has kept for an hour."""
    ahead, later = (now + timedelta(days=3653)).isoformat(), now + timedelta(seconds=30)
    claimed = reading(100, "press-01", now, measured_at=ahead)
    warehouse.raw.add("plant_telemetry", [claimed, reading(101, "press-01", later, status="fault")])
    connected = [
        order_event(10, "ord-2", "created", now),
        order_event(11, "ord-2", "started", now, occurred_at=ahead),
        order_event(12, "ord-2", "completed", later),
    ]
    last = now + timedelta(hours=1)
    buffered = [
        order_event(20, "ord-3", "created", now),
        replace(order_event(21, "ord-3", "completed", later), at=last),
        order_event(22, "ord-3", "started", last, occurred_at=ahead),
    ]
    warehouse.raw.add("production_orders", [*connected, *buffered])


def test_unit_tests_run(built: Warehouse) -> None:
    result = built.dbt("test", "--select", "test_type:unit")
    assert len(result.result.results) >= 7


def test_marts_say_what_happened(built: Warehouse) -> None:
    assert built.rows("marts.order_progress", "order_id, state, lead_seconds") == [
        ("ord-1", "completed", 2.0),
        ("ord-2", "completed", 30.0),
        ("ord-3", "completed", 30.0),
    ]
    assert built.rows("marts.machine_minute", "machine_id, readings, running_share") == [
        ("oven-01", 20, 1.0),
        ("press-01", 2, 0.5),
    ]
    assert built.rows("marts.machine_status", "machine_id, status") == [
        ("oven-01", "running"),
        ("press-01", "fault"),
    ]
    assert built.rows("marts.ops_rejects", "reason, rejects, open_rejects") == [
        ("empty", 1, 1),
        ("not_json", 2, 2),
    ]
    assert built.rows("marts.ops_batches", "stream, events_landed, partitions") == [
        ("plant_telemetry", 2, 1),
        ("plant_telemetry", 20, 1),
        ("production_orders", 3, 2),
        ("production_orders", 6, 1),
    ]
    lag = built.rows("marts.ops_lag", "source_partition, position, messages_behind, seconds_behind > 0")
    assert lag[0] == ("plant_telemetry-0", 22, 2, True)


def test_the_ops_models_count_what_is_there(built: Warehouse) -> None:
    def one(sql: str) -> tuple[object, ...]:
        (row,) = built.lake.query(sql)
        return row

    sums = "sum(events_read), sum(events_landed), sum(events_rejected), sum(bytes_read), max(ingested_at)"
    assert one(f"select {sums} from marts.ops_batches") == one(f"select {sums} from raw.batches")
    assert one("select sum(rejects) from marts.ops_rejects") == one("select count(*) from raw.rejects")
    by_stream = (
        "select stream, events, delay_max_seconds, lateness_max_seconds from marts.ops_lateness "
        "where stream = 'plant_telemetry'"
    )
    try:
        built.dbt("run", "--select", "ops_lateness", "--vars", "{ops_window_hours: 1000000}")
        stream, events, longest, latest = one(by_stream)
    finally:  # its window of a day again, as the other tests expect it
        built.dbt("run", "--select", "ops_lateness")
    rows = built.lake.query(
        f"select event_at, ingested_at from staging.stg_{stream} "
        "order by batch_id, source_partition, position"
    )
    newest = [max(at for at, _ in rows[: place + 1]) for place in range(len(rows))]
    assert events == len(rows)
    assert longest == pytest.approx(max((read - at).total_seconds() for at, read in rows), abs=0.002)
    late = max((ahead - at).total_seconds() for (at, _), ahead in zip(rows, newest, strict=True))
    assert latest == pytest.approx(late, abs=0.002)
    lag = "source_partition, position, messages_behind, measured_at"
    assert built.rows("marts.ops_lag", lag) == sorted(
        built.lake.query(
            "select source_partition, max(end_position), max(log_end_position) - max(end_position), "
            "max(ingested_at) from raw.batches group by source_partition"
        )
    )


def test_a_modeller_writes_into_a_schema_of_their_own(built: Warehouse) -> None:
    tables = "select schema_name, table_name from duckdb_tables() where database_name = 'lake' "
    views = "union all select schema_name, view_name from duckdb_views() where database_name = 'lake'"
    before = set(built.lake.query(tables + views))
    production = built.rows("staging.stg_plant_telemetry")

    built.dbt("build", target="dev")  # all of it, into a schema that does not exist yet

    added = set(built.lake.query(tables + views)) - before
    assert {schema for schema, _ in added} == {"dev_ada_l"}
    assert ("dev_ada_l", "machine_minute") in added
    assert built.rows("staging.stg_plant_telemetry") == production


def test_a_run_with_nothing_new_commits_nothing(built: Warehouse) -> None:
    before = built.lake.snapshot_id()
    built.dbt("build", "--selector", "hot")
    assert built.lake.snapshot_id() == before


def test_a_view_is_made_anew_when_its_sql_changed(built: Warehouse) -> None:
    name, model = "int_reasons", "intermediate/int_reasons.sql"
    original = "select reason, count(*) as rejects from {{ source('raw', 'rejects') }} group by reason"
    try:
        built.write_model(model, original)
        built.dbt("run", "--select", name)
        assert built.rows(f"intermediate.{name}") == [("empty", 1), ("not_json", 2)]
        built.write_model(model, original.replace("count(*)", "count(*) + 100"))
        built.dbt("run", "--select", name)
        assert built.rows(f"intermediate.{name}") == [("empty", 101), ("not_json", 102)]
    finally:
        (built.project / "models" / model).unlink()
        built.manifests.clear()


def test_a_third_stream_takes_one_line(warehouse: Warehouse) -> None:
    stream = Stream.model_validate(
        {
            "name": "air_quality",
            "source": {"kafka": "air"},
            "event_time": "at",
            "business_id": ["id", "zone"],
            "fields": {
                "id": "bigint",
                "zone": {"type": "varchar", "path": "where.zone"},
                "at": "timestamp",
                "ppm": "decimal(6,2)",
                "tags": "json",
                "ok": "boolean",
                "day": "date",
                "whole": {"type": "json", "path": "."},
            },
        }
    )
    warehouse.declare((*STREAMS, stream))
    warehouse.write_model("staging/stg_air_quality.sql", "{{ staging('air_quality') }}\n")

    def event(number: object, zone: str | None, **values: object) -> Event:
        at = START.isoformat()
        payload = {"id": number, "where": {"zone": zone}, "at": at, "ppm": "4.25", "tags": ["a", 1]} | values
        return Event(payload, START + timedelta(hours=3))

    first = [event(1, "a", ok=True, day="2026-03-01"), event(1, "b", ok="maybe", day="soon"), event(2.5, "a")]
    warehouse.raw.add("air_quality", first)
    warehouse.dbt("build", "--select", "stg_air_quality")
    second = [event(1, "a"), event(2, "a"), Event("{broken", START), event(None, "a"), Event("21.5", START)]
    warehouse.raw.add("air_quality", second)
    warehouse.dbt("build", "--select", "stg_air_quality")

    columns = "batch_id, position, id, zone, ppm::varchar, tags::varchar, ok, day::varchar, cast_errors"
    tags = '["a",1]'
    assert sorted(warehouse.rows("staging.stg_air_quality", columns), key=lambda row: row[1]) == [
        (1, 0, 1, "a", "4.25", tags, True, "2026-03-01", []),
        (1, 1, 1, "b", "4.25", tags, None, None, ["ok", "day"]),
        (1, 2, None, "a", "4.25", tags, None, None, ["id"]),
        (2, 4, 2, "a", "4.25", tags, None, None, []),
        (2, 5, None, None, None, None, None, None, ["payload"]),
        (2, 6, None, "a", "4.25", tags, None, None, []),
        (2, 7, None, None, None, None, None, None, []),  # a bare number has no keys
    ]
    whole = warehouse.lake.query("select position, whole::double from lake.staging.stg_air_quality where "
                                 "position in (5, 7) order by all")  # fmt: skip
    assert whole == [(5, None), (7, 21.5)]
    times = warehouse.lake.query(
        "select distinct event_at from lake.staging.stg_air_quality where id is not null"
    )
    assert times == [(START,)]


def test_a_field_added_later_is_there_for_the_rows_before_it(warehouse: Warehouse) -> None:
    warehouse.raw.add("production_orders", [order_event(1, "ord-1", "created", START, shift="early")])
    warehouse.dbt("run", "--select", "stg_production_orders")
    orders = next(stream for stream in STREAMS if stream.name == "production_orders")
    fields = {name: spec.model_dump() for name, spec in orders.fields.items()} | {"shift": "varchar"}
    wider = Stream.model_validate(orders.model_dump(exclude={"format", "key"}) | {"fields": fields})
    warehouse.declare((wider, *(stream for stream in STREAMS if stream.name != "production_orders")))
    warehouse.raw.add("production_orders", [order_event(2, "ord-1", "started", START, shift="late")])
    warehouse.dbt("run", "--select", "stg_production_orders")
    assert warehouse.rows("staging.stg_production_orders", "batch_id, shift") == [(1, "early"), (2, "late")]


def test_two_runs_at_once_do_not_stage_an_event_twice(warehouse: Warehouse) -> None:
    model = "stg_production_orders"
    warehouse.raw.add("production_orders", [order_event(1, "ord-1", "created", START)])
    warehouse.dbt("run", "--select", model)
    warehouse.raw.add("production_orders", [order_event(2, "ord-1", "started", START)])

    def other() -> None:
        table = f"lake.staging.{model}"
        warehouse.lake.query(f"insert into {table} select * replace (2 as batch_id) from {table}")

    result = _run_while(warehouse, f"staging.{model}", other)
    assert not result.success
    assert f"Another run wrote staging.{model} meanwhile" in result.result.results[0].message
    assert len(warehouse.rows(f"staging.{model}")) == 2


@pytest.mark.parametrize("model", ["intermediate.int_alert_runs", "marts.machine_minute"])
def test_what_is_staged_between_a_model_s_look_and_its_work_is_built_by_the_next_run(
    warehouse: Warehouse, model: str
) -> None:
    """Half of it would come, that of machines and times looked at, and the watermark would hide the rest."""

    def stage(batch: int, machine: str, minute: int) -> None:
        at = START + timedelta(minutes=minute)
        warehouse.raw.add("plant_telemetry", [reading(batch, machine, at, temperature_celsius=150)])

    warehouse.dbt("seed")
    stage(1, "press-01", 0)
    warehouse.dbt("run")
    stage(2, "press-01", 1)
    warehouse.dbt("run", "--select", "stg_plant_telemetry")

    def more() -> None:
        # One reading where the model has looked, one where it has not, in one batch.
        for machine, minutes in (("press-01", 0.5), ("mill-01", 50)):
            warehouse.lake.query(
                "insert into lake.staging.stg_plant_telemetry select * replace ("
                f"3 as batch_id, event_id || '{machine}' as event_id, '{machine}' as machine_id, "
                f"event_at + to_seconds(60 * {minutes}) as event_at) "
                "from lake.staging.stg_plant_telemetry where batch_id = 2"
            )

    name = model.partition(".")[2]
    assert _run_while(warehouse, model, more).success
    warehouse.dbt("run", "--select", name)
    built = warehouse.rows(model)
    warehouse.dbt("run", "--full-refresh", "--select", name)
    assert built == warehouse.rows(model)
    assert any("mill-01" in row for row in built)


def test_a_run_of_alerts_compiled_before_another_one_s_commit_writes_nothing(warehouse: Warehouse) -> None:
    warehouse.dbt("seed")
    warehouse.raw.add("plant_telemetry", [reading(1, "press-01", START)])
    warehouse.dbt("run")
    warehouse.raw.add("plant_telemetry", [reading(2, "press-01", START + timedelta(minutes=1))])
    warehouse.dbt("run", "--select", "stg_plant_telemetry")
    table = "lake.intermediate.int_alert_runs"

    def other() -> None:
        warehouse.lake.query(f"update {table} set last_batch_id = 2")

    result = _run_while(warehouse, "intermediate.int_alert_runs", other)
    assert not result.success
    assert "Another run wrote intermediate.int_alert_runs meanwhile" in result.result.results[0].message


def _run_while(warehouse: Warehouse, model: str, work: Callable[[], None]) -> Any:
    """Run a model; when its SQL is compiled and it waits for its turn, do something else first."""
    url = warehouse.lake.settings.catalog
    assert url is not None
    with ThreadPoolExecutor(1) as pool, closing(psycopg2.connect(url.get_secret_value())) as other:
        cursor = other.cursor()
        cursor.execute("select pg_advisory_xact_lock(hashtext(%s))", (f"millrace {model}",))
        run = pool.submit(warehouse.dbt, "run", "--select", model.partition(".")[2], check=False)
        assert wait_until(lambda: _first(cursor, WAITING) == 1 or run.done(), timeout_s=60)
        assert not run.done(), "the run did not wait for its turn"
        work()
        other.commit()
        return run.result(timeout=60)


WAITING = """
select count(*) from pg_locks join pg_database on pg_database.oid = database
where locktype = 'advisory' and not granted and datname = current_database()
"""
"""Other tests use the same server."""


def _first(cursor: Any, sql: str) -> Any:
    cursor.execute(sql)
    return cursor.fetchone()[0]
