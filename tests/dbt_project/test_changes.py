"""A stream of changes: each change once in staging; of each row the newest state, deleted ones flagged."""

import json
import random
import shutil
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from ingestion.declare.stream import Stream
from ingestion.watch.recount import verify
from tests.dbt_project.conftest import Warehouse
from tests.dbt_project.raw import START, Event

STREAM = Stream.model_validate(
    {
        "name": "orders",
        "source": {"kafka": "orders"},
        "envelope": "debezium",
        "business_id": "id",
        "fields": {"id": "bigint", "total": "decimal(10,2)"},
    }
)

CLOUD = Stream.model_validate(
    {
        "name": "cloud",
        "source": {"kafka": "cloud"},
        "envelope": "cloudevents",
        "fields": {"cents": "decimal(10,2)"},
    }
)


def change(op: str, lsn: int, number: int | None = None, total: str = "") -> Event:
    """A change of order `number` at a place in the log."""
    row = {"id": number, "total": total} if total else None
    value = {
        "before": {"id": number, "total": "0.00"} if op == "d" else None,
        "after": row,
        "source": {"lsn": lsn, "schema": "public", "table": "orders", "ts_ms": 1_772_352_000_000 + lsn},
        "op": op,
        "ts_ms": random.randint(1, 10**12),  # Debezium stamps a redelivery again
    }
    at = START + timedelta(seconds=lsn)
    return Event(json.dumps(value), at, key=json.dumps({"id": number}))


def tombstone(number: int) -> Event:
    """What follows a delete."""
    return Event(None, START, key=json.dumps({"id": number}))


BATCHES = (
    [change("r", 10, 1, "1.00"), change("r", 10, 2, "2.00"), change("r", 10, 3, "3.00"),
     change("c", 11, 4, "4.00"), change("u", 12, 4, "4.10")],
    [change("u", 20, 1, "1.10"), change("d", 21, 2), tombstone(2), change("u", 20, 1, "1.10"),
     change("m", 22)],
    [change("u", 15, 2, "2.50"), change("u", 5, 3, "0.30"), change("c", 30, 5, "5.00")],
)  # fmt: skip
"""In the third, two changes come late: of a row that is deleted since, and one before the snapshot."""


@pytest.fixture(scope="module")
def shop(new_warehouse: Callable[[], Warehouse]) -> Warehouse:
    """A project with the changes and the newest state of one table."""
    warehouse = new_warehouse()
    for folder in ("models", "tests", "seeds"):
        shutil.rmtree(warehouse.project / folder)
    (warehouse.project / "models" / "staging").mkdir(parents=True)
    warehouse.write_model("staging/stg_orders.sql", "{{ staging('orders') }}\n")
    warehouse.write_model("staging/orders_now.sql", "{{ staging('orders', latest=true) }}\n")
    warehouse.write_model("staging/stg_cloud.sql", "{{ staging('cloud') }}\n")
    warehouse.declare((STREAM, CLOUD))
    return warehouse


def conflicts(shop: Warehouse, stream: str) -> list[tuple[Any, ...]]:
    """The events that are in conflict with another one."""
    return shop.rows(f"raw._conflicts where table_name like 'staging.%{stream}%'", "event_id")


def newest(shop: Warehouse) -> list[tuple[Any, ...]]:
    """The rows that are there, and whether each is deleted."""
    return shop.rows("staging.orders_now", "id, total::varchar, op, is_deleted")


def test_changes_are_staged_once_and_the_newest_state_of_each_row_is_there(shop: Warehouse) -> None:
    for batch in BATCHES:
        shop.raw.add("orders", batch)
        shop.dbt("run", "--select", "stg_orders", "orders_now")
    changes = shop.rows("staging.stg_orders", "op, id, source_position")
    assert len(changes) == len(set(changes)) == 11
    assert conflicts(shop, "orders") == []
    (counted,) = verify(shop.lake, STREAM, log=None).partitions
    assert (counted.staged, counted.redelivered, counted.conflicting, counted.verdict) == (11, 1, 0, "ok")
    assert newest(shop) == [
        (1, "1.10", "u", False),
        (2, "0.00", "d", True),
        (3, "3.00", "r", False),
        (4, "4.10", "u", False),
        (5, "5.00", "c", False),
    ]
    shop.raw.add("orders", [change("t", 40), change("c", 41, 6, "6.00")])
    shop.dbt("run", "--select", "stg_orders", "orders_now")
    shown = newest(shop)
    assert [row[3] for row in shown] == [True] * 5 + [False]
    assert shown[0] == (1, "1.10", "t", True)
    whole = shop.rows("staging.orders_now", "* exclude (batch_id)")
    shop.dbt("run", "--full-refresh", "--select", "stg_orders", "orders_now")
    assert shop.rows("staging.orders_now", "* exclude (batch_id)") == whole
    assert conflicts(shop, "orders") == []


def test_a_stream_without_changes_has_no_newest_state(shop: Warehouse) -> None:
    plain = Stream.model_validate(
        {"name": "orders", "source": {"kafka": "orders"}, "fields": {"id": "bigint"}}
    )
    shop.declare((plain, CLOUD))
    try:
        failed = shop.dbt("compile", "--select", "orders_now", check=False)
        assert "declare 'envelope: debezium' and the row's key as 'business_id'" in str(failed.exception)
    finally:
        shop.declare((STREAM, CLOUD))


def cloud_event(number: int, cents: str) -> str:
    """A structured CloudEvent."""
    head = f'"specversion": "1.0", "id": "{number}", "source": "/s", "type": "t"'
    return f'{{{head}, "time": "{START.isoformat()}", "data": {{"cents": {cents}}}}}'


def test_a_cloudevent_that_comes_again_is_one_also_within_a_batch(shop: Warehouse) -> None:
    first, second, other = cloud_event(1, "1.10"), cloud_event(2, "2.00"), cloud_event(2, "9.99")
    for payloads in (
        [f"[{first}, {second}]", cloud_event(3, "3.00")],
        [first, f"[{first}, {second}]", other],
    ):
        shop.raw.add("cloud", [Event(payload, START) for payload in payloads])
        shop.dbt("run", "--select", "stg_cloud")
    assert shop.rows("staging.stg_cloud", "ce_id, event_id, cents::varchar, event_at") == [
        ("1", "cloud-0@0#1", "1.10", START),
        ("2", "cloud-0@0#2", "2.00", START),
        ("3", "cloud-0@1", "3.00", START),
    ]
    assert conflicts(shop, "cloud") == [("cloud-0@4",)]
    (counted,) = verify(shop.lake, CLOUD, log=None).partitions
    assert (counted.staged, counted.redelivered, counted.conflicting) == (3, 3, 1)
