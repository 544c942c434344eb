"""What is shown as cost: the CPU of each batch, model and check, as runs record it."""

import json
import time
from collections.abc import Iterator
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
from orchestration.records.costs import Cost, ServiceCost, costs_since, service_costs
from orchestration.records.reader import DagsterRecords
from orchestration.records.system_state import ServiceRow
from orchestration.run.recorded import materialization, recorded
from orchestration.system.instance import dagster_environment, prepare_instance

MART = AssetKey(["marts", "orders"])
HOUR = timedelta(hours=1)


@pytest.fixture
def instance(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[DagsterInstance]:
    for name, value in dagster_environment(settings).items():
        monkeypatch.setenv(name, value)
    with DagsterInstance.from_config(str(prepare_instance(settings))) as instance:
        yield instance


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
