"""The clock of the machine is set back, or ahead: nothing waits for a time that was."""

import os
import shutil
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from dagster import DagsterInstance
from dagster._core.remote_origin import (
    RegisteredCodeLocationOrigin,
    RemoteInstigatorOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.scheduler.instigation import (
    InstigatorState,
    InstigatorStatus,
    InstigatorType,
    ScheduleInstigatorData,
    SensorInstigatorData,
    TickData,
    TickStatus,
)
from dagster._daemon.sensor import get_elapsed

from ingestion.settings import Settings
from orchestration.conditions.condition import Finding
from orchestration.daemon.clock import TOLERANCE_SECONDS, forget_times_to_come, went_back
from orchestration.keys import ARRIVALS_SENSOR
from orchestration.sensors.backoff import Schedule
from orchestration.sensors.model_pauses import ModelPauses
from orchestration.sensors.pause import Pause
from orchestration.system.instance import dagster_environment, prepare_instance
from tests.conftest import there
from tests.orchestration.reactions.desk import Desk
from tests.repository import REPOSITORY
from tests.servers import ServerMissing

DAY = 86_400.0
REPOSITORY_ORIGIN = RemoteRepositoryOrigin(RegisteredCodeLocationOrigin("millrace"), "repository")


@pytest.mark.parametrize("back", [301.0, DAY, 400 * DAY])
def test_a_pause_ends_when_the_clock_was_set_back(back: float) -> None:
    now = 1_800_000_000.0
    pause = Pause(9, now + 300)
    schedule = Schedule(pauses={"orders": pause}, not_built=ModelPauses({"marts/orders": pause}))
    for at, waits in ((now, True), (now + 299, True), (now + 300, False), (now - back, False)):
        assert schedule.is_paused("orders", now=at) is waits
        assert schedule.is_due("orders", now=at) is not waits
        assert schedule.choose(["orders"], now=at) == ([] if waits else ["orders"])
        assert schedule.next_due(["orders"], now=at) == (pause.until if waits else None)
        assert (schedule.not_built.paused(now=at) == {"marts/orders"}) is waits
        assert schedule.not_built.next_due(now=at) == (pause.until if waits else None)


def state(
    name: str, kind: InstigatorType, data: SensorInstigatorData | ScheduleInstigatorData
) -> InstigatorState:
    return InstigatorState(
        RemoteInstigatorOrigin(REPOSITORY_ORIGIN, name), kind, InstigatorStatus.RUNNING, data
    )


def test_dagster_forgets_times_to_come(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in dagster_environment(settings).items():
        monkeypatch.setenv(name, value)
    now = time.time()
    with DagsterInstance.from_config(str(prepare_instance(settings))) as instance:
        ahead = state(
            ARRIVALS_SENSOR, InstigatorType.SENSOR,
            SensorInstigatorData(now + DAY, None, 1, "kept", now + DAY, now + DAY),
        )  # fmt: skip
        cron = state(
            "regular", InstigatorType.SCHEDULE, ScheduleInstigatorData("* * * * *", now - 9, now + DAY)
        )
        right = state(
            "right", InstigatorType.SENSOR, SensorInstigatorData(now - 3, None, 1, "c", now - 3, now - 5)
        )
        for each in (ahead, cron, right):
            instance.add_instigator_state(each)
        for each, at in ((ahead, now + DAY), (cron, now + DAY), (right, now - 3)):
            instance.create_tick(
                TickData(each.instigator_origin_id, each.name, each.instigator_type, TickStatus.SUCCESS, at,
                         selector_id=each.selector_id, run_ids=[])
            )  # fmt: skip
        assert (get_elapsed(ahead) or 0) < 0, "Dagster would wait for a day"

        assert forget_times_to_come(instance, now=now) == 2
        assert forget_times_to_come(instance, now=now) == 0

        def stored(each: InstigatorState) -> InstigatorState:
            found = instance.get_instigator_state(each.instigator_origin_id, each.selector_id)
            assert found is not None
            return found

        assert (get_elapsed(stored(ahead)) or -1) >= 0
        assert stored(ahead).instigator_data == SensorInstigatorData(now, None, 1, "kept", now, now)
        assert stored(cron).instigator_data == ScheduleInstigatorData("* * * * *", now - 9, now)
        assert stored(right) == right
        left = [tick.timestamp for each in (ahead, cron, right) for tick in instance.get_ticks(
            each.instigator_origin_id, each.selector_id)]  # fmt: skip
        assert left == [pytest.approx(now - 3)]


def test_only_a_step_back_counts() -> None:
    wall, steady = [1000.0], [50.0]
    look = went_back(lambda: wall[0], lambda: steady[0])
    for step, found in (
        (1.0, False),
        (DAY, False),
        (-DAY, True),
        (0.0, False),
        (-TOLERANCE_SECONDS + 1, False),
    ):
        wall[0], steady[0] = wall[0] + step + 5, steady[0] + 5
        assert look() is found


def library() -> str:
    program = shutil.which("faketime")
    if program is None:
        raise ServerMissing("faketime is not installed: install faketime.")
    shown = [program, "-f", "+0", sys.executable, "-c", "import os; print(os.environ['LD_PRELOAD'])"]
    return subprocess.run(shown, capture_output=True, text=True, check=True).stdout.strip()


def test_the_daemon_s_process_ends_when_the_clock_is_set_back(tmp_path: Path) -> None:
    """A real process whose clock is set, by libfaketime; the supervisor starts it again."""
    preload, file = there(library), tmp_path / "clock"
    file.write_text("+0\n")
    code = (
        "from orchestration.daemon.clock import end_when_set_back\n"
        "end_when_set_back(look_seconds=0.1); print('up', flush=True); input()"
    )
    fake = {
        "LD_PRELOAD": preload.replace("libfaketime.so", "libfaketimeMT.so"), "FAKETIME_NO_CACHE": "1",
        "FAKETIME_TIMESTAMP_FILE": str(file), "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }  # fmt: skip
    with subprocess.Popen(
        [sys.executable, "-c", code],
        env=os.environ | fake,
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        file.write_text("-1d\n")
        assert process.wait(timeout=60) == -signal.SIGTERM


def test_an_alert_does_not_wait_for_a_time_that_was(tmp_path: Path) -> None:
    desk, now = Desk(tmp_path, "http://127.0.0.1:1/"), datetime.now(UTC)
    desk.watchman.note([Finding("stream_paused", "orders", "It stopped.", "")], now=now)
    desk.look(now=now - timedelta(days=1))
    assert desk.noted() == [("condition_opened", "orders")]
