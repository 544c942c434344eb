"""Alerts of a rule: whatever batches bring, in whatever order, they are what is computed over all."""

import random
import shutil
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from itertools import groupby
from operator import ge, gt, itemgetter, le, lt

import pytest

from ingestion.declare.stream import Stream
from tests.dbt_project.conftest import Warehouse
from tests.dbt_project.raw import START, Event

RULES = """rule_id,metric,operator,threshold,close_threshold,for_seconds,min_readings,severity,description
hot,v,>,6,1,2,1,critical,
warm,v,>=,6,,0,2,warning,
cold,v,<,2,4,0,1,warning,
least,v,<=,1,,1000,1,warning,
"""
STREAM = Stream.model_validate(
    {
        "name": "readings",
        "source": {"kafka": "readings"},
        "event_time": "at",
        "fields": {"device": "varchar", "v": "double", "at": "timestamp"},
    }
)
BEYOND = {">": gt, ">=": ge, "<": lt, "<=": le}
HOVERS = [(0, 9.0), (3, 9.0), (700, 4.0), (1300, 5.0), (1900, 1.0)]
"""Seconds and values: between both thresholds for half an hour."""
Reading = tuple[str, datetime, float | None]
Episode = tuple[str, str, datetime, datetime | None, int]


def expected(readings: Iterable[Reading]) -> list[Episode]:
    """The alerts, computed reading by reading: rule, device, opened, closed, breaches."""
    found = list[Episode]()
    for line in RULES.splitlines()[1:]:
        rule, _, operator, threshold, close, least_seconds, least_readings, _, _ = line.split(",")
        beyond = BEYOND[operator]

        def add(device: str, breaches: list[datetime], closed: datetime | None) -> None:
            lasted = breaches[-1] - breaches[0]
            if lasted.total_seconds() >= float(least_seconds) and len(breaches) >= int(least_readings):  # noqa: B023
                found.append((rule, device, breaches[0], closed, len(breaches)))  # noqa: B023

        for device, of_device in groupby(sorted(readings, key=itemgetter(0)), key=itemgetter(0)):
            breaches = list[datetime]()
            for at, at_once in groupby(sorted(of_device, key=itemgetter(1)), key=itemgetter(1)):
                values = [value for _, _, value in at_once if value is not None]
                if broken := [value for value in values if beyond(value, float(threshold))]:
                    breaches += [at] * len(broken)
                elif breaches and any(not beyond(value, float(close or threshold)) for value in values):
                    add(device, breaches, at)
                    breaches = []
            if breaches:
                add(device, breaches, None)
    return sorted(found, key=str)


@pytest.fixture(scope="module")
def ruled(new_warehouse: Callable[[], Warehouse]) -> Warehouse:
    """A project with nothing but a stream and its rules."""
    warehouse = new_warehouse()
    for folder in ("models", "tests", "seeds"):
        shutil.rmtree(warehouse.project / folder)
    for folder in ("models/staging", "models/intermediate", "models/marts", "seeds"):
        (warehouse.project / folder).mkdir(parents=True)
    (warehouse.project / "seeds" / "alert_rules.csv").write_text(RULES)
    warehouse.write_model("staging/stg_readings.sql", "{{ staging('readings') }}\n")
    common = "rules=ref('alert_rules'), key='device'"
    runs = f"{{{{ alert_runs(ref('stg_readings'), {common}, metrics=['v']) }}}}"
    warehouse.write_model("intermediate/int_alert_runs.sql", runs)
    warehouse.write_model(
        "marts/alerts.sql",
        f"{{{{ config(contract={{'enforced': false}}) }}}}{{{{ alerts(ref('int_alert_runs'), {common}) }}}}",
    )
    warehouse.declare((STREAM,))
    warehouse.dbt("seed")
    return warehouse


def drawn(rng: random.Random, now_seconds: float) -> Reading:
    late = rng.choices((0.0, rng.uniform(0, 60), rng.uniform(0, 7200)), (70, 20, 10))[0]
    at = START + timedelta(seconds=round(now_seconds - late))  # whole seconds: some readings coincide
    value = None if rng.random() < 0.03 else float(rng.choice((0, 1, 2, 3, 4, 5, 5, 6, 6, 7, 7, 8, 9)))
    return rng.choice(("a", "b", "o'dd*/ --;")), at, value


@pytest.mark.slow("dbt builds a batch at a time, and all at once")
@pytest.mark.parametrize("seed", [1, 2])
def test_batches_in_any_order_give_the_alerts_of_all_readings(ruled: Warehouse, seed: int) -> None:
    rng = random.Random(seed)
    ruled.lake.connection.execute("delete from lake.raw.readings")
    ruled.dbt("run", "--full-refresh")
    readings = list[Reading]()
    for step in range(4):
        fresh = [drawn(rng, 3600 * step + second) for second in range(rng.choice((1, 40, 120)))]
        fresh += [("hovers", START + timedelta(days=step, seconds=at), value) for at, value in HOVERS]
        ruled.raw.add(
            "readings",
            [Event({"device": device, "v": value, "at": at.isoformat()}, at) for device, at, value in fresh],
        )
        readings += fresh
        ruled.dbt("run")
    columns = "rule_id, device, opened_at, closed_at, readings"
    alerts = sorted(ruled.rows("marts.alerts", columns), key=str)
    assert [(*each[:2], *map(in_utc, each[2:4]), each[4]) for each in alerts] == expected(readings)
    state = ruled.rows("intermediate.int_alert_runs")
    ruled.dbt("run", "--full-refresh")
    assert ruled.rows("intermediate.int_alert_runs") == state
    assert {each[0] for each in alerts} >= {"hot", "warm", "cold"}, "the test shows nothing"
    assert any(each[3] is None for each in alerts)


def in_utc(at: datetime | None) -> datetime | None:
    return at and at.astimezone(START.tzinfo)
