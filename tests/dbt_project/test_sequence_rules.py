"""What is missing, late, repeated or begun again: the SQL against a plain reckoning, and by example."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingestion.declare.sequence import SequenceSpec
from tests.dbt_project.reckoning import Sent, gaps, reckon, shown


def sequence(**values: Any) -> SequenceSpec:
    """A declared sequence."""
    return SequenceSpec.model_validate({"per": "device", "field": "n"} | values)


def sent(*numbers: int, batch: int = 1, second: int = 0) -> list[Sent]:
    """Events a second apart."""
    return [Sent(number, second + at, batch) for at, number in enumerate(numbers)]


SPECS = [
    sequence(),
    sequence(start=1),
    sequence(start=0, reorder=3),
    sequence(start=2, step=2, reorder=1),
    sequence(wraps_at=7, reorder=2),
    sequence(start=1, wraps_at=15),
]


@settings(deadline=None, max_examples=6)
@given(data=st.data())
def test_the_sql_finds_what_a_plain_reckoning_finds_in_whatever_order_events_came(
    data: st.DataObject,
) -> None:
    spec = data.draw(st.sampled_from(SPECS))
    indexes = st.integers(0, ((spec.wraps_at or 300) - (spec.start or 0)) // spec.step)
    events = st.lists(st.tuples(indexes, st.integers(0, 40), st.integers(1, 3)), min_size=1, max_size=25)
    drawn = [
        Sent((spec.start or 0) + index * spec.step, second / 2, batch, f"s-{sender}")
        for sender, series in enumerate(data.draw(st.lists(events, min_size=1, max_size=40)))
        for index, second, batch in series
    ]
    expected = {
        sender: reckon(spec, [each for each in drawn if each.sender == sender])
        for sender in {each.sender for each in drawn}
    }
    assert shown(spec, drawn) == expected


@pytest.mark.parametrize(
    ("options", "numbers", "missing", "resets", "duplicates"),
    [
        ({}, (5, 6, 7), [], 0, 0),
        ({}, (5, 6, 9), [(7, 8)], 0, 0),
        ({}, (5, 7, 6), [], 0, 0),
        ({}, (5, 5, 6), [], 0, 1),
        ({}, (500, 1, 2), [], 1, 0),  # where its counter starts is not known
        ({"start": 0}, (500, 1, 2), [(0, 0)], 1, 0),
        ({"start": 0}, (7, 9, 0, 1), [(8, 8)], 1, 0),  # close by, and the start all the same
        ({"start": 0}, (7, 9, 1, 2), [(3, 6), (8, 8)], 0, 0),  # close by and not the start: late
        ({"start": 0, "reorder": 5}, (7, 9, 1, 2), [(0, 0), (8, 8)], 1, 0),
        ({"wraps_at": 255}, (254, 255, 0, 1), [], 0, 0),
        ({"wraps_at": 255}, (254, 1), [(255, 0)], 0, 0),
        ({"wraps_at": 255, "start": 0}, (100, 0, 1), [], 1, 0),
        ({"wraps_at": 255, "start": 0}, (255, 1, 0, 2), [], 0, 0),
        ({"wraps_at": 65535, "start": 1}, (65534, 65535, 1, 2), [], 0, 0),
        ({"step": 10}, (10, 20, 40), [(30, 30)], 0, 0),
    ],
)
def test_each_rule_by_example(
    options: dict[str, int],
    numbers: tuple[int, ...],
    missing: list[tuple[int, int]],
    resets: int,
    duplicates: int,
) -> None:
    found = shown(sequence(**options), sent(*numbers))["a"]
    assert (list(found.missing), found.resets, found.duplicates) == (missing, resets, duplicates)


def test_a_gap_says_since_when_and_a_late_fill_when_it_came() -> None:
    events = [*sent(1, 2), *sent(7, 8, second=6), Sent(4, 3, 3), Sent(5, 4, 3)]
    columns = (
        "first_number, last_number, missing, state, strftime(opened_at, '%M'), strftime(filled_at, '%M')"
    )
    assert gaps(sequence(), events, columns) == [
        (3, 3, 1, "partly", "00", None),
        (4, 5, 0, "filled", "00", "02"),
        (6, 6, 1, "partly", "00", None),
    ]
    times = "strftime(last_before_at, '%S'), strftime(first_after_at, '%S')"
    assert gaps(sequence(), sent(1, 5), times) == [("50", "51")]


def test_a_late_event_without_a_time_of_its_own_fills_too() -> None:
    """The broker's time is that of its arrival: it comes after what was sent later."""
    events = [*sent(1, 2, 5), *sent(4, batch=2, second=9)]
    columns = "first_number, last_number, state, filled_at is not null"
    assert gaps(sequence(), events, columns) == [(3, 3, "partly", False), (4, 4, "filled", True)]


def test_what_is_repeated_late_fills_nothing() -> None:
    assert gaps(sequence(), [*sent(1, 2, 3), Sent(2, 1, 5)], "*") == []
    assert shown(sequence(), [*sent(1, 2, 3), Sent(2, 1, 5)])["a"].duplicates == 1


def test_an_operator_accepts_what_was_missing_until_a_moment() -> None:
    events = [*sent(1, 3), *sent(5, batch=4, second=5)]
    columns = "first_number, state, note"
    here = "('s', {}, timestamptz '2026-03-03 00:03:00+00', 'thunderstorm')"
    for sender in ("'a'", "null"):
        assert gaps(sequence(), events, columns, accepted=here.format(sender)) == [
            (2, "accepted", "thunderstorm"),
            (4, "open", None),
        ]
    assert [row[1] for row in gaps(sequence(), events, columns, accepted=here.format("'b'"))] == ["open"] * 2
