"""The marts of brokers that the demo has where their servers are (orchestration/demo/guests)."""

import shutil
from datetime import timedelta

import pytest

from ingestion.declare.file import load_streams
from orchestration.demo.guests import GUESTS
from tests.dbt_project.conftest import STREAMS, Warehouse
from tests.dbt_project.raw import START, Event


@pytest.mark.slow("builds the plant's models three times")
def test_the_marts_of_guests_are_what_a_full_refresh_gives(warehouse: Warehouse) -> None:
    for guest in GUESTS:
        shutil.copytree(guest.files / "dbt_project", warehouse.project, dirs_exist_ok=True)
        text = (guest.files / "streams.yml").read_text()
        (warehouse.project.parent / f"{guest.kind}.yml").write_text(text)
    theirs = [load_streams(warehouse.project.parent / f"{guest.kind}.yml") for guest in GUESTS]
    warehouse.declare((*STREAMS, *(stream for streams in theirs for stream in streams)))
    for batch in range(3):
        at = START + timedelta(minutes=batch)
        meters = [
            {
                "meter_reading_id": f"{batch}-{n}",
                "line_id": f"line-{n % 2}",
                "energy_kwh": 100 + batch + n / 8,
            }
            for n in range(8)
        ]
        scans = [
            {"scan_id": f"o{n}-{stage}", "order_id": f"o{n}", "carrier": "post", "stage": stage}
            for n, stage in ((batch, "picked_up"), (batch - 1, "delivered"), (0, "picked_up"))
        ]
        warehouse.raw.add("energy_meters", [Event(each | {"read_at": at.isoformat()}, at) for each in meters])
        warehouse.raw.add(
            "parcel_scans", [Event(each | {"scanned_at": at.isoformat()}, at) for each in scans]
        )
        warehouse.dbt("run", "--select", "+line_energy", "+order_shipping")
    tables = [guest.stream.mart for guest in GUESTS]
    before = {table: warehouse.rows(table) for table in tables}
    warehouse.dbt("build", "--full-refresh", "--select", "+line_energy", "+order_shipping")
    assert before == {table: warehouse.rows(table) for table in tables}
    assert warehouse.rows("marts.line_energy", "line_id, readings, used_kwh") == [
        ("line-0", 12, 2.75), ("line-1", 12, 2.75),
    ]  # fmt: skip
    for guest in GUESTS:
        ((counted,),) = warehouse.lake.query(guest.stream.counts)
        ((staged,),) = warehouse.lake.query(f"select count(*) from {guest.stream.staging}")
        assert counted == staged > 3
