"""Whether a run gets on: real processes that sleep, compute, are halted, and say what they begin."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from dagster import DagsterInstance, DagsterRunStatus
from dagster._core.test_utils import create_run_for_test

from ingestion.settings import load_settings
from orchestration.keys import HANGING_TAG, STREAMS_TAG
from orchestration.run import stage
from orchestration.sensors.backoff import Schedule
from orchestration.sensors.outcomes import review
from orchestration.warm import stall
from tests.waiting import eventually

SLEEPS = "import time\nwhile True: time.sleep(0.05)"
COMPUTES = "while True: pass"
WORKS_FOR_ANOTHER = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {COMPUTES!r}])"
LIMIT = 0.8


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stall, "_LOOK_SECONDS", 0.0)


@contextmanager
def running(script: str) -> Iterator[int]:
    with subprocess.Popen([sys.executable, "-c", script], start_new_session=True) as process:
        try:
            yield process.pid
        finally:
            os.killpg(process.pid, signal.SIGKILL)


def say(file: Path, number: int, *, counts: bool, **tags: str) -> None:
    new = file.with_suffix(".new")
    new.write_text(
        json.dumps({"doing": "reading", "computing_counts": counts, "tags": tags, "number": number})
    )
    new.replace(file)


def seen(watch: stall.Watch) -> stall.Stall:
    """Look until there is something."""
    found: list[stall.Stall] = []

    def look() -> bool:
        found.extend(filter(None, [watch.look()]))
        return bool(found)

    eventually(look, "it is found")
    return found[0]


@dataclass
class Clock:
    """The clock of the watches, which a test moves: on a busy machine little is computed in a second."""

    now_s: float = 0.0

    def monotonic(self) -> float:
        return self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(stall, "time", clock)
    return clock


def test_one_that_sleeps_has_to_be_ended_and_one_that_computes_has_not(tmp_path: Path, clock: Clock) -> None:
    with running(SLEEPS) as sleeper, running(COMPUTES) as worker, running(WORKS_FOR_ANOTHER) as parent:
        watches = {
            pid: stall.Watch(pid, tmp_path / f"{pid}.stage", limit_seconds=LIMIT)
            for pid in (sleeper, worker, parent)
        }
        found = dict[int, stall.Stall]()
        for _ in range(5):
            for pid in (worker, parent):
                least = stall._session(pid)[1] + 0.2
                eventually(lambda pid=pid, least=least: stall._session(pid)[1] > least, "it computes")
            clock.now_s += 0.6 * LIMIT
            found |= {pid: stalled for pid, each in watches.items() if (stalled := each.look())}
    assert {pid: each.why for pid, each in found.items()} == {sleeper: "it had not got on for 0.8 s"}


def test_what_is_bounded_by_itself_may_not_compute_for_ever_and_names_its_stream(
    tmp_path: Path, clock: Clock
) -> None:
    file = tmp_path / "run.stage"
    with running(COMPUTES) as pid:
        say(file, 1, counts=False, hanging="orders")
        watch = stall.Watch(pid, file, limit_seconds=LIMIT)
        for number in range(2, 8):  # it gets on, for longer than the limit
            assert watch.look() is None
            clock.now_s += 0.6 * LIMIT
            say(file, number, counts=False, hanging="orders")
        assert watch.look() is None
        clock.now_s += 1.2 * LIMIT
        found = watch.look()
    assert found == stall.Stall("it had not got on for 0.8 s while reading", {"hanging": "orders"})


def test_one_that_was_halted_has_to_be_ended_although_its_limit_is_far(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stall, "_HALTED_SECONDS", 0.3)
    with running(SLEEPS) as pid:
        watch = stall.Watch(pid, tmp_path / "run.stage", limit_seconds=600)
        assert watch.look() is None
        os.kill(pid, signal.SIGSTOP)
        found = seen(watch)
    assert found == stall.Stall("it had been halted", {})


def test_nothing_is_ended_without_a_limit(tmp_path: Path, clock: Clock) -> None:
    with running(SLEEPS) as pid:
        os.kill(pid, signal.SIGSTOP)
        watch = stall.Watch(pid, tmp_path / "run.stage", limit_seconds=0)
        clock.now_s += 1e9
        assert watch.look() is None


def test_a_run_says_what_the_warm_process_reads(tmp_path: Path) -> None:
    settings = load_settings(data_dir=tmp_path)
    file = tmp_path / "logs" / "runs" / "r.stage"
    stage.begin(settings, "r", "reading", stream="orders")
    assert not file.exists(), "no warm process waits for it"
    file.parent.mkdir(parents=True)
    stage.begin(settings, "r", "reading", stream="orders")
    first = stall.read_stage(file)
    assert (first.doing, first.computing_counts, first.tags) == ("reading", False, {HANGING_TAG: "orders"})
    stage.begin(settings, "r", "reading", stream="orders")
    assert stall.read_stage(file) != first, "the next batch of the same stream is something else"
    stage.begin(settings, "r", "building", computes=True)
    assert stall.read_stage(file).computing_counts
    file.write_text("{")
    assert stall.read_stage(file) == stall.Stage()


def test_only_the_stream_whose_batch_hung_waits() -> None:
    with DagsterInstance.ephemeral() as instance:
        tags = {STREAMS_TAG: "orders,letters", HANGING_TAG: "orders"}
        create_run_for_test(instance, job_name="refresh", status=DagsterRunStatus.FAILURE, tags=tags)
        schedule, busy = review(instance, "refresh", Schedule())
    assert not busy
    assert {name: pause.why for name, pause in schedule.pauses.items()} == {
        "orders": "its batch hung, so its run was ended"
    }
    assert schedule.died == 0
