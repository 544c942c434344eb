"""What the macros read from DuckLake's catalog is what the tables say, or the tables are asked."""

from typing import Any

import pytest

from ingestion.lake.lake import Lake
from tests.dbt_project.conftest import Warehouse
from tests.dbt_project.raw import START, order_event, reading

MACROS = """
{% macro highest_of(schema, name, column) -%}
    {%- set relation = api.Relation.create(database=target.database, schema=schema, identifier=name) -%}
    {%- do log('knows ' ~ millrace.highest_in_catalog(relation, column), info=True) -%}
    {%- do log('answers ' ~ millrace.watermark_of(relation, column), info=True) -%}
{%- endmacro %}
{% macro editions_now() -%}
    {%- do log('state ' ~ millrace.ask_catalog({'state': millrace.state_of_editions()})[0], info=True) -%}
{%- endmacro %}
"""
TABLE = "lake.staging.counted"


def said(warehouse: Warehouse, macro: str, **arguments: str) -> list[str]:
    lines: list[str] = []

    def hear(event: Any) -> None:
        if event.info.name == "JinjaLogInfo":
            lines.append(event.data.msg)

    pairs = ", ".join(f"{key}: {value}" for key, value in arguments.items())
    warehouse.dbt("run-operation", macro, "--args", f"{{{pairs}}}", on_event=hear)
    return lines


@pytest.fixture
def counted(warehouse: Warehouse) -> Warehouse:
    (warehouse.project / "macros" / "asked.sql").write_text(MACROS)
    warehouse.manifests.clear()
    warehouse.lake.query("create schema if not exists lake.staging")
    warehouse.lake.query(f"create table {TABLE} (batch_id bigint, word varchar)")
    return warehouse


def highest(warehouse: Warehouse, name: str = "counted", column: str = "batch_id") -> tuple[str, int]:
    """What the catalog knows, and what a model gets; the second has to be what the table says."""
    knows, answers = said(warehouse, "highest_of", schema="staging", name=name, column=column)
    answer = int(answers.removeprefix("answers "))
    table = f"coalesce(max({column}), 0) from lake.staging.{name}"
    assert answer == warehouse.lake.query(f"select {table}")[0][0]
    return knows.removeprefix("knows "), answer


def fill(lake: Lake, *batches: int | None) -> None:
    """One file."""
    values = ", ".join(f"({'null' if batch is None else batch}, 'a')" for batch in batches)
    lake.query(f"insert into {TABLE} values {values}")


def test_whole_files_are_believed(counted: Warehouse) -> None:
    assert highest(counted) == ("0", 0)
    fill(counted.lake, 3, 1)
    fill(counted.lake, 12, 10)
    assert highest(counted) == ("12", 12)
    fill(counted.lake, 9)
    assert highest(counted) == ("12", 12)
    assert highest(counted, column="BATCH_ID") == ("12", 12)
    counted.lake.query(f"delete from {TABLE} where batch_id = 1")
    assert highest(counted) == ("12", 12), "the file with a delete is not the one that counts"
    fill(counted.lake, -5)
    counted.lake.query(f"delete from {TABLE} where batch_id > 0")
    assert highest(counted)[1] == -5


def test_a_file_with_deletes_is_not_believed(counted: Warehouse) -> None:
    fill(counted.lake, 3, 12)
    counted.lake.query(f"delete from {TABLE} where batch_id = 12")
    assert highest(counted) == ("None", 3)
    fill(counted.lake, 11)
    assert highest(counted) == ("None", 11), "12 may be there"
    fill(counted.lake, 12)
    assert highest(counted) == ("12", 12)
    counted.lake.query(f"update {TABLE} set batch_id = 2 where batch_id = 12")
    assert highest(counted)[1] == 11


def test_what_the_catalog_cannot_tell_is_asked_of_the_table(counted: Warehouse) -> None:
    fill(counted.lake, None)
    assert highest(counted) == ("None", 0), "a file without a number"
    fill(counted.lake, 4)
    assert highest(counted)[1] == 4
    counted.lake.query("create view lake.staging.seen as select * from lake.staging.counted")
    assert highest(counted, "seen") == ("None", 4)
    counted.lake.query(f"alter table {TABLE} add column later bigint")
    assert highest(counted, column="later")[1] == 0
    counted.lake.query(f"insert into {TABLE} values (5, 'b', 70)")
    assert highest(counted, column="later")[1] == 70


def test_rows_that_the_catalog_keeps_itself_are_counted(counted: Warehouse) -> None:
    """Another client of the lake may write a few rows without a file."""
    fill(counted.lake, 4)
    counted.lake.query("call lake.set_option('data_inlining_row_limit', 10)")
    fill(counted.lake, 6)
    assert highest(counted) == ("None", 6)


def test_a_table_that_was_made_again_is_the_one_that_counts(counted: Warehouse) -> None:
    fill(counted.lake, 40)
    counted.lake.query(f"drop table {TABLE}")
    counted.lake.query(f"create table {TABLE} (word varchar, batch_id bigint)")
    fill_words = f"insert into {TABLE} values ('99', 7)"
    counted.lake.query(fill_words)
    assert highest(counted) == ("7", 7)


def test_editions_have_another_state_after_each_change(counted: Warehouse) -> None:
    def state() -> str:
        (line,) = said(counted, "editions_now")
        return line

    counted.raw.add("production_orders", [order_event(1, "ord-1", "created", START)])
    states = [state(), state()]
    counted.dbt("run", "--select", "stg_production_orders")
    states += [state(), state()]
    counted.raw.add("production_orders", [order_event(2, "ord-1", "started", START)])
    counted.dbt("run", "--select", "stg_production_orders")
    states += [state()]
    counted.dbt("run", "--select", "stg_production_orders", "--full-refresh")
    states += [state()]
    counted.lake.query("delete from lake.raw._editions where generation = 1")
    states += [state()]
    first, second, third, fourth = dict.fromkeys(states)
    assert states == [first, first, second, second, second, third, fourth]


def test_models_of_one_command_share_a_look(warehouse: Warehouse) -> None:
    looks: list[str] = []

    def hear(event: Any) -> None:
        if event.info.name == "SQLQuery" and "as newest from" in event.data.sql:
            looks.append(event.data.node_info.node_name)

    warehouse.dbt("seed")
    for batch in (1, 2):
        warehouse.raw.add("plant_telemetry", [reading(batch, "press-01", START)])
        looks.clear()
        warehouse.dbt("run", "--select", "+int_alert_runs", "+machine_minute", on_event=hear)
    assert looks == ["int_alert_runs"], "machine_minute reads the same rows, and raw is known to the catalog"
