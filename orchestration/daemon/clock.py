"""What Dagster keeps of times that are still to come, after the clock was set back.

It waits until the clock has passed the last tick of a sensor or a schedule: a day, if it was set back by one.
"""

import os
import signal
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from dagster import DagsterInstance
from dagster._core.scheduler.instigation import ScheduleInstigatorData, SensorInstigatorData
from dagster._core.storage.schedules.schema import JobTickTable

TOLERANCE_SECONDS = 30.0
_LOOK_SECONDS = 5.0


def forget_times_to_come(instance: DagsterInstance, *, now: float) -> int:
    """Make what is recorded of sensors and schedules as if it had ended now at the latest.

    Args:
        instance: Dagster's, with a storage in SQL.
        now: Unix seconds.

    Returns:
        How many sensors and schedules would have waited.
    """
    changed = 0
    for state in instance.all_instigator_state():
        data = _until(state.instigator_data, now)
        if data != state.instigator_data:
            instance.update_instigator_state(state.with_data(data))
            changed += 1
    latest = datetime.fromtimestamp(now + TOLERANCE_SECONDS, UTC).replace(tzinfo=None)
    storage: Any = instance.schedule_storage
    with storage.connect() as connection:
        connection.execute(JobTickTable.delete().where(JobTickTable.c.timestamp > latest))
    return changed


def _until(data: Any, now: float) -> Any:
    """The same data without a time to come."""
    if isinstance(data, SensorInstigatorData):
        names: tuple[str, ...] = (
            "last_tick_timestamp",
            "last_tick_start_timestamp",
            "last_sensor_start_timestamp",
        )
    elif isinstance(data, ScheduleInstigatorData):
        names = ("start_timestamp", "last_iteration_timestamp")
    else:
        return data
    to_come = {name: now for name in names if (getattr(data, name) or 0.0) > now + TOLERANCE_SECONDS}
    return data._replace(**to_come)


def went_back(wall: Callable[[], float], steady: Callable[[], float]) -> Callable[[], bool]:
    """Whether the clock was set back since the last question.

    Args:
        wall: The machine's clock, seconds.
        steady: A clock that nobody sets, seconds.
    """
    before = wall() - steady()

    def look() -> bool:
        nonlocal before
        last, before = before, wall() - steady()
        return before < last - TOLERANCE_SECONDS

    return look


def end_when_set_back(*, look_seconds: float = _LOOK_SECONDS) -> None:
    """End this process when the clock is set back: its threads may wait for a time of the clock before.

    The supervisor starts it again.

    Args:
        look_seconds: How often the clock is looked at.
    """
    is_back, pause = went_back(time.time, time.monotonic), threading.Event()

    def watch() -> None:
        while not is_back():
            pause.wait(look_seconds)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="clock", daemon=True).start()
