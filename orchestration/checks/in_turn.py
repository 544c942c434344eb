"""Which models' checks are due while a run goes on: each at most every few seconds, and spread evenly."""

import math
import time
from collections.abc import Callable, Iterable, Iterator

from dagster import AssetKey

_PAUSE_SECONDS = 15.0


class InTurn:
    """Of one run: after its first build all of them; later the longest unchecked first.

    These checks read whole tables or hours, so in a run that goes on they would take longer than its cycles.
    They rest between two, and do not all run in the cycle in which the rest is over: the events that arrive
    meanwhile would wait for them all. A cycle takes as many as the time since the last one is worth.

    Args:
        keys: The models that have such checks.
        pause_seconds: How long a model's checks rest.
        clock: Seconds of a clock that is never set.
    """

    def __init__(
        self,
        keys: Iterable[AssetKey],
        *,
        pause_seconds: float = _PAUSE_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._keys = frozenset(keys)
        self._pause_seconds, self._clock = pause_seconds, clock
        self._waiting: set[AssetKey] = set()
        self._ran: dict[AssetKey, float] = {}
        self._taken_at = clock()

    def built(self, keys: Iterable[AssetKey]) -> None:
        """Note the models that have new contents."""
        self._waiting |= self._keys & set(keys)

    def take(self, *, all_of_them: bool = False) -> Iterator[AssetKey]:
        """The models to check now; one counts as checked when the next is asked for.

        Args:
            all_of_them: Every one that was built since it was last checked.
        """
        now = self._clock()
        worth = math.ceil(len(self._keys) * (now - self._taken_at) / self._pause_seconds)
        self._taken_at = now
        fresh = sorted(self._waiting - self._ran.keys())
        again = sorted(self._waiting & self._ran.keys(), key=lambda key: (self._ran[key], key))
        if not all_of_them:
            again = [key for key in again if now >= self._ran[key] + self._pause_seconds][:worth]
        for key in [*fresh, *again]:
            yield key
            self._waiting.discard(key)
            self._ran[key] = self._clock()
