"""kill -9 of what sends alerts, at each named place: each opening and each end is taken once, in order."""

import re
import signal
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from ingestion.environment import child_environment
from tests.orchestration.reactions.desk import EVENTS, Desk
from tests.orchestration.reactions.test_terms import hours
from tests.repository import REPOSITORY
from tests.servers.receiver import BUSY, HANG, NEVER, REFUSE, RESET, SLOW, Receiver

PLACES = (
    "reactions.noted", "reactions.alerted", "reactions.settled", "reactions.sent", "reactions.delivered",
    "reactions.refused",
)  # fmt: skip
SCRIPTS = {
    "refuses": [REFUSE, REFUSE],
    "is busy": [BUSY, BUSY],
    "hangs": [HANG],
    "takes and resets": [RESET, RESET],
    "is slow": [SLOW, SLOW],
    "does all of it": [REFUSE, RESET, SLOW, BUSY, HANG, RESET, REFUSE],
}
WORKS = """
import os, signal, sys, time
from datetime import UTC, datetime
from pathlib import Path
from ingestion import faultpoints
from orchestration.observe import courier
from tests.orchestration.reactions.desk import DISK, MODEL, Desk
place, passes, seen = sys.argv[2], int(sys.argv[3]), []
def hook(name):
    seen.append(name)
    if seen.count(place) == passes:
        os.kill(os.getpid(), signal.SIGKILL)
faultpoints.install_hook(hook)
courier._LOOK_SECONDS, courier._FIRST_PAUSE_SECONDS = 0.02, 0.05
desk = Desk(Path(sys.argv[1]))
with desk.sending():
    for findings in ([MODEL], [MODEL, DISK], [DISK], []):
        desk.note(findings, now=datetime.now(UTC))
        rest_s = float(sys.argv[4])
        while rest_s and desk.entries("pending", "batched"):
            time.sleep(0.02)
        time.sleep(rest_s)
    while desk.entries("pending", "held", "batched"):
        time.sleep(0.02)
"""


def works(project: Path, url: str, place: str = "", passes: int = 1, *, rest_s: float = 0.0) -> int:
    """One process on the folder, which rests so long after each look once all is sent; its exit code."""
    done = subprocess.run(
        [sys.executable, "-c", WORKS, str(project), place, str(passes), str(rest_s)], cwd=REPOSITORY,
        timeout=120, env=child_environment({"PAGER_URL": url}), check=False,
    )  # fmt: skip
    return done.returncode


def declare(project: Path, terms: str = "", more: str = "") -> None:
    way = "send: {webhook: {url_env: PAGER_URL}}, timeout_seconds: 1"
    (project / "reactions.yml").write_text(f"pager: {{{way}{terms}}}\n{more}")


def judge(project: Path, receiver: Receiver, *, states: Iterable[str] = ("delivered",)) -> None:
    """The ledger holds what the receiver took, once by key and in order, and nothing waits."""
    held, came = Desk(project).entries(), receiver.alerts()
    assert {each.state for each in held} == {*states}
    taken: dict[str, dict[str, Any]] = {each["key"]: each for each in came}
    assert len(taken) == len(came), "no alert was taken under two keys"
    delivered = {each.notice.key: dict(each.notice.content) for each in held if each.state == "delivered"}
    assert delivered == taken
    for condition in {re.sub("-(opened|closed)-", "-", each["key"]) for each in came}:
        of = [each["event"] for each in came if re.sub("-(opened|closed)-", "-", each["key"]) == condition]
        assert of == list(EVENTS)
    assert {each["subject"] for each in came} == {"marts/orders", "/data"}


@pytest.mark.parametrize("place", PLACES)
def test_a_kill_at_a_named_place_loses_and_repeats_no_alert(place: str, tmp_path: Path) -> None:
    declare(tmp_path)
    with Receiver([REFUSE, RESET, REFUSE]) as receiver:
        assert works(tmp_path, receiver.url, place) == -signal.SIGKILL
        assert works(tmp_path, receiver.url) == 0
        judge(tmp_path, receiver)


@pytest.mark.slow("two processes for each of 36 pairs")
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("script", SCRIPTS)
def test_a_kill_loses_and_repeats_no_alert_whatever_the_receiver_does(
    script: str, place: str, tmp_path: Path
) -> None:
    declare(tmp_path)
    with Receiver(SCRIPTS[script], retry_after="0") as receiver:
        is_refused = any(each in SCRIPTS[script] for each in (REFUSE, BUSY, HANG, RESET))
        reached = place != "reactions.refused" or is_refused
        assert works(tmp_path, receiver.url, place) == (-signal.SIGKILL if reached else 0)
        assert works(tmp_path, receiver.url) == 0
        judge(tmp_path, receiver)


@pytest.mark.slow("two or three processes for each place")
@pytest.mark.parametrize("place", [*PLACES, "reactions.fixed"])
def test_a_kill_leaves_each_message_as_it_was(place: str, tmp_path: Path) -> None:
    declare(tmp_path, ", batch: {within_seconds: 2, most: 2}")
    with Receiver([REFUSE, RESET, REFUSE]) as receiver:
        assert works(tmp_path, receiver.url, place) == -signal.SIGKILL
        assert works(tmp_path, receiver.url) == 0
        judge(tmp_path, receiver)
        bodies = {(each.key, each.body) for each in receiver.requests}
        assert len(bodies) == len({each.key for each in receiver.requests}), "a key stands for one message"


@pytest.mark.slow("two or three processes for each place")
@pytest.mark.parametrize("place", ["reactions.parted", "reactions.refused", "reactions.sent"])
def test_a_kill_while_a_message_is_parted_loses_and_repeats_none(place: str, tmp_path: Path) -> None:
    declare(tmp_path, ", batch: {within_seconds: 10, most: 2}")
    with Receiver([NEVER, NEVER]) as receiver:
        assert works(tmp_path, receiver.url, place) == -signal.SIGKILL
        assert works(tmp_path, receiver.url) == 0
        judge(tmp_path, receiver)


@pytest.mark.slow("two or three processes for each place")
@pytest.mark.parametrize("place", ["reactions.held", "reactions.noted", "reactions.settled"])
def test_a_kill_in_quiet_hours_keeps_what_waits(place: str, tmp_path: Path) -> None:
    declare(tmp_path, f", quiet: {{{hours(now=True).replace('[error]', '[]')}}}")
    with Receiver() as receiver:
        assert works(tmp_path, receiver.url, place) == -signal.SIGKILL
        assert receiver.requests == []
        declare(tmp_path, f", quiet: {{{hours(now=False)}}}")
        assert works(tmp_path, receiver.url) == 0
        judge(tmp_path, receiver)


@pytest.mark.slow("two or three processes for each place")
@pytest.mark.parametrize("place", ["reactions.held", "reactions.suppressed", "reactions.delivered"])
def test_a_kill_at_a_limit_lets_through_no_more(place: str, tmp_path: Path) -> None:
    declare(tmp_path, ", limit: {openings: 1, within_seconds: 3600}")
    with Receiver([RESET]) as receiver:
        assert works(tmp_path, receiver.url, rest_s=0.3) == 0
        assert works(tmp_path, receiver.url, place, rest_s=0.3) in (-signal.SIGKILL, 0)
        assert works(tmp_path, receiver.url, rest_s=0.3) == 0
        judge(tmp_path, receiver, states=("delivered", "suppressed"))
        assert len(receiver.alerts()) == 4, "of each of the two the first opening and its end"


@pytest.mark.slow("two or three processes for each place")
@pytest.mark.parametrize("place", ["reactions.noted", "reactions.alerted", "reactions.sent"])
@pytest.mark.parametrize("passes", [1, 2])
def test_a_kill_while_it_escalates_escalates_once(place: str, passes: int, tmp_path: Path) -> None:
    chief = "chief: {send: {webhook: {url_env: PAGER_URL}}, on: {kinds: []}}\n"
    declare(tmp_path, ", escalate: {to: chief, after_seconds: 0.2}", chief)
    with Receiver([RESET]) as receiver:
        assert works(tmp_path, receiver.url, place, passes, rest_s=0.5) == -signal.SIGKILL
        assert works(tmp_path, receiver.url, rest_s=0.5) == 0
        judge(tmp_path, receiver)
        assert any(each["reaction"] == "chief" for each in receiver.alerts())
