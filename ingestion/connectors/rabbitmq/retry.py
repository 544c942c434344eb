"""When a lost connection, or a queue that cannot be consumed, is tried again."""

import random
import time
from dataclasses import dataclass


@dataclass(frozen=True)
class Retry:
    """Waits between attempts.

    Attributes:
        first_seconds: After the first failure; doubled after each further one.
        most_seconds: Upper bound.
        stable_seconds: What worked for this long starts from the first wait again.
    """

    first_seconds: float = 0.25
    most_seconds: float = 30.0
    stable_seconds: float = 5.0


class Attempts:
    """When the next attempt is due."""

    def __init__(self, retry: Retry) -> None:
        self._retry = retry
        self._failures = 0
        self._began = self._next = 0.0

    def seconds_until_due(self) -> float:
        """How long the next attempt has to wait."""
        return max(0.0, self._next - time.monotonic())

    def began(self) -> None:
        """It works, from now on."""
        self._began = time.monotonic()

    def failed(self) -> None:
        """It did not work, or does not any more."""
        now = time.monotonic()
        lasted = self._began and now - self._began >= self._retry.stable_seconds
        self._failures = 1 if lasted else self._failures + 1
        self._began = 0.0
        wait = min(self._retry.first_seconds * 2.0 ** min(self._failures - 1, 30), self._retry.most_seconds)
        # Many clients that were thrown out together do not come back together.
        self._next = now + wait * (1 - random.random() / 2)  # noqa: S311
