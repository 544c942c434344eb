"""A mart that is late once is a warning; marts that stay late are one condition."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from ingestion.clock import utc_now
from orchestration.checks.outcomes import Outcome
from orchestration.conditions.condition import Finding
from orchestration.conditions.journal import Journal
from orchestration.keys import FRESHNESS_CHECK
from orchestration.observe.budgets import Budgets
from orchestration.records.reader import CheckRecord

START = datetime(2026, 3, 1, 8, 0, tzinfo=UTC)
ONE = ["marts/orders breaks its freshness budget of 5 s in every report of more than a minute"]


def report(
    outcome: Outcome,
    second: float,
    *,
    check: str = FRESHNESS_CHECK,
    mart: str = "marts/orders",
    budget: float = 5.0,
) -> CheckRecord:
    at = START + timedelta(seconds=second)
    return CheckRecord(mart, check, outcome, "", {"budget_seconds": budget}, at)


def findings(budgets: Budgets, *records: CheckRecord, now: float | None = None) -> list[Finding]:
    at = START + timedelta(seconds=now) if now is not None else records[0].checked_at
    return [*budgets.look(records, age=lambda stamp: at - stamp)]


def late(budgets: Budgets, *records: CheckRecord, now: float | None = None) -> list[str]:
    return [each.sentence for each in findings(budgets, *records, now=now)]


def test_a_mart_that_is_late_for_a_minute_is_a_condition_until_a_report_is_good() -> None:
    budgets = Budgets()
    for second in range(0, 60, 15):
        assert late(budgets, report("warned", second)) == []
    assert late(budgets, report("warned", 60)) == ONE
    assert late(budgets, report("warned", 75)) == ONE, "what is said stays, or the journal would grow"
    assert late(budgets, report("passed", 90)) == []
    assert late(budgets, report("warned", 105)) == [], "it begins again"


def test_marts_that_are_late_for_one_cause_are_one_condition_whose_key_stays() -> None:
    budgets = Budgets()

    def all_at(second: float, *, alerts: Outcome = "warned", budget: float = 5.0) -> list[Finding]:
        return findings(
            budgets,
            report("warned", second),
            report("warned", second, mart="marts/machines"),
            report(alerts, second, mart="marts/alerts", budget=budget),
        )

    assert all_at(0) == []
    (one,) = all_at(60)
    assert one.sentence == (
        "3 marts break their freshness budget of 5 s in every report of more than a minute: "
        "marts/alerts, marts/machines and marts/orders"
    )
    (other,) = all_at(75, budget=2.0)
    assert other.sentence.endswith("marts/alerts (2 s), marts/machines (5 s) and marts/orders (5 s)")
    (fewer,) = all_at(90, alerts="passed")
    assert fewer.sentence.startswith("2 marts break their freshness budget of 5 s ")
    assert one.key == other.key == fewer.key


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


def test_a_new_supervisor_closes_nothing_until_a_report_says_that_it_is_over() -> None:
    for newest, over in ((report("passed", 45), True), (report("warned", 45), False)):
        budgets = Budgets()
        assert budgets.is_learning, "it has not looked"
        assert late(budgets, report("warned", 0), now=30) == []
        assert budgets.is_learning, "that report is from before it began"
        assert late(budgets, newest) == []
        assert budgets.is_learning is not over
        assert late(budgets, report("warned", 60)) == ([] if over else ONE)
        assert not budgets.is_learning


def test_a_new_supervisor_waits_for_no_report_where_nothing_was_late_or_no_event_comes() -> None:
    budgets = Budgets()
    assert late(budgets, report("passed", 0)) == []
    assert not budgets.is_learning
    budgets = Budgets()
    late(budgets, report("warned", 0), now=30)
    late(budgets, report("warned", 0), now=601)
    assert not budgets.is_learning


def test_a_restart_of_the_supervisor_leaves_the_condition_open(tmp_path: Path) -> None:
    def note(budgets: Budgets, *records: CheckRecord, now: float | None = None) -> list[int]:
        found = findings(budgets, *records, now=now)
        unknown = ["budget_broken"] if budgets.is_learning else []
        journal = Journal(tmp_path)
        journal.note(found, unknown=unknown, now=utc_now())
        return [each.number for each in journal.open()]

    budgets = Budgets()
    note(budgets, report("warned", 0))
    assert note(budgets, report("warned", 60)) == [1]
    budgets = Budgets()
    assert note(budgets, report("warned", 60), now=70) == [1]
    assert note(budgets, report("warned", 60), now=200) == [1], "the first build takes its time"
    assert note(budgets, report("warned", 210)) == [1]
    assert note(budgets, report("passed", 225)) == []
