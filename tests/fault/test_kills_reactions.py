"""kill -9 of what sends alerts, at each named place: each opening and each end is taken once, in order."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ingestion.environment import child_environment
from tests.orchestration.reactions.desk import EVENTS, Desk
from tests.repository import REPOSITORY
from tests.servers.receiver import REFUSE, RESET, Receiver

PLACES = (
    "reactions.noted", "reactions.alerted", "reactions.settled", "reactions.sent", "reactions.delivered",
    "reactions.refused",
)  # fmt: skip
WORKS = """
import os, signal, sys, time
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
        desk.note(findings)
    while desk.entries("pending"):
        time.sleep(0.02)
"""


def works(project: Path, url: str, place: str, passes: int) -> int:
    """One process on the folder; returns its exit code."""
    done = subprocess.run(
        [sys.executable, "-c", WORKS, str(project), place, str(passes)], cwd=REPOSITORY, timeout=120,
        env=child_environment({"PAGER_URL": url}), check=False,
    )  # fmt: skip
    return done.returncode


@pytest.mark.parametrize("place", PLACES)
def test_a_kill_at_a_named_place_loses_and_repeats_no_alert(place: str, tmp_path: Path) -> None:
    (tmp_path / "reactions.yml").write_text("pager: {send: {webhook: {url_env: PAGER_URL}}}")
    with Receiver([REFUSE, RESET, REFUSE]) as receiver:
        assert works(tmp_path, receiver.url, place, 1) == -signal.SIGKILL
        assert works(tmp_path, receiver.url, "", 1) == 0
        taken = {each.key: each.alert for each in receiver.taken()}
        events = receiver.events()
    held = Desk(tmp_path).entries()
    assert {each.state for each in held} == {"delivered"}
    assert {each.notice.key: dict(each.notice.content) for each in held} == taken
    for subject in ("marts/orders", "/data"):
        of = [event for event, about in events if about == subject]
        assert of == list(EVENTS) * (len(of) // 2)
        assert of
