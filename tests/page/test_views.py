"""What the pages say, of values: before the first run, while all is well, and while much is wrong."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from ingestion.serve.shelf import Mart
from orchestration.conditions.condition import Condition, Finding
from orchestration.page.look import Look, Reach, Version
from orchestration.page.views.conditions import open_tiles, over_tiles
from orchestration.page.views.overview import overview_tiles
from orchestration.records.overview import Overview, StreamRow
from orchestration.records.reader import AssetRecord, CheckRecord, RunRecord
from orchestration.records.system_state import ServiceRow, SystemState
from tests.page.reading import elements, shown, texts

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
NOTHING = Look(NOW, Overview("/data", running=True, demo=False, ui_url=""))
STATE = SystemState(1, "up", "", NOW.isoformat())


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


def late(outcome: str = "warned") -> CheckRecord:
    numbers = {
        "budget_seconds": 5.0, "measured": 10.0, "waiting_seconds": 6.0, "reading_seconds": 1.0,
        "loading_seconds": 1.0, "building_seconds": 2.0,
    }  # fmt: skip
    return CheckRecord("marts/totals", "freshness_budget", outcome, "the oldest event", numbers, ago(3))  # type: ignore[arg-type]


BUSY = Look(
    NOW,
    Overview(
        "/data", running=True, demo=False, ui_url="http://127.0.0.1:3000",
        services=(ServiceRow("daemon", True, 7, 1, ""), ServiceRow("web", False, None, 0, "it ended")),
        streams=(
            StreamRow("orders", "kafka", 9, 1234, 12.5, 50_000, 3, 2, 9, ago(4), ago(8)),
            StreamRow("broken", "mqtt", error="its log does not answer in time"),
        ),
        models=(AssetRecord("marts/totals", ago(7)), AssetRecord("ops/ops_lag", ago(9))),
        checks=(late(), CheckRecord("raw/orders", "complete", "passed", "", {}, ago(2))),
        runs=(RunRecord("0123456789", "refresh", "SUCCESS", "", ago(9), ago(8), ago(5)),),
    ),
    Version(4711, ago(6)),
    {"orders": 20.25},
    {name: Mart(name, "marts", name, ("orders", "rates")) for name in ("totals", "ops_lag")},
    {"totals": Reach({"orders": ago(30), "rates": ago(20)}, {"orders": ago(9), "rates": ago(60)})},
)  # fmt: skip


def test_before_the_first_event_every_tile_says_what_comes_next() -> None:
    tiles = overview_tiles(NOTHING)
    assert "millrace add" in shown(tiles["streams"])
    for name in ("marts", "checks", "runs"):
        assert "first" in shown(tiles[name]), name


def test_a_stream_has_rate_lag_and_the_age_of_its_oldest_unread_event() -> None:
    said = shown(overview_tiles(BUSY)["streams"])
    assert "orders kafka 20.2 1,234 12 s 50,000 2 4s ago 8s ago" in said
    assert "broken mqtt – ? ? 0 0 never never its log does not answer in time" in said
    assert "version 4,711 of the lake" in said


def test_a_mart_has_its_freshness_its_hops_and_how_far_it_follows_its_latest_stream() -> None:
    tile = overview_tiles(BUSY)["marts"]
    assert "totals 7s ago 10 s 5 s" in shown(tile)
    (drawing,) = [given for name, given in elements(tile) if name == "svg"]
    assert drawing["aria-label"] == "waiting 6.0 s, reading 1.0 s, loading 1.0 s, building 2.0 s"
    widths = [given["width"] for name, given in elements(tile) if name == "rect"]
    assert widths == ["60.00", "10.00", "10.00", "20.00", "0.6"]
    assert shown(tile).index("11:59:30") < shown(tile).index("11:59:00"), "fresh to, then complete to"
    assert "ops_lag 9s ago" in shown(tile)


def test_the_way_to_postgresql_is_the_last_hop_and_outside_the_budget() -> None:
    tile = overview_tiles(replace(BUSY, overview=replace(BUSY.overview, publishing={"totals": 10.0})))[
        "marts"
    ]
    (drawing,) = [given for name, given in elements(tile) if name == "svg"]
    assert drawing["aria-label"].endswith("building 2.0 s, publishing 10.0 s")
    widths = [given["width"] for name, given in elements(tile) if name == "rect"]
    assert widths == ["30.00", "5.00", "5.00", "10.00", "50.00", "0.6"]
    assert "building publishing budget" in shown(tile)
    assert "publishing" not in shown(overview_tiles(BUSY)["marts"])


def test_what_is_wrong_is_said_with_sentence_age_and_remedy_and_the_worst_first() -> None:
    found = [
        Condition(1, Finding("check_failing", "raw/orders", "a check failed", "look at it"), ago(60)),
        Condition(2, Finding("service_down", "daemon", "daemon does not run", "wait"), ago(30)),
        Condition(3, Finding("disk_low", "/", "the disk is full"), ago(90), closed=ago(50)),
    ]
    tiles = open_tiles(found, STATE, view="overview", now=NOW)
    said = shown(tiles["conditions"])
    assert said.index("daemon does not run") < said.index("a check failed")
    assert "since 30s ago daemon does not run wait" in said
    assert "disk" not in said
    assert shown(tiles["state"]) == "2 things do not work"
    assert list(open_tiles(found, STATE, view="flow", now=NOW)) == ["state"]
    over = shown(over_tiles(found, now=NOW)["journal"])
    assert "50s ago 40 s a disk is nearly full / the disk is full" in over


def test_all_is_well_only_where_something_runs() -> None:
    assert shown(open_tiles([], STATE, view="overview", now=NOW)["state"]) == "everything works"
    stopped = open_tiles([], None, view="overview", now=NOW)
    for tile in stopped.values():
        assert "Nothing runs on this data folder" in shown(tile)


def test_what_cannot_be_read_is_the_first_tile() -> None:
    away = replace(NOTHING, overview=replace(NOTHING.overview, errors=("the catalog is <away>",)))
    first, tile = next(iter(overview_tiles(away).items()))
    assert first == "errors"
    assert "the catalog is <away>" in texts(tile)
