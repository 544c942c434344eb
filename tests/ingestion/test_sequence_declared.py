"""A declared sequence: what the macros get of it, and events that are made up count as it says."""

from datetime import UTC, datetime
from random import Random
from typing import Any

import pytest

from ingestion.declare.examples import example_payload
from ingestion.declare.sequence import SequenceSpec
from ingestion.declare.stream import Stream


def declared(**values: Any) -> dict[str, Any]:
    """What the macros get."""
    return SequenceSpec.model_validate({"per": "device", "field": "n"} | values).meta()


@pytest.mark.parametrize(
    ("values", "size", "reorder"),
    [
        ({}, 0, 100),
        ({"reorder": 0}, 0, 0),
        ({"wraps_at": 255}, 256, 16),
        ({"wraps_at": 65535, "start": 1}, 65535, 100),
        ({"wraps_at": 250, "step": 10}, 26, 1),
    ],
)
def test_a_counter_has_so_many_numbers_and_is_late_so_far(
    values: dict[str, int], size: int, reorder: int
) -> None:
    found = declared(**values)
    assert (found["per"], found["size"], found["reorder"]) == (["device"], size, reorder)


def test_events_that_are_made_up_count_for_each_sender() -> None:
    stream = Stream.model_validate(
        {
            "name": "s",
            "source": {"kafka": "s"},
            "fields": {"device": "varchar", "n": "bigint"},
            "sequence": {"per": "device", "field": "n", "start": 1, "wraps_at": 3},
        }
    )
    now = datetime(2026, 3, 1, tzinfo=UTC)
    made = [example_payload(stream, number=number, now=now, random=Random(number)) for number in range(1, 21)]
    counts: dict[str, list[int]] = {}
    for each in made:
        counts.setdefault(each["device"], []).append(each["n"])
    assert counts == {f"device-{sender}": [1, 2, 3, 1] for sender in range(1, 6)}
