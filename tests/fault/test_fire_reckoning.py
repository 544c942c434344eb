"""The judge of the tests under fire finds each thing that may be wrong, and nothing in what is right."""

from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

from tests.fault.fire.killing import unexplained
from tests.fault.fire.reckoning import Row, copies, violations
from tests.fault.fire.source import Place, Sent, number_of, payload

AT = datetime(2026, 3, 1, tzinfo=UTC)


def row(number: int, position: int, *, marked: bool = False, minute: int = 0) -> Row:
    return Row(("s-0", position), number, marked, AT + timedelta(minutes=minute))


def sent(*confirmed: int, again: tuple[int, ...] = (), together: tuple[range, ...] = ()) -> Sent:
    return Sent(set(confirmed), Counter(again), together=list(together))


GOOD = [row(0, 0), row(1, 1)]


@pytest.mark.parametrize(
    ("rows", "known", "once", "kept", "sentence"),
    [
        (GOOD, sent(0, 1, 2), False, None, "1 confirmed and not in raw: [2]"),
        (GOOD, sent(0), False, None, "1 in raw and never sent: [1]"),
        ([*GOOD, row(2, 1)], sent(0, 1, 2), False, None, "1 in raw twice by position: [('s-0', 1)]"),
        ([*GOOD, row(1, 2, marked=True)], sent(0, 1), True, None, "1 in raw more than once: [1]"),
        ([*GOOD, row(1, 2)], sent(0, 1), False, None, "1 a copy that nothing explains: [1]"),
        ([*GOOD, row(1, 2), row(1, 3)], sent(0, 1, again=(1,)), False, None,
         "1 a copy that nothing explains: [1]"),
        ([*GOOD, row(0, 2)], sent(0, 1, again=(0, 1), together=(range(2),)), False, None,
         "1 requests that are there in part: [range(0, 2)]"),
        (GOOD, sent(0, 1), True, {("s-0", 0): 0, ("s-0", 1): 1, ("s-0", 2): 1},
         "1 in the log and not in raw: [('s-0', 2)]"),
        (GOOD, sent(0, 1), True, {("s-0", 0): 0}, "1 in raw and not in the log: [('s-0', 1)]"),
        (GOOD, sent(0, 1), True, {("s-0", 0): 0, ("s-0", 1): 0},
         "1 another event than the log's: [('s-0', 1)]"),
    ],
)  # fmt: skip
def test_each_way_to_break_the_promise_is_named(
    rows: list[Row], known: Sent, once: bool, kept: dict[Place, int] | None, sentence: str
) -> None:
    assert violations(rows, known, once=once, kept=kept) == [sentence]


def test_what_is_promised_is_no_violation() -> None:
    assert violations(GOOD, sent(0, 1), once=True, kept=None) == []
    again = [*GOOD, row(1, 2, marked=True), row(1, 3, marked=True)]
    assert violations(again, sent(0, 1), once=False, kept=None) == []
    assert copies(again) == 2
    assert violations([*GOOD, row(1, 2)], sent(0, 1, again=(1,)), once=False, kept=None) == []
    twice = {("s-0", 0): 0, ("s-0", 1): 1, ("s-0", 2): 1}  # its sender had no confirmation and sent it again
    assert violations([*GOOD, row(1, 2)], sent(0, 1), once=True, kept=twice) == []


def test_only_what_a_broker_forgot_may_come_again_unmarked() -> None:
    known = sent(0, 1)
    known.rolled_back = [(AT + timedelta(minutes=1), AT + timedelta(minutes=2))]
    forgotten = [row(0, 0), row(1, 1, minute=1), row(1, 2, minute=3)]
    assert violations(forgotten, known, once=False, kept=None) == []
    before = [row(0, 0), row(1, 1), row(1, 2, minute=3)]
    assert violations(before, known, once=False, kept=None) == ["1 a copy that nothing explains: [1]"]


def test_a_run_that_ends_otherwise_is_named() -> None:
    assert unexplained({0: 5, 3: 1, -9: 2}, Counter()) == []
    assert unexplained({-6: 1}, Counter()) == ["1 runs ended with -6"]
    assert unexplained({-6: 1, 1: 2}, Counter(catalog=1)) == ["2 runs ended with 1"]


def test_an_event_has_its_number() -> None:
    assert [number_of(payload(number)) for number in (0, 999_999)] == [0, 999_999]
    assert len({payload(number) for number in range(1000)}) == 1000
