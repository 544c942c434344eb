"""The present. It is an argument wherever time matters, so that tests can set it."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

STEP_SECONDS = 30.0
"""The clock may be slewed; a larger difference is a step."""


def utc_now() -> datetime:
    """The present, UTC."""
    return datetime.now(UTC)


class StampAges:
    """How long ago something was stamped, by a clock that may be set while this process runs.

    Args:
        wall: The machine's clock, Unix seconds.
        steady: A clock that nobody sets, seconds.
    """

    def __init__(
        self, wall: Callable[[], float] = time.time, steady: Callable[[], float] = time.monotonic
    ) -> None:
        self._wall, self._steady = wall, steady
        self._ahead = wall() - steady()
        self._steps: list[tuple[float, float]] = []
        """When the clock was set, by the steady one, and by how much; the newest first."""

    def of(self, stamp: datetime) -> timedelta:
        """How long ago a moment was at which the clock showed this, UTC.

        A stamp that looks older than the last step is taken for one of the clock before it.
        """
        wall, steady = self._wall(), self._steady()
        if abs(step := wall - steady - self._ahead) > STEP_SECONDS:
            self._steps.insert(0, (steady, step))
        self._ahead = wall - steady
        age = wall - stamp.timestamp()
        for at, by in self._steps:
            since = steady - at
            if 0 <= age <= since:
                break
            age = max(since, age - by)
        return timedelta(seconds=age)
