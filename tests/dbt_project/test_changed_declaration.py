"""A changed declaration reaches what is staged already: staging and what follows are built again from raw."""

import shutil
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from ingestion.declare.stream import Stream
from orchestration.dbt.columns import STAGING_COLUMNS
from tests.dbt_project.conftest import Warehouse
from tests.dbt_project.raw import START, Event

VIEW = "select * from {{ ref('stg_orders') }}\n"
MART = """
{{ config(unique_key='id', contract={'enforced': false}) }}
select
    id,
    count(*) as events,
    max(quantity)::varchar as quantity,
    max(batch_id) as last_batch_id
from {{ ref('int_orders') }}
where batch_id > {{ watermark(this, 'last_batch_id') }}
group by id
"""
FIELDS: dict[str, Any] = {"id": "varchar", "at": "timestamp", "quantity": "bigint"}


def orders(fields: dict[str, Any], **values: Any) -> Stream:
    """The declaration of a stream."""
    declared = {"source": {"kafka": "orders"}, "event_time": "at", "business_id": ["id"], "fields": fields}
    return Stream.model_validate({"name": "orders"} | declared | values)


def order(number: int, quantity: object, **values: object) -> Event:
    """An event of it."""
    at = START + timedelta(minutes=number)
    return Event({"id": f"o-{number}", "at": at.isoformat(), "quantity": quantity} | values, at)


@pytest.fixture
def changing(new_warehouse: Callable[[], Warehouse]) -> Warehouse:
    """A project with one stream, its staging, a view and an incremental mart, built once."""
    warehouse = new_warehouse()
    for folder in ("models", "tests", "seeds"):
        shutil.rmtree(warehouse.project / folder)
    for folder in ("staging", "intermediate", "marts"):
        (warehouse.project / "models" / folder).mkdir(parents=True)
    warehouse.write_model("staging/stg_orders.sql", "{{ staging('orders') }}\n")
    warehouse.write_model("intermediate/int_orders.sql", VIEW)
    warehouse.write_model("marts/quantities.sql", MART)
    warehouse.declare((orders(FIELDS),))
    return warehouse


def build(warehouse: Warehouse, *events: Event, target: str = "prod") -> None:
    """Land a batch, if there are events, and run plain dbt."""
    if events:
        warehouse.raw.add("orders", list(events))
    warehouse.dbt("build", "--exclude", "package:millrace", target=target)


def quantities(warehouse: Warehouse, schema: str = "marts") -> dict[str, str | None]:
    """What the mart shows: id → quantity."""
    return dict(warehouse.rows(f"{schema}.quantities", "id, quantity"))


def test_a_type_changes_and_changes_again(changing: Warehouse) -> None:
    build(changing, order(1, 1), order(2, 2.5), order(3, "many"))
    assert quantities(changing) == {"o-1": "1", "o-2": None, "o-3": None}
    changing.declare((orders(FIELDS | {"quantity": "double"}),))
    # Alone, a mart waits for its staging: it would be built of the old rows and count as new.
    changing.dbt("run", "--select", "quantities")
    assert quantities(changing) == {"o-1": "1", "o-2": None, "o-3": None}
    build(changing, order(4, 1.5))
    assert quantities(changing) == {"o-1": "1.0", "o-2": "2.5", "o-3": None, "o-4": "1.5"}
    assert changing.rows("staging.stg_orders", "cast_errors")[-1] == (["quantity"],)
    changing.declare((orders(FIELDS | {"quantity": "varchar"}),))
    build(changing, order(5, "a few"))
    assert quantities(changing) == {"o-1": "1", "o-2": "2.5", "o-3": "many", "o-4": "1.5", "o-5": "a few"}


TOWN = {"type": "varchar", "path": "to.town"}
CHANGES: dict[str, tuple[Stream, list[tuple[Any, ...]]]] = {
    "a field is added": (orders(FIELDS | {"town": TOWN}), [(1, 1, "Ulm"), (2, 2, "Bonn")]),
    "it is renamed": (orders(FIELDS | {"place": TOWN}), [(1, 1, "Ulm"), (2, 2, "Bonn")]),
    "its path changes": (
        orders(FIELDS | {"place": {"type": "varchar", "path": "from.town"}}),
        [(1, 1, "Kiel"), (2, 2, None)],
    ),
    "it is removed": (orders(FIELDS), [(1, 1), (2, 2)]),
    "a type changes": (orders(FIELDS | {"quantity": "varchar"}), [(1, "1"), (2, "2")]),
    "another identity": (orders(FIELDS, business_id=["quantity"]), [(1, 1), (2, 2)]),
    "another time": (orders(FIELDS, event_time=None), [(9, 1), (9, 2)]),
    "another source": (orders(FIELDS, source={"kafka": "orders_v2"}), [(1, 1), (2, 2)]),
}


@pytest.mark.slow("the project is parsed and built once for each of seven changes")
def test_each_change_reaches_the_rows_that_are_there(changing: Warehouse) -> None:
    """In one table, one change after the other, without a new event."""
    (changing.project / "models" / "marts" / "quantities.sql").unlink()
    sent = START + timedelta(minutes=9)
    towns: tuple[dict[str, Any], ...] = (
        {"to": {"town": "Ulm"}, "from": {"town": "Kiel"}},
        {"to": {"town": "Bonn"}},
    )
    for number, more in enumerate(towns, start=1):
        changing.raw.add("orders", [Event(order(number, number, **more).payload, sent)])
    for change, (declared, expected) in CHANGES.items():
        changing.declare((declared,))
        changing.dbt("run", "--select", "stg_orders")
        usual = ", ".join((*STAGING_COLUMNS, "id", '"at"'))
        columns = f"minute(event_at), columns(* exclude ({usual}))"
        assert changing.rows("staging.stg_orders", columns) == expected, change


def test_identity_decides_again_what_is_one_event(changing: Warehouse) -> None:
    twice = {"source": {"kafka": "orders"}, "event_time": "at", "fields": FIELDS, "name": "orders"}
    build(changing, order(1, 1), order(1, 1), order(2, 2))
    changing.declare((Stream.model_validate(twice),))
    build(changing)
    assert changing.rows("marts.quantities", "id, events") == [("o-1", 2), ("o-2", 1)]
    changing.declare((orders(FIELDS),))
    build(changing)
    assert changing.rows("marts.quantities", "id, events") == [("o-1", 1), ("o-2", 1)]


@pytest.mark.slow("the project is built four times, in two schemas")
def test_a_modeller_s_own_tables_follow_and_production_s_stay(changing: Warehouse) -> None:
    build(changing, order(1, 1.5))
    build(changing, target="dev")
    changing.declare((orders(FIELDS | {"quantity": "double"}),))
    build(changing, target="dev")
    assert quantities(changing, "dev_ada_l") == {"o-1": "1.5"}
    assert quantities(changing) == {"o-1": None}
    build(changing)
    assert quantities(changing) == {"o-1": "1.5"}


def test_a_build_that_dies_leaves_the_old_rows_and_their_edition(changing: Warehouse) -> None:
    build(changing, order(1, 1.5))
    before = changing.rows("raw._editions")
    changing.declare((orders(FIELDS | {"quantity": "double"}),))
    model = "staging/stg_orders.sql"
    changing.write_model(model, "{{ staging('orders') }}\nwhere error('dead')\n")
    assert not changing.dbt("run", "--select", "stg_orders", check=False).success
    assert changing.rows("raw._editions") == before
    assert changing.rows("staging.stg_orders", "quantity, cast_errors") == [(None, ["quantity"])]
    changing.write_model(model, "{{ staging('orders') }}\n")
    build(changing)
    assert quantities(changing) == {"o-1": "1.5"}


def test_tables_of_an_earlier_release_are_built_again_once(changing: Warehouse) -> None:
    build(changing, order(1, 1))
    changing.lake.query("delete from lake.raw._editions")
    changing.lake.query("update lake.staging.stg_orders set quantity = 7")
    build(changing, order(2, 2))
    assert quantities(changing) == {"o-1": "1", "o-2": "2"}
    snapshot = changing.lake.snapshot_id()
    build(changing)
    assert changing.lake.snapshot_id() == snapshot


@pytest.mark.slow("the project is parsed and built twice more")
def test_a_project_of_an_earlier_release_goes_on_as_it_did(changing: Warehouse) -> None:
    forwarders = changing.project / "macros" / "millrace.sql"
    lines = forwarders.read_text().splitlines()
    forwarders.write_text("\n".join(line for line in lines if "should_full_refresh" not in line))
    build(changing, order(1, 1))
    changing.lake.query("alter table lake.staging.stg_orders drop column payload_hash")
    changing.declare((orders(FIELDS | {"town": "varchar"}),))
    build(changing, order(2, 2, town="Ulm"), order(1, 1))
    assert changing.rows("staging.stg_orders", "id, town") == [("o-1", None), ("o-2", "Ulm")]
