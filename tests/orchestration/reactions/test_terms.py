"""Limits, quiet hours, batches and escalation: what is sent, what waits, and what the ledger shows of it."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from orchestration.cli.app import run
from orchestration.conditions.condition import Finding
from orchestration.reactions.counts import reaction_counts
from orchestration.reactions.entries import Entry
from orchestration.reactions.terms import Quiet
from tests.orchestration.reactions.desk import DISK, EVENTS, MODEL, Desk
from tests.servers.receiver import HANG, NEVER, REFUSE, RESET, Receiver
from tests.waiting import eventually

WAY = "send: {webhook: {url_env: PAGER_URL}}"
WARNING = Finding("stream_silent", "orders", "orders brings nothing")
Declare = Callable[[str], None]


@pytest.fixture
def declare(tmp_path: Path) -> Declare:
    """Write reactions.yml: `pager` with these terms; more reactions may follow on further lines."""

    def write(terms: str) -> None:
        (tmp_path / "reactions.yml").write_text(f"pager: {{{WAY}, {terms}\n")

    return write


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    with Receiver() as receiver:
        monkeypatch.setenv("PAGER_URL", receiver.url)
        yield receiver


def hours(*, now: bool) -> str:
    """Quiet hours that hold now, or that do not."""
    begin = datetime.now(UTC) + timedelta(hours=-2 if now else 4)
    return f'begin: "{begin:%H:%M}", end: "{begin + timedelta(hours=4):%H:%M}", zone: UTC, passes: [error]'


def shown(receiver: Receiver) -> list[tuple[str, str]]:
    return [(each["event"].removeprefix("condition_"), each["subject"]) for each in receiver.alerts()]


@pytest.mark.parametrize(
    ("at", "holds"),
    [
        ("2026-07-01T19:59", False), ("2026-07-01T20:00", True), ("2026-07-02T04:59", True),
        ("2026-07-02T05:00", False), ("2026-12-01T20:30", False), ("2026-12-01T21:00", True),
        ("2026-12-02T05:59", True), ("2026-12-02T06:00", False),
    ],
)  # fmt: skip
def test_quiet_hours_follow_the_clock_of_their_zone(at: str, holds: bool) -> None:
    quiet = Quiet(begin="22:00", end="07:00", zone="Europe/Vienna", passes=("critical",))
    now = datetime.fromisoformat(at).replace(tzinfo=UTC)
    assert quiet.holds("error", now=now) is holds
    assert not quiet.holds("critical", now=now)
    day = Quiet(begin="07:00", end="22:00", zone="Europe/Vienna")
    assert day.holds("error", now=now) is not holds


def test_what_waits_for_quiet_hours_is_said_once_when_they_end(
    tmp_path: Path, declare: Declare, receiver: Receiver
) -> None:
    declare(f"quiet: {{{hours(now=True)}}}}}")
    with Desk(tmp_path).sending() as desk:
        desk.note([WARNING])
        desk.note([WARNING, DISK])
        eventually(lambda: shown(receiver) == [("opened", "/data")], "an error passes")
        desk.note([])
        eventually(lambda: len(desk.entries("held")) == 2, "a warning and its end wait")
        eventually(lambda: len(desk.entries("delivered")) == 2, "the end of what passed does not")
        assert {each.answer for each in desk.entries("held")} == {"it waits for quiet hours"}
        assert reaction_counts(desk.settings) == {"pager": {"held": 2, "delivered": 2}}
        assert len(receiver.requests) == 2
        declare(f"quiet: {{{hours(now=False)}}}}}")
        desk.note([])
        eventually(lambda: len(desk.entries("delivered")) == 4, "the hours are over")
    assert len(receiver.requests) == 3, "both are one message"
    message = receiver.requests[2].alert
    assert message["text"].startswith("Millrace: 2 alerts: 1 opened, 1 over\norders brings nothing\nover: ")
    assert [each["event"] for each in message["alerts"]] == list(EVENTS)
    assert receiver.requests[2].key == message["key"]


def test_a_limit_mutes_what_breaks_again_and_again_and_hides_nothing_that_lasts(
    tmp_path: Path, declare: Declare, receiver: Receiver
) -> None:
    declare("limit: {openings: 2, within_seconds: 3600}}")
    with Desk(tmp_path).sending() as desk:
        for round_ in range(4):
            desk.note([MODEL])
            if round_ > 1:
                eventually(lambda: len(desk.entries("held")) == 1, "it waits")
            desk.note([])
            eventually(lambda: desk.entries("pending", "held") == [], "all are settled")
        desk.note([MODEL, DISK])
        eventually(lambda: len(desk.entries("held")) == 1, "the next one waits")
        eventually(lambda: ("opened", "/data") in shown(receiver), "other things have limits of their own")
        counts = reaction_counts(desk.settings)
        assert counts == {"pager": {"delivered": 5, "suppressed": 4, "held": 1}}
        declare("limit: {openings: 3, within_seconds: 3600}}")
        desk.note([MODEL, DISK])
        eventually(lambda: desk.entries("held") == [], "what lasts is said as soon as it may be")
        eventually(lambda: len(desk.entries("delivered")) == 6, "it is said")
    of = [event for event, subject in shown(receiver) if subject == "marts/orders"]
    assert of == ["opened", "closed", "opened", "closed", "opened"]


def test_a_limit_without_ends_drops_what_is_over(
    tmp_path: Path, declare: Declare, receiver: Receiver
) -> None:
    declare("all_well: false, limit: {openings: 1, within_seconds: 3600}}")
    with Desk(tmp_path).sending() as desk:
        desk.note([MODEL])
        eventually(lambda: desk.entries("delivered"), "the first is said")
        desk.note([])
        desk.note([MODEL])
        eventually(lambda: desk.entries("held"), "the second waits")
        desk.note([])
        eventually(lambda: desk.entries("suppressed"), "it was over before its time")
    assert shown(receiver) == [("opened", "marts/orders")]


def test_a_batch_is_one_message_whose_key_stands_for_exactly_these(
    tmp_path: Path, declare: Declare, receiver: Receiver
) -> None:
    declare("batch: {within_seconds: 0.6, most: 3}}")
    receiver.then(REFUSE, RESET)
    with Desk(tmp_path).sending() as desk:
        desk.note([MODEL, DISK])
        eventually(lambda: len(desk.entries("batched")) == 2, "both are one message")
        desk.note([])
        eventually(lambda: len(desk.entries("delivered")) == 4, "all are taken")
    first = [each for each in receiver.requests if each.key == receiver.requests[0].key]
    assert len(first) == 3
    assert len({each.body for each in first}) == 1, "whatever came while it was tried is another message"
    assert [len(each.alert["alerts"]) for each in receiver.taken()] == [2, 2]
    assert [each["key"] for each in receiver.alerts()] == [each.notice.key for each in desk.entries()]


def test_a_full_batch_goes_at_once_and_one_alert_alone_goes_as_it_is(
    tmp_path: Path, declare: Declare, receiver: Receiver
) -> None:
    declare("batch: {within_seconds: 86400, most: 2}}")
    with Desk(tmp_path).sending() as desk:
        desk.note([MODEL, DISK, WARNING])
        eventually(lambda: len(desk.entries("delivered")) == 2, "two are a message")
        assert len(desk.entries("pending")) == 1
        declare("batch: {within_seconds: 0.01, most: 2}}")
        desk.note([MODEL, DISK, WARNING])
        eventually(lambda: len(desk.entries("delivered")) == 3, "the third need not wait any more")
    assert [each.alert["event"] for each in receiver.taken()] == ["alerts", "condition_opened"]


def test_a_batch_that_is_refused_is_parted_so_that_one_alert_holds_up_no_other(
    tmp_path: Path, declare: Declare, receiver: Receiver
) -> None:
    declare("batch: {within_seconds: 0.3}}")
    receiver.then(NEVER, NEVER)
    with Desk(tmp_path).sending() as desk:
        desk.note([MODEL, DISK])
        eventually(lambda: len(desk.entries("delivered")) == 2, "each is taken")
    assert [each.did for each in receiver.requests][:2] == [NEVER, NEVER]
    assert sorted(subject for _event, subject in shown(receiver)) == ["/data", "marts/orders"]
    assert all("alerts" not in each.alert for each in receiver.taken())


def test_a_dismissed_alert_leaves_its_message_which_gets_another_key(
    tmp_path: Path, declare: Declare, receiver: Receiver
) -> None:
    declare("batch: {within_seconds: 0.1}}")
    receiver.then(*[REFUSE] * 200)
    with Desk(tmp_path).sending() as desk:
        desk.note([MODEL, DISK])
        eventually(lambda: receiver.requests, "it is tried")
        (model,) = [each for each in desk.entries() if each.notice.content["subject"] == "marts/orders"]
        arguments = ["dismiss", "pager", "--key", model.notice.key, "--note", "known"]
        assert run(["--data-dir", str(desk.settings.data_dir), "reactions", *arguments]) == 0
        desk.look()
        eventually(lambda: receiver.requests[-1].alert.get("subject") == "/data", "the other goes on alone")
    assert [each.notice.key for each in desk.entries("dismissed")] == [model.notice.key]


def test_a_try_takes_no_longer_than_declared(tmp_path: Path, declare: Declare, receiver: Receiver) -> None:
    declare("timeout_seconds: 0.2}")
    receiver.then(HANG)
    with Desk(tmp_path).sending() as desk:
        desk.note([MODEL])
        eventually(lambda: "no whole answer within 0.2 s" in desk.said().get("pager", ""), "it is said")
        eventually(lambda: desk.entries("delivered"), "it is tried again")


CHIEF = f"""}}
chief: {{{WAY}, on: {{kinds: []}}}}"""


def test_what_nobody_acknowledges_is_escalated_once_and_its_end_follows(
    tmp_path: Path, declare: Declare, receiver: Receiver
) -> None:
    declare(f"escalate: {{to: chief, after_seconds: 60}}{CHIEF}")
    with Desk(tmp_path).sending() as desk:
        desk.note([MODEL, DISK])
        eventually(lambda: len(desk.entries("delivered")) == 2, "the pager has both")
        (disk,) = [each for each in desk.entries() if each.notice.content["subject"] == "/data"]
        arguments = ["acknowledge", "pager", "--key", disk.notice.key, "--note", "I look"]
        assert run(["--data-dir", str(desk.settings.data_dir), "reactions", *arguments]) == 0
        later = datetime.now(UTC) + timedelta(seconds=61)
        desk.note([MODEL, DISK], now=datetime.now(UTC) + timedelta(seconds=50))
        assert len(desk.entries()) == 2, "not yet"
        for _ in range(2):
            desk.note([MODEL, DISK], now=later)
        eventually(lambda: len(desk.entries("delivered")) == 3, "the chief has one")
        counts = reaction_counts(desk.settings)
        assert counts == {"pager": {"escalated": 1, "acknowledged": 1}, "chief": {"delivered": 1}}
        assert run(["--data-dir", str(desk.settings.data_dir), "reactions", "list"]) == 0
        desk.note([], now=later)
        eventually(lambda: len(desk.entries("delivered")) == 6, "ends reach all who heard")
    (chiefs,) = [each for each in receiver.alerts() if "escalated_from" in each]
    assert chiefs["text"].startswith("Millrace: nobody has acknowledged this to 'pager': Model marts/orders")
    assert [
        (each["event"], each["subject"]) for each in receiver.alerts() if each["reaction"] == "chief"
    ] == [("condition_opened", "marts/orders"), ("condition_closed", "marts/orders")]


def test_a_pager_that_is_away_escalates_and_one_in_quiet_hours_does_not(
    tmp_path: Path, declare: Declare, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWAY", "http://127.0.0.1:1/")
    declare(
        f"quiet: {{{hours(now=True)}}}, escalate: {{to: chief, after_seconds: 60}}}}\n"
        f"away: {{send: {{webhook: {{url_env: AWAY}}}}, on: {{kinds: [disk_low]}}, "
        f"escalate: {{to: chief, after_seconds: 60}}{CHIEF}"
    )
    with Desk(tmp_path).sending() as desk:
        desk.note([WARNING, DISK])
        eventually(lambda: desk.said().get("away"), "it is away")
        eventually(lambda: desk.entries("held"), "the warning waits")

        def paged() -> list[Entry]:
            return [each for each in desk.entries("delivered") if each.notice.reaction == "pager"]

        eventually(paged, "the pager has the disk's")
        (disk,) = paged()
        desk.note([WARNING, DISK], now=datetime.now(UTC) + timedelta(seconds=61))
        chiefs = [
            each.notice.content["subject"] for each in desk.entries() if each.notice.reaction == "chief"
        ]
        assert chiefs == [disk.notice.content["subject"]]
