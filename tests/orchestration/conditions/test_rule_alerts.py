"""Which open alerts of a project's rules are conditions, and that thousands of keys are a few."""

import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from orchestration.conditions.rule_alerts import (
    MOST_KEYS,
    MOST_RULES,
    OpenAlert,
    Progress,
    forget_rule_alerts,
    note_rule_alerts,
    owe_builds,
    rule_alert_findings,
)
from tests.orchestration.reactions.desk import Desk

START = datetime(2026, 3, 1, 8, 0, tzinfo=UTC)


def alert(number: int, *, rule: str = "hot", at: datetime | None = None) -> OpenAlert:
    return OpenAlert(rule, f"m-{number:04}", "critical", at or START + timedelta(seconds=number))


def subjects(data_dir: Path, alerts: Iterable[OpenAlert]) -> set[str]:
    note_rule_alerts(data_dir, "alerts", alerts)
    return {each.subject for each in rule_alert_findings(data_dir)}


def names(numbers: Iterable[int]) -> set[str]:
    return {f"hot of m-{number:04}" for number in numbers}


def test_each_open_alert_is_a_condition_and_closes_with_it(tmp_path: Path) -> None:
    assert subjects(tmp_path, [alert(1), alert(2)]) == names([1, 2])
    assert subjects(tmp_path, [alert(2)]) == names([2])
    assert subjects(tmp_path, []) == set()


def test_an_alert_that_is_found_to_have_begun_earlier_is_not_posted_again(tmp_path: Path) -> None:
    desk = Desk(tmp_path, "http://127.0.0.1:1/")
    folder = desk.settings.data_dir
    for at in (START, START - timedelta(hours=1), START):
        note_rule_alerts(folder, "alerts", [alert(1, at=at)])
        desk.note(list(rule_alert_findings(folder)), now=START)
    (entry,) = desk.entries()
    assert "since 2026-03-01 08:00:00 UTC" in entry.notice.content["sentence"]


def test_thousands_of_keys_are_a_few_conditions_however_they_come_and_go(tmp_path: Path) -> None:
    seen = set[str]()
    for least in range(0, 3000, 10):
        found = subjects(tmp_path, [alert(number) for number in range(least, 3000)])
        assert len(found) <= MOST_KEYS + 1
        assert "hot" in found or 3000 - least <= MOST_KEYS // 2
        seen |= found
    assert len(seen) <= MOST_KEYS + MOST_KEYS // 2 + 1
    assert names(range(MOST_KEYS)) <= seen, "the oldest have a condition of their own"
    assert names(range(2990, 3000)) <= seen, "those that are left have one"


def test_many_rules_are_one(tmp_path: Path) -> None:
    found = subjects(tmp_path, [alert(1, rule=f"r-{number}") for number in range(MOST_RULES + 1)])
    assert len(found) == MOST_KEYS + 1
    assert "alerts" in found


def test_a_name_from_a_payload_stays_one_short_line(tmp_path: Path) -> None:
    note_rule_alerts(tmp_path, "alerts", [OpenAlert("hot", "a\nb" + "x" * 5000, "critical", None)])
    (finding,) = rule_alert_findings(tmp_path)
    assert "a?bx" in finding.subject
    assert len(finding.sentence) < 500
    assert finding.sentence.isprintable()


def test_a_torn_file_and_a_model_that_is_gone_say_nothing(tmp_path: Path) -> None:
    assert subjects(tmp_path, [alert(1)]) == names([1])
    (tmp_path / "conditions" / "rules" / "torn.json").write_text('{"named": [[1')
    assert subjects(tmp_path, [alert(1)]) == names([1])
    forget_rule_alerts(tmp_path, keep=["others"])
    assert list(rule_alert_findings(tmp_path)) == []


def test_a_lake_at_an_earlier_version_ends_nothing_until_it_has_read_again(tmp_path: Path) -> None:
    """As after a restore: the alert that people know of is not there yet."""

    def found(alerts: Iterable[OpenAlert], **reached: int) -> set[str]:
        note_rule_alerts(tmp_path, "alerts", alerts, progress=lambda: Progress(reached))
        return {each.subject for each in rule_alert_findings(tmp_path)}

    assert found([alert(1)], a=10, b=5) == names([1])
    assert found([alert(1), alert(2)], a=20, b=5) == names([1, 2])
    assert found([alert(1)], a=15, b=5) == names([1, 2]), "it was at 20"
    assert found([alert(3)], a=19, b=5) == names([1, 2, 3])
    assert found([alert(3)], b=5) == names([1, 2, 3])
    assert found([alert(2), alert(3)], a=20, b=5) == names([2, 3])
    assert found([], a=21, b=5) == set()


def test_after_a_restore_a_model_that_is_not_built_yet_ends_nothing(tmp_path: Path) -> None:
    """The backup was taken between a load and the models: raw is as far as it was, the mart is not."""

    def found(alerts: Iterable[OpenAlert], reached: int, **built: bool) -> set[str]:
        progress = Progress({"a p-0": reached, "b p-0": 5}, built=built)
        note_rule_alerts(tmp_path, "alerts", alerts, progress=lambda: progress)
        return {each.subject for each in rule_alert_findings(tmp_path)}

    assert found([alert(1)], 10, a=True, b=True) == names([1])
    owe_builds(tmp_path)
    assert found([], 10, a=False, b=True) == names([1]), "only what it reads was built"
    assert found([], 11, a=False, b=False) == names([1])
    assert found([alert(1)], 11, a=True, b=False) == names([1])
    assert found([], 12, a=True, b=False) == set(), "of either stream it was built once"


def test_a_stream_that_a_model_follows_no_more_holds_nothing_open(tmp_path: Path) -> None:
    def found(alerts: Iterable[OpenAlert], reached: dict[str, int], **built: bool) -> set[str]:
        note_rule_alerts(tmp_path, "alerts", alerts, progress=lambda: Progress(reached, built=built))
        return {each.subject for each in rule_alert_findings(tmp_path)}

    assert found([alert(1)], {"a p-0": 10, "b p-0": 5}, a=True, b=True) == names([1])
    owe_builds(tmp_path)
    assert found([], {"a p-0": 10}, a=True) == set()


def test_what_an_earlier_release_noted_is_read(tmp_path: Path) -> None:
    assert subjects(tmp_path, [alert(1)]) == names([1])
    file = tmp_path / "conditions" / "rules" / "alerts.json"
    content = json.loads(file.read_text())
    del content["reached"]
    file.write_text(json.dumps(content))
    assert subjects(tmp_path, [alert(1), alert(2)]) == names([1, 2])
