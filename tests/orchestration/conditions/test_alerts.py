"""Alerts: each opening and each end reaches the webhook once, however long that is away; no token leaks."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr

from ingestion.settings import load_settings
from orchestration.conditions import webhook
from orchestration.conditions.condition import Finding
from orchestration.conditions.webhook import post
from orchestration.observe import courier
from orchestration.observe.reacting import Reacting
from orchestration.observe.watchman import Watchman
from orchestration.reactions.entries import read_ledger
from tests.servers.webhook import Webhook
from tests.waiting import eventually

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
MODEL = Finding("model_failing", "marts/orders", "Model marts/orders failed: a reason.", "It is tried again.")
EVENTS = ("condition_opened", "condition_closed")
DAEMON = Finding("service_down", "daemon", "daemon does not run")


class Desk:
    """What watches a system, and its reactions: of the setting alone.

    Args:
        url: Where alerts go; empty for nowhere.
    """

    def __init__(self, folder: Path, url: str) -> None:
        self.settings = load_settings(project=folder, data_dir=folder, alert_webhook_url=url)
        self.watchman, self.reacting = Watchman(folder), Reacting(self.settings)
        self._folder = folder

    def note(self, findings: Sequence[Finding], *, now: datetime) -> None:
        self.watchman.note(findings, now=now)
        self.look(now=now)

    def look(self, *, now: datetime) -> None:
        self.reacting.look(self.watchman, now=now)

    def noted(self) -> list[tuple[str, str]]:
        """Event and subject of what the ledger holds."""
        held = [each.notice.content for each in read_ledger(self._folder).entries.values()]
        return [(each["event"], each["subject"]) for each in held]

    @contextmanager
    def sending(self) -> Iterator[None]:
        self.look(now=NOON)
        self.reacting.start(self.settings)
        try:
            yield
        finally:
            self.reacting.stop()


@pytest.fixture
def hook() -> Iterator[Webhook]:
    with Webhook() as hook:
        yield hook


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(courier, "_LOOK_SECONDS", 0.02)
    monkeypatch.setattr(courier, "_FIRST_PAUSE_SECONDS", 0.05)


@pytest.fixture
def desk(tmp_path: Path, hook: Webhook) -> Iterator[Desk]:
    desk = Desk(tmp_path, hook.url)
    with desk.sending():
        yield desk


@pytest.fixture
def new_desk(tmp_path: Path) -> Callable[[], Desk]:
    """Another process on the same folder, whose address takes nothing."""
    return lambda: Desk(tmp_path, "http://127.0.0.1:1/t0ken")


def test_an_opening_and_its_end_are_posted_once_each(desk: Desk, hook: Webhook) -> None:
    for _ in range(3):
        desk.note([MODEL], now=NOON)
    eventually(lambda: len(hook.taken) == 1, "the opening is posted")
    for _ in range(3):
        desk.note([], now=NOON)
    eventually(lambda: len(hook.taken) == 2, "the end is posted")
    opened, closed = hook.taken
    assert (opened["event"], opened["name"], opened["open"]) == ("condition_opened", "model_failing", 1)
    assert opened["text"] == "Millrace: Model marts/orders failed: a reason. It is tried again."
    assert opened["docs"] == "docs/operations.md#model-failing"
    assert (closed["event"], closed["open"]) == ("condition_closed", 0)
    assert closed["text"].endswith("All is well again.")
    assert list(desk.reacting.findings()) == []


def test_what_the_webhook_refuses_is_kept_and_posted_in_order(desk: Desk, hook: Webhook) -> None:
    hook.refuse = 3
    desk.note([MODEL], now=NOON)
    eventually(lambda: list(desk.reacting.findings()), "the trouble is a finding")
    desk.note([], now=NOON)
    desk.note([Finding("disk_low", "/data", "the disk is full")], now=NOON)
    eventually(lambda: len(hook.taken) == 3, "all are posted")
    assert hook.events() == [
        ("condition_opened", "marts/orders"),
        ("condition_closed", "marts/orders"),
        ("condition_opened", "/data"),
    ]
    eventually(lambda: list(desk.reacting.findings()) == [], "the trouble is over")


def test_the_trouble_of_the_webhook_is_never_posted_to_it(desk: Desk, hook: Webhook) -> None:
    hook.refuse = 1
    desk.note([MODEL], now=NOON)
    eventually(lambda: list(desk.reacting.findings()), "the trouble is a finding")
    found = list(desk.reacting.findings()) or [Finding("alert_undelivered", "webhook", "a reason")]
    desk.note([MODEL, *found], now=NOON)
    desk.note([MODEL, *found], now=NOON + timedelta(hours=1))
    desk.note([], now=NOON + timedelta(hours=2))
    eventually(lambda: len(hook.taken) == 2, "the others are posted")
    assert {subject for _, subject in desk.noted()} == {"marts/orders"}


def test_the_next_process_posts_what_this_one_could_not(
    tmp_path: Path, hook: Webhook, new_desk: Callable[[], Desk]
) -> None:
    new_desk().note([MODEL], now=NOON)
    with Desk(tmp_path, hook.url).sending():
        eventually(lambda: len(hook.taken) == 1, "it is posted")
    with Desk(tmp_path, hook.url).sending():
        (entry,) = read_ledger(tmp_path).entries.values()
    assert (entry.state, entry.answer, len(hook.taken)) == ("delivered", "200", 1)


def test_a_process_that_is_back_at_once_wakes_nobody(new_desk: Callable[[], Desk]) -> None:
    desk = new_desk()
    desk.note([DAEMON], now=NOON)
    desk.look(now=NOON + timedelta(seconds=5))
    desk.note([], now=NOON + timedelta(seconds=5))
    desk.look(now=NOON + timedelta(hours=1))
    assert desk.noted() == []
    desk.note([DAEMON], now=NOON)
    desk.look(now=NOON + timedelta(seconds=20))
    assert desk.noted() == [("condition_opened", "daemon")]


def test_what_a_killed_system_saw_for_a_moment_and_the_next_one_does_not_see_is_not_posted(
    new_desk: Callable[[], Desk],
) -> None:
    new_desk().note([DAEMON], now=NOON)
    started = NOON + timedelta(minutes=2)  # longer than an alert takes
    after = new_desk()
    after.look(now=started)
    assert after.noted() == [], "nobody has looked yet"
    after.note([], now=started)
    assert after.noted() == []
    assert after.watchman.open() == ()


def test_what_the_next_system_finds_too_is_posted(new_desk: Callable[[], Desk]) -> None:
    new_desk().note([DAEMON], now=NOON)
    after = new_desk()
    after.note([DAEMON], now=NOON + timedelta(minutes=2))
    assert after.noted() == [("condition_opened", "daemon")]


def test_an_alert_that_was_due_is_posted_by_the_next_system_when_all_is_over(
    tmp_path: Path, hook: Webhook, new_desk: Callable[[], Desk]
) -> None:
    before = new_desk()
    before.note([DAEMON], now=NOON)
    before.look(now=NOON + timedelta(minutes=1))  # and nobody took it
    after = Desk(tmp_path, hook.url)
    after.note([], now=NOON + timedelta(minutes=2))
    with after.sending():
        eventually(lambda: len(hook.taken) == 2, "both are posted")
    assert [event for event, _ in hook.events()] == list(EVENTS)


def test_nothing_of_the_time_before_a_webhook_is_posted(tmp_path: Path, new_desk: Callable[[], Desk]) -> None:
    before = Desk(tmp_path, "")
    before.note([MODEL, DAEMON], now=NOON)
    before.note([DAEMON], now=NOON + timedelta(hours=1))
    assert before.noted() == []
    after = new_desk()
    after.note([DAEMON], now=NOON + timedelta(hours=2))
    assert after.noted() == [("condition_opened", "daemon")], "what is open still is worth an alert"


def test_a_webhook_that_was_away_for_hundreds_of_alerts_gets_them_all(
    tmp_path: Path, hook: Webhook, new_desk: Callable[[], Desk]
) -> None:
    before = new_desk()
    models = [Finding("model_failing", f"marts/{number}", "It failed.") for number in range(301)]
    for model in models:
        before.note([model], now=NOON)
    before.note([], now=NOON)
    with Desk(tmp_path, hook.url).sending():
        eventually(lambda: len(hook.taken) == 602, "all are posted")
    assert sorted(hook.events()) == sorted((event, each.subject) for each in models for event in EVENTS)
    for model in models:
        assert [event for event, subject in hook.events() if subject == model.subject] == list(EVENTS)


def test_an_answer_that_points_elsewhere_is_no_delivery(hook: Webhook) -> None:
    hook.redirect = True
    assert post(SecretStr(hook.url), {}) == "127.0.0.1 answers 302"


def test_a_receiver_that_drips_is_given_up(hook: Webhook, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook, "POST_SECONDS", 0.5)
    hook.drips = True
    assert post(SecretStr(hook.url), {}) == "there was no whole answer within 0.5 s"
    hook.drips = False


@pytest.mark.parametrize(
    "address",
    [
        "http://127.0.0.1:1/t0ken",
        "file:///etc/t0ken",
        "http://[t0ken",
        "http://127.0.0.1/a b\nt0ken",
        "t0ken",
    ],
)
def test_no_reason_shows_the_address_path(address: str) -> None:
    why = post(SecretStr(address), {})
    assert why
    assert "t0ken" not in why
