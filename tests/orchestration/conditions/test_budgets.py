"""A mart that is late once is a warning; one that stays late is a condition."""

from datetime import UTC, datetime, timedelta

from orchestration.checks.outcomes import Outcome
from orchestration.keys import FRESHNESS_CHECK
from orchestration.observe.budgets import Budgets
from orchestration.records.reader import CheckRecord

START = datetime(2026, 3, 1, 8, 0, tzinfo=UTC)


def report(outcome: Outcome, second: float, *, check: str = FRESHNESS_CHECK) -> CheckRecord:
    at = START + timedelta(seconds=second)
    return CheckRecord("marts/orders", check, outcome, "", {"budget_seconds": 5.0}, at)


def late(budgets: Budgets, *records: CheckRecord, now: float | None = None) -> list[str]:
    at = START + timedelta(seconds=now) if now is not None else records[0].checked_at
    return [each.sentence for each in budgets.look(records, age=lambda stamp: at - stamp)]


def test_a_mart_that_is_late_for_a_minute_is_a_condition_until_a_report_is_good() -> None:
    budgets = Budgets()
    for second in range(0, 60, 15):
        assert late(budgets, report("warned", second)) == []
    found = late(budgets, report("warned", 60))
    assert found == ["marts/orders breaks its freshness budget of 5 s in every report of more than a minute"]
    assert late(budgets, report("warned", 75)) == found, "what is said stays, or the journal would grow"
    assert late(budgets, report("passed", 90)) == []
    assert late(budgets, report("warned", 105)) == [], "it begins again"


def test_one_late_report_that_nothing_follows_is_none_and_a_late_mart_is_forgotten() -> None:
    budgets = Budgets()
    assert late(budgets, report("warned", 0)) == []
    assert late(budgets, report("warned", 0), now=500) == [], "no event came since"
    assert late(budgets, report("warned", 510)) != []
    assert late(budgets, report("warned", 510), now=510 + 601) == []


def test_other_checks_have_no_budget() -> None:
    budgets = Budgets()
    for second in (0, 600):
        assert late(budgets, report("warned", second, check="id_conflicts")) == []


def test_a_new_supervisor_knows_nothing_at_first() -> None:
    now = [0.0]
    budgets = Budgets(lambda: now[0])
    assert budgets.is_learning
    now[0] = 91.0
    assert not budgets.is_learning
