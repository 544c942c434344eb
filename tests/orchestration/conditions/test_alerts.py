"""Alerts: each opening and each end reaches the webhook once, however long that is away; no token leaks."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr

from orchestration.conditions import webhook
from orchestration.conditions.condition import Finding
from orchestration.conditions.webhook import post
from orchestration.observe import alerts
from orchestration.observe.alerts import Poster
from orchestration.observe.watchman import Watchman
from tests.servers.webhook import Webhook
from tests.waiting import eventually

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
MODEL = Finding("model_failing", "marts/orders", "Model marts/orders failed: a reason.", "It is tried again.")
EVENTS = ("condition_opened", "condition_closed")
DAEMON = Finding("service_down", "daemon", "daemon does not run")


@pytest.fixture
def hook() -> Iterator[Webhook]:
    with Webhook() as hook:
        yield hook


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alerts, "_LOOK_SECONDS", 0.02)
    monkeypatch.setattr(alerts, "_FIRST_PAUSE_SECONDS", 0.05)


@pytest.fixture
def watchman(tmp_path: Path) -> Watchman:
    return Watchman(tmp_path, posts=True)


@pytest.fixture
def poster(watchman: Watchman, hook: Webhook) -> Iterator[Poster]:
    poster = Poster(watchman, SecretStr(hook.url), data_dir="/data")
    poster.worker.start()
    yield poster
    poster.worker.stop()


def test_an_opening_and_its_end_are_posted_once_each(
    watchman: Watchman, hook: Webhook, poster: Poster
) -> None:
    for _ in range(3):
        watchman.note([MODEL], now=NOON)
    eventually(lambda: len(hook.taken) == 1, "the opening is posted")
    for _ in range(3):
        watchman.note([], now=NOON)
    eventually(lambda: len(hook.taken) == 2, "the end is posted")
    opened, closed = hook.taken
    assert (opened["event"], opened["name"], opened["open"]) == ("condition_opened", "model_failing", 1)
    assert opened["text"] == "Millrace: Model marts/orders failed: a reason. It is tried again."
    assert opened["docs"] == "docs/operations.md#model-failing"
    assert (closed["event"], closed["open"]) == ("condition_closed", 0)
    assert closed["text"].endswith("All is well again.")
    assert poster.findings() == []


def test_what_the_webhook_refuses_is_kept_and_posted_in_order(
    watchman: Watchman, hook: Webhook, poster: Poster
) -> None:
    hook.refuse = 3
    watchman.note([MODEL], now=NOON)
    eventually(lambda: bool(poster.findings()), "the trouble is a finding")
    watchman.note([], now=NOON)
    watchman.note([Finding("disk_low", "/data", "the disk is full")], now=NOON)
    eventually(lambda: len(hook.taken) == 3, "all are posted")
    assert hook.events() == [
        ("condition_opened", "marts/orders"),
        ("condition_closed", "marts/orders"),
        ("condition_opened", "/data"),
    ]
    eventually(lambda: poster.findings() == [], "the trouble is over")


def test_the_next_process_posts_what_this_one_could_not(tmp_path: Path, hook: Webhook) -> None:
    Watchman(tmp_path, posts=True).note([MODEL], now=NOON)
    poster = Poster(Watchman(tmp_path, posts=True), SecretStr(hook.url), data_dir="/data")
    poster.worker.start()
    eventually(lambda: len(hook.taken) == 1, "it is posted")
    poster.worker.stop()
    assert Watchman(tmp_path, posts=True).due(now=NOON) is None, "and noted as posted"


def test_a_process_that_is_back_at_once_wakes_nobody(watchman: Watchman) -> None:
    watchman.note([DAEMON], now=NOON)
    assert watchman.due(now=NOON + timedelta(seconds=5)) is None
    watchman.note([], now=NOON + timedelta(seconds=5))
    assert watchman.due(now=NOON + timedelta(hours=1)) is None
    watchman.note([DAEMON], now=NOON)
    alert = watchman.due(now=NOON + timedelta(seconds=20))
    assert alert is not None
    assert alert.condition.number == 2


def test_what_a_killed_system_saw_for_a_moment_and_the_next_one_does_not_see_is_not_posted(
    tmp_path: Path,
) -> None:
    Watchman(tmp_path, posts=True).note([DAEMON], now=NOON)
    started = NOON + timedelta(minutes=2)  # longer than an alert takes
    after = Watchman(tmp_path, posts=True)
    assert after.due(now=started) is None, "nobody has looked yet"
    after.note([], now=started)
    assert after.due(now=started) is None
    assert after.open() == ()


def test_what_the_next_system_finds_too_is_posted(tmp_path: Path) -> None:
    Watchman(tmp_path, posts=True).note([DAEMON], now=NOON)
    started = NOON + timedelta(minutes=2)
    after = Watchman(tmp_path, posts=True)
    after.note([DAEMON], now=started)
    assert after.due(now=started) is not None


def test_an_alert_that_was_due_is_posted_by_the_next_system_when_all_is_over(tmp_path: Path) -> None:
    before = Watchman(tmp_path, posts=True)
    before.note([DAEMON], now=NOON)
    before.due(now=NOON + timedelta(minutes=1))  # and nobody took it
    after = Watchman(tmp_path, posts=True)
    after.note([], now=NOON + timedelta(minutes=2))
    opening = after.due(now=NOON + timedelta(minutes=2))
    assert opening is not None
    assert opening.opening
    after.posted(opening)
    end = after.due(now=NOON + timedelta(minutes=2))
    assert end is not None
    assert not end.opening


def test_nothing_of_the_time_before_a_webhook_is_posted(tmp_path: Path) -> None:
    before = Watchman(tmp_path, posts=False)
    before.note([MODEL, DAEMON], now=NOON)
    before.note([DAEMON], now=NOON + timedelta(hours=1))
    assert before.due(now=NOON + timedelta(hours=1)) is None
    after = Watchman(tmp_path, posts=True)
    after.note([DAEMON], now=NOON + timedelta(hours=2))
    alert = after.due(now=NOON + timedelta(hours=2))
    assert alert is not None
    assert alert.condition.finding == DAEMON, "what is open still is worth an alert"


def test_a_webhook_that_was_away_for_hundreds_of_alerts_gets_them_all(tmp_path: Path, hook: Webhook) -> None:
    before = Watchman(tmp_path, posts=True)
    models = [Finding("model_failing", f"marts/{number}", "It failed.") for number in range(301)]
    for model in models:
        before.note([model], now=NOON)
    before.note([], now=NOON)
    poster = Poster(Watchman(tmp_path, posts=True), SecretStr(hook.url), data_dir="/data")
    poster.worker.start()
    eventually(lambda: len(hook.taken) == 602, "all are posted")
    poster.worker.stop()
    assert [(event, f"marts/{number}") for number in range(301) for event in EVENTS] == hook.events()


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
