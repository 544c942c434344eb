"""How long an alert took, hop by hop: from what the build of the mart noted to the receiver's answer."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from orchestration.cli.app import run
from orchestration.conditions.rule_alerts import OpenAlert, Progress, note_rule_alerts, rule_alert_findings
from orchestration.reactions.hops import HOPS, journeys, spreads
from tests.orchestration.reactions.desk import MODEL, NOON, Desk
from tests.servers.receiver import Receiver
from tests.waiting import eventually

LANDED, BUILT, FOUND = (NOON + timedelta(seconds=seconds) for seconds in (1, 3, 3.5))


def noted(desk: Desk, *keys: str) -> None:
    alerts = [OpenAlert("hot", key, "critical", NOON) for key in keys]
    progress = Progress({"readings 0": 7}, LANDED, BUILT)
    note_rule_alerts(desk.settings.data_dir, "alerts", alerts, progress=lambda: progress)


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    (tmp_path / "reactions.yml").write_text("pager: {send: {webhook: {url_env: PAGER_URL}}}\n")
    with Receiver() as receiver:
        monkeypatch.setenv("PAGER_URL", receiver.url)
        desk = Desk(tmp_path)
        noted(desk, "m-1")
        with desk.sending():
            desk.note([*rule_alert_findings(desk.settings.data_dir), MODEL], now=FOUND)
            eventually(lambda: len(desk.entries("delivered")) == 2, "both were delivered")
        yield desk


def test_each_hop_is_the_time_between_two_moments(desk: Desk) -> None:
    (journey,) = journeys(desk.entries())
    assert (journey.reaction, journey.subject) == ("pager", "hot of m-1")
    assert journey.seconds[:4] == pytest.approx(
        (1.0, 2.0, 0.5, 0.0), abs=0.002
    )  # moments are to the millisecond
    assert journey.seconds[4] >= 0
    assert journey.whole_seconds == pytest.approx(sum(journey.seconds))
    assert [each.name for each in spreads([journey])] == [*HOPS, "all"]
    assert spreads([journey])[1].half == spreads([journey])[1].longest == 2.0
    assert spreads([]) == []


def test_the_moments_of_an_alert_that_lasts_stay(desk: Desk) -> None:
    before = list(rule_alert_findings(desk.settings.data_dir))
    note_rule_alerts(
        desk.settings.data_dir, "alerts",
        [OpenAlert("hot", key, "critical", NOON) for key in ("m-1", "m-2")],
        progress=lambda: Progress({"readings 0": 9}, LANDED + timedelta(hours=1), BUILT + timedelta(hours=1)),
    )  # fmt: skip
    first, second = rule_alert_findings(desk.settings.data_dir)
    assert [first] == before
    assert dict(second.times)["built"] == (BUILT + timedelta(hours=1)).isoformat(timespec="milliseconds")
    again = Desk(desk.folder)
    again.note([first, second, MODEL], now=FOUND)
    assert {each.finding for each in again.watchman.open()} == {first, second, MODEL}
    lines = (desk.settings.data_dir / "conditions" / "journal.jsonl").read_text().splitlines()
    assert not [line for line in lines if json.loads(line)["op"] == "change"]


def test_the_command_shows_them(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    folder = str(desk.settings.data_dir)
    assert run(["--data-dir", folder, "reactions", "hops", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert [each["name"] for each in said["hops"]] == [*HOPS, "all"]
    assert [each["subject"] for each in said["openings"]] == ["hot of m-1"]
    assert run(["--data-dir", folder, "reactions", "hops", "pager"]) == 0
    assert "raw to mart" in capsys.readouterr().out
    assert run(["--data-dir", folder, "reactions", "hops", "nobody"]) == 0
    assert "no alert of a rule was delivered yet" in capsys.readouterr().out
