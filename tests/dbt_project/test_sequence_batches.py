"""The model on a lake: whatever batches bring, in whatever order, it shows what is computed over all."""

import random
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from ingestion.declare.stream import Stream
from tests.dbt_project.conftest import Warehouse
from tests.dbt_project.raw import START, Event

FIELDS: dict[str, Any] = {
    "id": "varchar",
    "device": "varchar",
    "n": "bigint",
    "at": "timestamp",
    "v": "double",
}
MODELS = ("ops_sequence_runs", "ops_sequence_gaps", "ops_sequences")
FIGURES = "sender, last_number, expected, received, missing, duplicates, resets, late"


def stream(name: str, sequence: dict[str, Any], **values: Any) -> Stream:
    """A stream whose senders count."""
    counted = {"per": "device", "field": "n"} | sequence
    declared = {
        "name": name,
        "source": {"kafka": name},
        "fields": FIELDS,
        "event_time": "at",
        "sequence": counted,
    }
    return Stream.model_validate(declared | values)


STREAMS = (
    stream("byte", {"start": 0, "wraps_at": 255, "per": ["device", "id"]}),
    stream("first", {"start": 1}, business_id=["id"]),
    stream("last", {"start": 1}, business_id=["id"], on_conflict="last"),
)


def event(device: str, number: int | None, second: float, *, key: str = "x", value: float = 0.0) -> Event:
    """An event of a device."""
    at = START.replace(hour=23, minute=59) + timedelta(seconds=second)
    payload = {"id": key, "device": device, "n": number, "at": at.isoformat(), "v": value}
    return Event(payload, at)


@pytest.fixture(scope="module")
def counting(new_warehouse: Callable[[], Warehouse]) -> Warehouse:
    """A project with nothing but the streams' staging models."""
    warehouse = new_warehouse()
    for folder in ("models", "tests", "seeds"):
        shutil.rmtree(warehouse.project / folder)
    (warehouse.project / "models" / "staging").mkdir(parents=True)
    for each in STREAMS:
        warehouse.write_model(f"staging/stg_{each.name}.sql", f"{{{{ staging('{each.name}') }}}}\n")
    warehouse.declare(STREAMS)
    return warehouse


def contents(warehouse: Warehouse) -> dict[str, list[tuple[Any, ...]]]:
    """Everything that the models show."""
    return {name: warehouse.rows(f"marts.{name}") for name in MODELS}


def add(warehouse: Warehouse, name: str, events: list[Event], *, partitions: int = 1) -> None:
    """Append a batch whose events were all read at one time."""
    batch = warehouse.raw.batches.get(name, 0) + 1
    at = START + timedelta(days=30, minutes=batch)
    warehouse.raw.add(name, [replace(each, ingested_at=at) for each in events], partitions=partitions)


def series(rng: random.Random, name: str, *, most: int) -> list[Event]:
    """What two devices sent, in the order in which it came: with losses, restarts, repetitions and delays."""
    sent = []
    for device in (f"d1-{name}-{rng.random()}", f"d2-{name}"):
        number, second = rng.randrange(250), rng.uniform(0, 90)
        for _ in range(most):
            number = 1 if rng.random() < 0.05 else number + rng.choice((1, 1, 1, 1, 2, 5))
            second += rng.choice((0.5, 1, 20_000)) if rng.random() < 0.1 else 0.5
            shown = number % 256 if name == "byte" else number
            key = "x" if name == "byte" else f"{device}-{number}"
            if rng.random() < 0.9:
                sent.append(event(device, None if rng.random() < 0.02 else shown, second, key=key))
            if rng.random() < 0.1:  # again: as it was, otherwise, or under another number
                other = shown + rng.choice((0, 0, 3))
                sent.append(event(device, other, second, key=key, value=rng.randrange(2)))
    places = [at + (rng.randrange(40) if rng.random() < 0.3 else 0) for at in range(len(sent))]
    return [sent[at] for at in sorted(range(len(sent)), key=lambda at: (places[at], at))]


def law(warehouse: Warehouse, seed: int, *, most: int, builds: int) -> None:
    """Let batches come, with builds in between, and compare."""
    rng = random.Random(seed)
    sent = {each.name: series(rng, each.name, most=most) for each in STREAMS}
    size = max(map(len, sent.values())) // builds + 1
    for _ in range(builds):
        for name, events in sent.items():
            part, events[:size] = events[:size], []
            while part:
                taken = rng.randrange(1, size + 1)
                add(warehouse, name, part[:taken], partitions=rng.choice((1, 2)))
                del part[:taken]
        warehouse.dbt("run")
    incremental = contents(warehouse)
    warehouse.dbt("run", "--full-refresh", "--select", *MODELS)
    computed = contents(warehouse)
    for name in MODELS:
        assert incremental[name] == computed[name], name
    assert {row[6] for row in computed["ops_sequence_gaps"]} >= {"open", "partly", "filled"}


@pytest.mark.slow("a lake is built three times, beside all of its batches at once")
def test_any_order_and_any_batches_show_what_one_computation_shows(counting: Warehouse) -> None:
    law(counting, 1, most=40, builds=3)


@pytest.mark.slow("a lake is built ten times, beside all of its batches at once")
def test_many_batches_show_what_one_computation_shows(counting: Warehouse) -> None:
    law(counting, 2, most=60, builds=10)


def test_a_late_event_changes_its_sender_s_rows_and_no_others(counting: Warehouse) -> None:
    senders = '\'["a","x"]\', \'["b","x"]\''
    build = ("run", "--select", "stg_byte", *MODELS)

    def rows(model: str, columns: str) -> list[tuple[Any, ...]]:
        return counting.rows(f"marts.{model} where sender in ({senders})", columns)

    add(counting, "byte", [event("a", number, number) for number in (1, 2, 3, 4, 5)])
    add(counting, "byte", [event("b", number, number) for number in (1, 2, 5)])
    counting.dbt(*build)
    before = set(rows("ops_sequence_runs", "*, rowid"))
    add(counting, "byte", [event("b", 3, 3), event("b", 3, 3)])
    counting.dbt(*build)
    changed = before - set(rows("ops_sequence_runs", "*, rowid"))
    assert {row[1] for row in changed} == {'["b","x"]'}, "a's rows are the very same"
    assert rows("ops_sequence_gaps", "first_number, last_number, missing, state") == [
        (3, 3, 0, "filled"),
        (4, 4, 1, "partly"),
    ]
    figures = [(5, 5, 5, 0, 0, 0, 0), (5, 5, 5, 1, 1, 0, 1)]
    assert [row[1:] for row in rows("ops_sequences", FIGURES)] == figures
    counting.dbt(*build)
    assert [row[1:] for row in rows("ops_sequences", FIGURES)] == figures
