"""Many small batches give what one full refresh gives, whatever is late, twice, broken or missing."""

import random
from collections.abc import Callable
from datetime import timedelta

import pytest

from tests.dbt_project.conftest import Warehouse
from tests.dbt_project.raw import START, Event, inspection, order_event, reading

TABLES = (
    "staging.stg_plant_telemetry",
    "staging.stg_production_orders",
    "staging.stg_quality_inspections",
    "intermediate.int_alert_runs",
    "intermediate.int_order_inspections",
    "marts.machine_minute",
    "marts.machine_status",
    "marts.order_progress",
    "marts.order_quality",
    "marts.alerts",
)
MACHINES = ("press-01", "mill-01", "oven-02", "robot-03", "unknown-9", "o'dd*/ --;")


def _random_reading(rng: random.Random, number: int, now_seconds: float) -> Event:
    machine = rng.choice(MACHINES)
    late = rng.choices((0.0, rng.uniform(0, 90), rng.uniform(0, 7200)), (80, 15, 5))[0]
    at = START + timedelta(seconds=round(now_seconds - late))  # whole seconds: some readings coincide
    values: dict[str, object] = {
        "temperature_celsius": round(rng.uniform(20, 120), 2),
        "vibration_mm_s": round(rng.choice((2.0, 8.0, 8.0, 13.0)) + rng.random(), 2),
    }
    if rng.random() < 0.03:
        values |= {"temperature_celsius": rng.choice(["hot", None, "NaN"])}
    if rng.random() < 0.02:
        values |= {"machine_id": None}
    if rng.random() < 0.02:
        values |= {"measured_at": rng.choice(["yesterday", "1970-01-01T00:00:00Z", "9000-01-01", 4e9])}
    event = reading(
        "" if rng.random() < 0.02 else number,
        machine,
        at,
        status=rng.choices(("running", "idle", "fault"), (8, 2, 1))[0],
        **values,
    )
    return Event(event.payload, event.at, event.key, START + timedelta(seconds=now_seconds + 1))


def _random_order_event(rng: random.Random, number: int, now_seconds: float) -> Event:
    stage = rng.choice(("created", "started", "completed", "cancelled", "paused"))
    at = START + timedelta(seconds=round(now_seconds - rng.choice((0, 0, 0, 40, 4000))))
    return order_event(
        number,
        f"ord-{rng.randrange(12)}",
        stage,
        at,
        product=rng.choice(("bracket", "flange", None)),
        quantity=rng.choice((10, 20, "many", 2.5)),
        machine_id=rng.choice(MACHINES),
    )


def _random_inspection(rng: random.Random, number: int, now_seconds: float) -> Event:
    at = START + timedelta(seconds=round(now_seconds - rng.choice((0, 0, 0, 40, 4000))))
    return inspection(
        number,
        rng.choice((None, *(f"ord-{each}" for each in range(20)))),  # some orders are never heard of
        at,
        inspected=rng.choice((10, 10, 20, "many", -3, 2**62)),
        scrapped=rng.choice((0, 1, None)),
        defect=rng.choice(("burr", "crack", None)),
    )


@pytest.mark.early
@pytest.mark.slow("the plant is built again and again, and once at once")
@pytest.mark.parametrize("seed", [1, 2])
def test_incremental_equals_full_refresh(seed: int, new_warehouse: Callable[[], Warehouse]) -> None:
    rng = random.Random(seed)
    warehouse = new_warehouse()
    warehouse.dbt("seed")
    makers = {
        "plant_telemetry": _random_reading,
        "production_orders": _random_order_event,
        "quality_inspections": _random_inspection,
    }
    sent: dict[str, list[Event]] = {stream: [] for stream in makers}
    for step in range(4):
        for stream, make in makers.items():
            for _ in range(rng.choice((0, 1, 1, 2, 3))):
                first, count = len(sent[stream]), rng.randrange(1, 60)
                fresh = [make(rng, first + n, step * 60 + n / 2) for n in range(count)]
                again = rng.sample(sent[stream], k=min(len(sent[stream]), rng.randrange(0, 12)))
                events = [*fresh, *again, *rng.sample(fresh, k=len(fresh) // 9), Event(None, START)]
                rng.shuffle(events)
                warehouse.raw.add(stream, events, partitions=rng.choice((1, 3)))
                sent[stream] += fresh
        warehouse.dbt("run")
    incremental = {table: warehouse.rows(table) for table in TABLES}

    # The second seed, which `make test-all` runs, also asks the tests of the models.
    also = ("build", "--exclude", "resource_type:unit_test") if seed > 1 else ("run",)
    warehouse.dbt(*also, "--full-refresh")

    for table in TABLES:
        assert incremental[table] == warehouse.rows(table), table
        assert incremental[table], f"{table} is empty: the test shows nothing"
    assert any(row for row in warehouse.rows("marts.alerts", "closed_at") if row[0] is None)
