"""The ledger in the lake: each change once, also after it was away or restored; nobody is paged again."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ingestion.lake.lake import Lake
from ingestion.settings import Settings
from orchestration.conditions.rule_alerts import OpenAlert, note_rule_alerts, rule_alert_findings
from orchestration.reactions import ledger as ledger_module
from orchestration.reactions.entries import read_ledger
from orchestration.run.reaction_changes import ReactionChanges
from tests.orchestration.reactions.desk import DISK, MODEL, Desk
from tests.servers.receiver import REFUSE, Receiver
from tests.waiting import eventually

PAGER = "pager: {send: {webhook: {url_env: PAGER_URL}}}\n"


def rows(lake: Lake) -> list[tuple[str, str, int | None]]:
    return lake.query(
        "select event || ' ' || subject, state, attempts from ops.reactions order by number, key"
    )


@pytest.fixture
def desk(tmp_path: Path, settings: Settings) -> Desk:
    """One on the folder of the lake."""
    (tmp_path / "reactions.yml").write_text(PAGER)
    desk = Desk(tmp_path)
    assert desk.settings.data_dir == settings.data_dir
    return desk


def test_each_change_is_a_row_once(desk: Desk, lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    with Receiver([REFUSE]) as receiver:
        monkeypatch.setenv("PAGER_URL", receiver.url)
        changes = ReactionChanges(lake)
        assert changes.take() == 0
        with desk.sending():
            desk.note([MODEL])
            eventually(lambda: desk.entries("delivered"), "it is taken")
            assert changes.take() == 3
            assert changes.take() == 0
            desk.note([])
            eventually(lambda: len(desk.entries("delivered")) == 2, "so is its end")
        assert ReactionChanges(lake).take() == 2
        assert ReactionChanges(lake).take() == 0
    assert rows(lake) == [
        ("condition_opened marts/orders", "pending", None),
        ("condition_opened marts/orders", "tried", 1),
        ("condition_opened marts/orders", "delivered", 2),
        ("condition_closed marts/orders", "pending", None),
        ("condition_closed marts/orders", "delivered", 1),
    ]
    ((latency,),) = lake.query(
        "select min(changed_at - noted_at) >= interval 0 second from ops.reactions where state = 'delivered'"
    )
    assert latency


def test_a_lake_that_was_away_gets_what_a_shortened_file_would_have_lost(
    desk: Desk, lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_module, "_MOST_LINES", 10)
    monkeypatch.setattr(ledger_module, "_KEPT_DONE", 2)
    with Receiver() as receiver:
        monkeypatch.setenv("PAGER_URL", receiver.url)
        with desk.sending():
            for round_ in range(1, 13):
                desk.note([MODEL] if round_ % 2 else [])
                eventually(lambda: not desk.entries("pending"), "it is taken")
        assert len(read_ledger(desk.settings.data_dir).entries) < 12, "the file was shortened"
        assert ReactionChanges(lake).take() == 24
        after = Desk(desk.folder)  # it goes on with the numbers
        with after.sending():
            after.note([MODEL, DISK])
            eventually(lambda: not after.entries("pending"), "it is taken")
        assert ReactionChanges(lake).take() > 0
    ((twice, taken, total),) = lake.query(
        "select count(*) - count(distinct (number, key)), count(distinct key) filter (state = 'delivered'), "
        "count(distinct key) from ops.reactions"
    )
    assert (twice, taken, total) == (0, len(receiver.taken()), len(receiver.taken()))


def test_a_lake_that_was_restored_gets_what_it_lacks_and_pages_nobody(
    desk: Desk, lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = datetime(2026, 11, 1, 12, tzinfo=UTC)
    hot = OpenAlert("too_hot", "press-1", "critical", opened)
    data_dir, now = desk.settings.data_dir, datetime.now(UTC)

    def built(*alerts: OpenAlert) -> None:
        """As a build leaves the model of alerts, and as the system sees it."""
        nonlocal now
        now += timedelta(seconds=1)
        note_rule_alerts(data_dir, "alerts", alerts)
        desk.note(list(rule_alert_findings(data_dir)), now=now)
        eventually(lambda: not desk.entries("pending"), "all are taken")

    with Receiver() as receiver:
        monkeypatch.setenv("PAGER_URL", receiver.url)
        with desk.sending():
            built()
            built(hot)
            ReactionChanges(lake).take()
            snapshot = rows(lake)
            built(hot)  # a replay or a full refresh has the same result
            assert [event for event, _ in receiver.events()] == ["condition_opened"]
            built()  # a restored lake is from before the alert …
            built(hot)  # … and the events since then come again
            built()
            assert [event for event, _ in receiver.events()] == ["condition_opened", "condition_closed"]
            built(OpenAlert("too_hot", "press-1", "critical", opened + timedelta(hours=1)))
            assert len(receiver.events()) == 3, "what breaks again is another alert"
        assert len(receiver.requests) == 3
        ReactionChanges(lake).take()
        whole = rows(lake)
        lake.query("delete from ops.reactions where number > 2")
        ReactionChanges(lake).take()
        assert rows(lake) == whole
        assert whole[: len(snapshot)] == snapshot
        assert receiver.requests[0].alert["severity"] == "critical"
