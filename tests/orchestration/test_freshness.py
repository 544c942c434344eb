"""The freshness check on a real lake: which batches count, what is reported, what the status shows of it."""

import io
from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest
from dagster import AssetCheckKey, AssetCheckResult, AssetKey
from rich.console import Console

from ingestion.lake.lake import Lake
from ingestion.lake.loader import Loader
from ingestion.log.envelope import BATCH_SCHEMA
from orchestration.checks.freshness import Budget, FreshnessMeter
from orchestration.cli.tables import models_table
from orchestration.dbt.lineage import Lineage
from orchestration.records.reader import AssetRecord, CheckRecord

T0 = datetime(2026, 5, 4, 12, tzinfo=UTC)
FAST, SLOW = AssetKey(["marts", "fast"]), AssetKey(["marts", "slow"])
LEFT, RIGHT = AssetKey(["staging", "stg_left"]), AssetKey(["staging", "stg_right"])
EVERY = frozenset({FAST, SLOW, LEFT, RIGHT})


def seconds(number: float) -> datetime:
    return T0 + timedelta(seconds=number)


class Scene:
    """A ledger to which a test adds batches, and a meter of two marts."""

    def __init__(self, lake: Lake) -> None:
        lake.prepare([])
        self.lake, self.loader = lake, Loader(lake)
        budgets = {
            FAST: Budget(5.0, {"left": frozenset({LEFT, FAST})}),
            SLOW: Budget(60.0, {"left": frozenset({LEFT, SLOW}), "right": frozenset({RIGHT, SLOW})}),
        }
        self.meter = FreshnessMeter(budgets, since=T0)

    def batch(self, stream: str, batch_id: int, *, event: float | None, began: float, read: float) -> None:
        numbers = [field.name for field in BATCH_SCHEMA if pa.types.is_integer(field.type)]
        row = dict.fromkeys(numbers, 0) | {
            "stream": stream, "batch_id": batch_id, "source_partition": "p", "log_id": "", "events_landed": 1,
            "first_event_time": None if event is None else seconds(event),
            "last_event_time": None if event is None else seconds(event),
            "started_at": seconds(began), "ingested_at": seconds(read),
        }  # fmt: skip
        self.loader.load(stream, {"batches": pa.Table.from_pylist([row], schema=BATCH_SCHEMA)})

    def built(
        self, began: float, visible: float, models: AbstractSet[AssetKey] = EVERY
    ) -> dict[AssetKey, AssetCheckResult]:
        self.meter.built(self.lake, models, began_at=seconds(began), visible_at=seconds(visible))
        return keyed(self.meter.run())


def keyed(results: Iterable[AssetCheckResult]) -> dict[AssetKey, AssetCheckResult]:
    return {result.asset_key: result for result in results if result.asset_key is not None}


@pytest.fixture
def scene(lake: Lake) -> Scene:
    return Scene(lake)


def test_a_mart_is_warned_of_when_its_events_were_too_old(scene: Scene) -> None:
    scene.batch("left", 1, event=-3, began=1, read=1.5)
    results = scene.built(2.0, 4.0)
    assert (results[FAST].passed, results[SLOW].passed) == (False, True)
    assert results[FAST].severity.value == "WARN"
    numbers = {name: value.value for name, value in results[FAST].metadata.items()}
    assert numbers["measured"] == 7.0
    hops = ("waiting_seconds", "reading_seconds", "loading_seconds", "building_seconds")
    assert [numbers[hop] for hop in hops] == [4.0, 0.5, 0.5, 2.0]
    assert "7.0 s" in str(results[FAST].description)


def test_a_batch_without_a_plausible_time_counts_from_when_it_was_read(scene: Scene) -> None:
    scene.batch("left", 1, event=None, began=1, read=1.5)
    assert scene.built(2.0, 4.0)[FAST].metadata["measured"].value == 3.0
    scene.batch("left", 2, event=None, began=5, read=5.5)
    results = scene.built(60.0, 61.0, {LEFT, FAST})
    assert results == {}  # reported a moment ago
    assert keyed(scene.meter.run(pause_seconds=0))[FAST].passed is False


def test_batches_of_earlier_runs_and_batches_that_models_have_not_seen_do_not_count(scene: Scene) -> None:
    scene.batch("left", 1, event=-900, began=-800, read=-799)
    scene.batch("right", 1, event=1, began=2, read=3)
    assert scene.built(2.5, 4.0) == {}
    assert set(scene.built(5.0, 6.0)) == {SLOW}


def test_a_mart_that_was_not_built_shows_nothing(scene: Scene) -> None:
    scene.batch("left", 1, event=1, began=2, read=3)
    assert set(scene.built(3, 4, {LEFT, FAST})) == {FAST}
    assert scene.built(5, 6, {RIGHT, SLOW}) == {}  # not from what is new of its other stream
    scene.batch("left", 2, event=7, began=8, read=9)
    late = scene.built(10, 11, {LEFT, SLOW})[SLOW]
    assert late.metadata["measured"].value == 10.0  # from the first batch on, which it had not shown


def test_a_view_shows_what_the_tables_before_it_hold(lake: Lake) -> None:
    scene = Scene(lake)
    scene.meter = FreshnessMeter({FAST: Budget(5.0, {"left": frozenset({LEFT})})}, since=T0)
    scene.batch("left", 1, event=1, began=2, read=3)
    assert scene.built(3, 4, {RIGHT}) == {}
    assert scene.built(5, 6, {LEFT})[FAST].metadata["measured"].value == 5.0


def test_a_budget_knows_the_tables_on_the_way() -> None:
    view, other = AssetKey(["marts", "view"]), AssetKey(["marts", "other"])
    lineage = Lineage(
        keys={},
        followers={"left": frozenset({LEFT, FAST, view, other}), "right": frozenset({RIGHT, SLOW})},
        tables=EVERY | {other},
        following={
            LEFT: frozenset({FAST, view, other}),
            FAST: frozenset({view}),
            RIGHT: frozenset({SLOW}),
            other: frozenset(),
        },
    )
    assert lineage.tables_before(view) == {"left": {LEFT, FAST}}
    assert lineage.tables_before(SLOW) == {"right": {RIGHT, SLOW}}


def test_only_the_checks_that_a_run_selected_are_reported(scene: Scene) -> None:
    scene.batch("left", 1, event=1, began=2, read=3)
    scene.meter.built(scene.lake, EVERY, began_at=seconds(4), visible_at=seconds(5))
    selected = {AssetCheckKey(SLOW, "freshness_budget")}
    assert set(keyed(scene.meter.run(only=selected))) == {SLOW}
    assert set(keyed(scene.meter.run())) == {FAST}


def test_between_reports_the_worst_is_kept(scene: Scene) -> None:
    scene.batch("left", 1, event=1, began=1.1, read=1.2)
    assert scene.built(1.5, 2.0)[FAST].passed
    scene.batch("left", 2, event=2, began=8, read=8.1)
    assert scene.built(8.5, 9.0) == {}
    scene.batch("left", 3, event=9, began=9.2, read=9.3)
    assert scene.built(9.5, 10.0) == {}
    last = keyed(scene.meter.run(pause_seconds=0))
    assert last[FAST].metadata["measured"].value == 7.0
    assert keyed(scene.meter.run(pause_seconds=0)) == {}


def test_the_status_shows_the_budget_and_where_the_time_went() -> None:
    numbers = {
        "measured": 7.04, "budget_seconds": 5.0, "waiting_seconds": 4.0, "reading_seconds": 0.51,
        "loading_seconds": 0.52, "building_seconds": 2.01,
    }  # fmt: skip
    check = CheckRecord("marts/fast", "freshness_budget", "warned", "", numbers, checked_at=T0)
    console = Console(width=140, record=True, file=io.StringIO())
    console.print(
        models_table([AssetRecord("marts/fast", T0), AssetRecord("staging/x", T0)], [check], now=T0)
    )
    _, mart, staging = console.export_text().splitlines()
    assert mart.split() == ["marts/fast", "0s", "ago", "5", "7.0", "4.0", "0.5", "0.5", "2.0"]
    assert staging.split() == ["staging/x", "0s", "ago"]
