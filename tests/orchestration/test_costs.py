"""What is shown as cost: the CPU of each batch, model and check, as runs record it."""

import json
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import psutil
import pytest
from dagster import (
    AssetCheckResult,
    AssetKey,
    DagsterInstance,
    MaterializeResult,
    OpExecutionContext,
    job,
    op,
)

from ingestion.settings import Settings
from orchestration.cli.costs import show_costs
from orchestration.keys import CPU_METADATA, raw_key
from orchestration.records import cost_history as history
from orchestration.records import cost_hours
from orchestration.records.cost_history import CostHistory, cost_history
from orchestration.records.cost_hours import keep_costs
from orchestration.records.costs import Cost, ServiceCost, costs_since, service_costs
from orchestration.records.reader import DagsterRecords
from orchestration.records.system_state import ServiceRow
from orchestration.run.recorded import materialization, recorded

MART = AssetKey(["marts", "orders"])
HOUR = timedelta(hours=1)


def burn(seconds: float) -> None:
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


def checks() -> Iterator[MaterializeResult[None] | AssetCheckResult]:
    yield MaterializeResult(asset_key=MART, metadata={CPU_METADATA: 0.5})
    burn(0.2)
    yield AssetCheckResult(asset_key=MART, check_name="slow", passed=True)
    yield AssetCheckResult(asset_key=MART, check_name="quick", passed=True)
    yield AssetCheckResult(asset_key=MART, check_name="test", passed=True, metadata={CPU_METADATA: 0.25})


@op
def cycles(context: OpExecutionContext) -> None:
    for _ in range(2):
        batch = {CPU_METADATA: 0.1, "batch_events_read": 50}
        context.log_event(materialization(raw_key("orders"), batch, version=None))
        for event in recorded(checks()):
            context.log_event(event)
    earlier = AssetKey(["marts", "of_an_earlier_release"])
    context.log_event(materialization(earlier, {"seconds": 1.0}, version=None))


@job
def streams() -> None:
    cycles()


def test_costs_are_summed_over_cycles(
    settings: Settings, instance: DagsterInstance, capsys: pytest.CaptureFixture[str]
) -> None:
    assert streams.execute_in_process(instance=instance).success
    records, now = DagsterRecords(settings), datetime.now(UTC)
    try:
        found = {(cost.kind, cost.name): cost for cost in costs_since(records, now - HOUR)}
        assert costs_since(records, now + HOUR) == []
    finally:
        records.close()
    assert found["stream", "orders"] == Cost("stream", "orders", 2, 0.2, 100)
    assert found["stream", "orders"].per_million == pytest.approx(2_000)
    assert found["model", "marts/orders"] == Cost("model", "marts/orders", 2, 1.0)
    assert found["check", "marts/orders: test"].cpu_seconds == 0.5
    slow, quick = (found["check", f"marts/orders: {name}"] for name in ("slow", "quick"))
    assert slow.times == 2
    assert slow.cpu_seconds >= 0.4
    assert quick.cpu_seconds < slow.cpu_seconds
    assert len(found) == 5
    show_costs(settings, as_json=False)
    shown = capsys.readouterr().out
    assert "for 100 events" in shown
    assert "2,000" in shown
    show_costs(settings, as_json=True)
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert document["services"] == []  # nothing runs
    assert {cost["name"] for cost in document["costs"]} == {name for _, name in found}


def test_a_service_s_cores_are_those_of_its_processes() -> None:
    me = psutil.Process()
    rows = [ServiceRow("mine", True, me.pid, 0, ""), ServiceRow("down", False, None, 0, "")]
    (cost,) = service_costs(rows)
    assert isinstance(cost, ServiceCost)
    assert cost.cpu_seconds >= sum(me.cpu_times()[:2]) * 0.5
    assert cost.cores == pytest.approx(cost.cpu_seconds / (time.time() - me.create_time()), rel=0.2)


def asked(settings: Settings, *, days: float = 7.0) -> CostHistory:
    with closing(DagsterRecords(settings)) as records:
        now = datetime.now(UTC)
        return cost_history(records, since=now - timedelta(days=days), now=now)


def numbers(costs: CostHistory) -> dict[str, tuple[int, float, int]]:
    return {each.name: (each.times, round(each.cpu_seconds, 6), each.events) for each in costs.costs}


def test_what_is_kept_by_the_hour_stays_when_runs_go(settings: Settings, instance: DagsterInstance) -> None:
    assert asked(settings).costs == []
    run = streams.execute_in_process(instance=instance).run_id
    before = asked(settings)
    with closing(DagsterRecords(settings)) as records:
        assert before.costs == costs_since(records, datetime.now(UTC) - HOUR)
    assert keep_costs(instance) == 0, "the newest events wait"
    assert keep_costs(instance, unsettled=0) == 11
    assert keep_costs(instance, unsettled=0) == 0, "each is counted once"
    assert numbers(asked(settings)) == numbers(before)
    instance.delete_run(run)
    assert numbers(asked(settings)) == numbers(before)
    streams.execute_in_process(instance=instance)
    after = numbers(asked(settings))
    assert after["orders"] == (4, 0.4, 200)
    keep_costs(instance, unsettled=0)
    assert numbers(asked(settings)) == after
    (kinds,) = asked(settings).hours.values()
    assert kinds["model"] == pytest.approx(2.0)
    assert asked(settings, days=-1.0).costs == []


def test_an_old_hour_is_its_own_and_goes_in_the_end(settings: Settings, instance: DagsterInstance) -> None:
    streams.execute_in_process(instance=instance)
    with instance.event_log_storage.index_connection() as connection:
        connection.exec_driver_sql("update event_logs set timestamp = timestamp - interval '3 days'")
    keep_costs(instance, unsettled=0)
    streams.execute_in_process(instance=instance)
    week, day = asked(settings), asked(settings, days=1.0)
    assert len(week.hours) == 2
    assert numbers(week)["orders"][0] == 2 * numbers(day)["orders"][0] == 4
    assert datetime.now(UTC) - week.start >= timedelta(days=3)
    with instance.event_log_storage.index_connection() as connection:
        connection.exec_driver_sql("update millrace.costs set hour = hour - interval '90 days'")
    keep_costs(instance, unsettled=0)
    assert numbers(asked(settings, days=1000.0))["orders"][0] == 2


def test_a_history_of_more_events_than_are_read_says_where_it_ends(
    settings: Settings, instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    streams.execute_in_process(instance=instance)
    whole = asked(settings)
    monkeypatch.setattr(cost_hours, "_PAGE", 2)
    monkeypatch.setattr(history, "_PAGE", 2)
    monkeypatch.setattr(history, "_MOST_PAGES", 2)
    part = asked(settings)
    assert part.end < whole.end
    assert sum(times for times, *_ in numbers(part).values()) == 4
    keep_costs(instance, unsettled=0)
    assert numbers(asked(settings)) == numbers(whole)
