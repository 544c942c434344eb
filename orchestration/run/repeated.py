"""Checks that pass again and again: a run records each at most every few seconds.

Each batch is checked, by the second, and an event in Dagster's storage costs more than many a check. What
fails is recorded at once, and so is the first pass after it.
"""

import time
from collections.abc import Iterable, Iterator

from dagster import AssetCheckEvaluation, AssetCheckKey

from orchestration.keys import CPU_METADATA
from orchestration.run.recorded import Event

_PAUSE_SECONDS = 12.0
"""Less than contracts of models and budgets rest between two: of those nothing is left out."""


class RepeatedPasses:
    """Of one run.

    Args:
        pause_seconds: How long a check that passes rests.
    """

    def __init__(self, pause_seconds: float = _PAUSE_SECONDS) -> None:
        self._pause_seconds = pause_seconds
        self._passed_at: dict[AssetCheckKey, float] = {}
        self._held: dict[AssetCheckKey, AssetCheckEvaluation] = {}

    def thinned(self, events: Iterable[Event]) -> Iterator[Event]:
        """Pass events on, but hold a pass that follows one; its CPU-seconds are added to the next.

        Args:
            events: What cycles made, in order.
        """
        for event in events:
            if not isinstance(event, AssetCheckEvaluation):
                yield event
                continue
            key, now = event.asset_check_key, time.monotonic()
            if (before := self._held.pop(key, None)) is not None:
                event = _with_cpu_of(event, before)
            if not event.passed:
                self._passed_at.pop(key, None)
            elif now < self._passed_at.get(key, float("-inf")) + self._pause_seconds:
                self._held[key] = event
                continue
            else:
                self._passed_at[key] = now
            yield event

    def rest(self) -> Iterator[Event]:
        """What is held, once: the last pass of each such check."""
        held, self._held = self._held, {}
        yield from held.values()


def _with_cpu_of(event: AssetCheckEvaluation, held: AssetCheckEvaluation) -> AssetCheckEvaluation:
    spent = sum(_cpu_seconds(each) for each in (held, event))
    return event.with_metadata({**event.metadata, CPU_METADATA: round(spent, 3)})


def _cpu_seconds(event: AssetCheckEvaluation) -> float:
    found = event.metadata.get(CPU_METADATA)
    return float(found.value) if found is not None else 0.0  # type: ignore[arg-type]
