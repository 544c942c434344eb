"""The example `shop` on events: what it counts, in small batches and after a full refresh."""

from datetime import timedelta
from pathlib import Path

from ingestion.declare.file import load_streams
from ingestion.lake.lake import Lake
from ingestion.settings import Settings
from orchestration.scaffold.new import create_project
from tests.dbt_project.conftest import explain, run_dbt
from tests.dbt_project.raw import START, Event, RawWriter


def ordered(number: int, euros: str) -> Event:
    payload = {"order_id": f"o-{number}", "customer": {"name": "Ada"}, "amount_eur": euros}
    return Event(payload | {"ordered_at": START.isoformat()}, START)


def delivered(number: int, order: int, hours: float, *, clock_ahead: timedelta = timedelta(0)) -> Event:
    at = START + timedelta(hours=hours)
    payload = {"delivery_id": f"d-{number}", "order_id": f"o-{order}", "carrier": "bike"}
    return Event(payload | {"delivered_at": (at + clock_ahead).isoformat()}, at)


def test_its_mart_joins_what_comes_in_any_order(tmp_path: Path, lake: Lake, settings: Settings) -> None:
    create_project(tmp_path / "shop", example="shop")
    dbt = tmp_path / "shop" / "dbt_project"
    lake.prepare(stream.name for stream in load_streams(tmp_path / "shop" / "streams.yml"))
    lake.publish_access()
    raw = RawWriter(lake)

    def built(*options: str) -> list[tuple[object, ...]]:
        done = run_dbt(dbt, settings.data_dir, "build", *options)
        assert done.success, explain(done)
        columns = "order_id, amount_eur::varchar, hours_to_delivery"
        return lake.query(f"select {columns} from marts.order_delivery order by all")

    years = timedelta(days=3653)
    raw.add("deliveries", [delivered(1, 2, 5.0, clock_ahead=years)])  # before its order
    raw.add("orders", [ordered(1, "19.90")])
    assert built() == [("o-1", "19.90", None)]
    raw.add("orders", [ordered(2, "5.00"), ordered(1, "19.90")])
    assert built() == [("o-1", "19.90", None), ("o-2", "5.00", 5.0)]
    raw.add("deliveries", [delivered(2, 1, 2.5), delivered(3, 1, 30.0), delivered(4, 99, 1.0)])
    assert built() == [("o-1", "19.90", 2.5), ("o-2", "5.00", 5.0)]
    options = ("--full-refresh", "--vars", "{ops_window_hours: 100000}")
    assert built(*options) == [("o-1", "19.90", 2.5), ("o-2", "5.00", 5.0)]
    assert lake.query("select stream, events from marts.ops_lateness order by all") == [
        ("deliveries", 4), ("orders", 2),
    ]  # fmt: skip
